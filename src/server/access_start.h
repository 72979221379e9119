/*
 * access_start.h: what a starting server must know of keys before it opens the door.
 */
#pragma once

#include <stdbool.h>

#include "base/base.h"
#include "engine/engine.h"
#include "server/access.h"
#include "server/listener.h"

/* The key in --admin-key's file, without the newline at its end, in `block`. False: said on
 * standard error. path NULL: no key. */
MUST_USE bool access_read_admin_key(const char *path, char block[ACCESS_TOKEN_BYTES_MAX + 2],
                                    struct bytes *key_out);

/* Whether a listener may have this address; is_needed: who asks for anything needs a key. False:
 * said on standard error, with the option's name. */
MUST_USE bool access_check_address(bool is_needed, const char *option,
                                   const struct listener_address *address);
/* What an operator should know anyway, on standard output. */
void access_tell_door(const struct engine *engine, bool has_admin_key);
