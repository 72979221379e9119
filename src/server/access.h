/*
 * access.h: who may ask what. Access keys are the engine's (journaled, in snapshots); here a
 * request is told from its Authorization header whose it is, and what that allows.
 *
 * While no key was ever made and no --admin-key is given, the door is open to whoever reaches it,
 * which is why such a server listens on loopback only.
 *
 * A secret is 256 bits of chance, so its hash needs no salt and no slowness: SHA-256 of it is found
 * by its first word and compared whole, in constant time. What a header was found to be is
 * remembered, by a keyed hash of it, until any key is made or goes: so a key that is revoked opens
 * nothing more from that decision on, on no connection. All of it is the loop's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/engine.h"
#include "server/routes.h"

#define ACCESS_SECRET_LENGTH 69u /* "weir_" and 64 hexadecimal digits */
#define ACCESS_SECRET_SIZE (ACCESS_SECRET_LENGTH + 1)
#define ACCESS_TOKEN_BYTES_MAX 256u /* of what is shown as a key */
#define ACCESS_MEMOS 256u           /* a power of two */

enum access_by {
    ACCESS_BY_NOBODY,    /* unknown, expired or revoked */
    ACCESS_BY_OPEN_DOOR, /* no keys are needed */
    ACCESS_BY_ADMIN_KEY, /* that of --admin-key */
    ACCESS_BY_KEY
};

/* Whose a request is. Zero: nobody has looked. */
struct access_pass {
    enum access_by by;
    uint32_t record; /* ACCESS_BY_KEY: the engine's, while the pass is fresh */
    uint64_t id;     /* of the key; 0 */
    uint64_t looked; /* at which change of the keys, counted from 1; 0: never */
};

/* What that allows. Views live until the next change of the keys. */
struct access_right {
    uint32_t scopes;       /* ACCESS_...; admin has them all */
    struct bytes customer; /* the one that it is bound to; empty: to none */
};

/* What a call asks for. */
struct access_need {
    bool is_open;    /* no key */
    bool is_unbound; /* a key that is bound to no customer */
    uint32_t any_of; /* one of these scopes */
};

struct access_memo {
    struct hash128 token;
    struct access_pass pass;
    int64_t expires_ms;
};

struct access_guard {
    const struct engine *engine;
    bool has_admin_key;
    uint64_t admin_hash[4];
    struct hash_key memo_key;
    uint64_t refused; /* requests without a key that opens, so far */
    struct access_memo memos[ACCESS_MEMOS];
};

/* admin_key: the text of --admin-key's file; empty: none. memo_key: of chance. */
void access_start(struct access_guard *guard, const struct engine *engine, struct bytes admin_key,
                  struct hash_key memo_key);
bool access_is_needed(const struct access_guard *guard);

/* `authorization`: the header; at == NULL: absent. */
struct access_pass access_look(struct access_guard *guard, struct bytes authorization,
                               int64_t now_ms);
/* Whether a pass still says the truth. */
bool access_is_fresh(const struct access_guard *guard, const struct access_pass *pass);
/* Of a fresh pass. */
struct access_right access_right_of(const struct access_guard *guard,
                                    const struct access_pass *pass);

struct access_need access_need_of(const struct route *route);
/* Of one operation of a batch. */
struct access_need access_need_of_command(enum command_kind kind);
/* False: problem_out says which scope is missing, or that the key is bound. */
MUST_USE bool access_allows(const struct access_right *right, struct access_need need,
                            struct problem *problem_out);
/* False: it is not the customer that the key is bound to. */
MUST_USE bool access_allows_customer(const struct access_right *right, struct bytes customer,
                                     struct problem *problem_out);

/* The key of an id. */
MUST_USE bool access_find_made(const struct access_guard *guard, uint64_t id,
                               struct access_view *view_out);

/* How an actor is called in the journal and the log: a key's id, "admin-key", or nothing. The text
 * is in `block`. */
struct bytes access_actor(const struct access_pass *pass, char block[ACTOR_BYTES_MAX]);

/* A new secret, and its hash. */
void access_make_secret(char secret_out[ACCESS_SECRET_SIZE], uint64_t hash_out[4]);
/* Whether a text can be what --admin-key's file holds: 32 to 256 visible characters. */
bool access_is_admin_key(struct bytes text);
