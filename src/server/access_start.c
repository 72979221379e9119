/*
 * access_start.c: see access_start.h.
 */
#include "server/access_start.h"

#include <stdio.h>

#include "platform/platform.h"

bool access_read_admin_key(const char *path, char block[ACCESS_TOKEN_BYTES_MAX + 2],
                           struct bytes *key_out)
{
    struct file_detail detail;
    *key_out = BYTES_NONE;
    if (path == NULL) return true;
    const enum file_fault fault =
        file_read(path, block, (size_t)ACCESS_TOKEN_BYTES_MAX + 2, key_out, &detail);
    if (fault != FILE_OK && fault != FILE_TOO_LONG) {
        (void)fprintf(stderr, "weir: --admin-key: %s\n", detail.text);
        return false;
    }
    if (!file_is_private(path)) {
        (void)fprintf(stderr,
                      "weir: --admin-key: %s can be read by others than its owner: chmod 600 it\n",
                      path);
        return false;
    }
    if (key_out->length > 0 && key_out->at[key_out->length - 1] == '\n') --key_out->length;
    if (fault == FILE_OK && access_is_admin_key(*key_out)) return true;
    (void)fprintf(stderr,
                  "weir: --admin-key: %s: expected one line of 32 to 256 visible characters, as of "
                  "`openssl rand -hex 32`\n",
                  path);
    return false;
}

static void tell_open_door(void)
{
    (void)printf("weir: WARNING: no access keys: whoever can connect may do everything; "
                 "`weir key create --scopes admin` makes the first\n");
    log_event(LOG_WARN, "no_access_keys");
}

bool access_check_address(bool is_needed, const char *option,
                          const struct listener_address *address)
{
    if (is_needed || listener_is_loopback(address)) return true;
    (void)fprintf(stderr,
                  "weir serve: %s: without keys Weir listens on loopback only; "
                  "expected 127.0.0.1, [::1] or localhost, or --admin-key FILE\n",
                  option);
    return false;
}

void access_tell_door(const struct engine *engine, bool has_admin_key)
{
    if (!has_admin_key && !engine_access_is_needed(engine)) {
        tell_open_door();
        return;
    }
    if (has_admin_key || engine_access_has_master(engine)) return;
    (void)printf("weir: WARNING: no admin key is left: start with --admin-key FILE to make one\n");
    log_event(LOG_WARN, "no_admin_key");
}
