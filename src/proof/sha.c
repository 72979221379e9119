/*
 * sha.c: see sha.h.
 */
#include "proof/sha.h"

#include <openssl/evp.h>
#include <stdio.h>

void sha_start(struct sha *sha)
{
    sha->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    sha->context = EVP_MD_CTX_new();
    ENSURE(sha->algorithm != NULL && sha->context != NULL);
}

void sha_end(struct sha *sha)
{
    EVP_MD_CTX_free(sha->context);
    EVP_MD_free(sha->algorithm);
    *sha = (struct sha){0};
}

static void add(struct sha *sha, const void *at, size_t length)
{
    ENSURE(EVP_DigestUpdate(sha->context, at, length) == 1);
}

void sha_begin(struct sha *sha, const struct ledger_hash *previous)
{
    ENSURE(EVP_DigestInit_ex2(sha->context, sha->algorithm, NULL) == 1);
    add(sha, previous->byte, LEDGER_HASH_BYTES);
}

/* Least significant byte first, whatever the machine. */
static void put_number(uint8_t *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; ++i)
        at[i] = (uint8_t)(number >> (8 * i));
}

void sha_add_row(struct sha *sha, const struct value *values, uint32_t count)
{
    uint8_t block[1024];
    size_t used = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const struct value *value = &values[i];
        const bool is_bytes = value->kind == VALUE_TEXT || value->kind == VALUE_BLOB;
        block[used++] = (uint8_t)value->kind;
        if (value->kind == VALUE_INTEGER) {
            put_number(block + used, (uint64_t)value->integer, 8);
            used += 8;
        }
        if (is_bytes) {
            put_number(block + used, value->bytes.length, 4);
            used += 4;
            add(sha, block, used);
            used = 0;
            add(sha, value->bytes.at, value->bytes.length);
        }
        if (used + 16 > sizeof(block)) {
            add(sha, block, used);
            used = 0;
        }
    }
    add(sha, block, used);
}

struct ledger_hash sha_take(struct sha *sha)
{
    struct ledger_hash hash;
    unsigned length = 0;
    ENSURE(EVP_DigestFinal_ex(sha->context, hash.byte, &length) == 1);
    ENSURE(length == LEDGER_HASH_BYTES);
    return hash;
}

const char *hash_text(const uint8_t hash[LEDGER_HASH_BYTES], char text_out[HASH_TEXT_SIZE])
{
    for (unsigned i = 0; i < LEDGER_HASH_BYTES; ++i)
        (void)snprintf(text_out + 2 * (size_t)i, 3, "%02x", hash[i]);
    return text_out;
}
