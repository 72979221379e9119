#include "ledger/digest.h"

#include <openssl/evp.h>

bool digest_start(struct digest *digest)
{
    *digest = (struct digest){
        .algorithm = EVP_MD_fetch(NULL, "SHA256", NULL),
        .context = EVP_MD_CTX_new(),
    };
    if (digest->algorithm != NULL && digest->context != NULL) return true;
    digest_end(digest);
    return false;
}

void digest_end(struct digest *digest)
{
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->algorithm);
    *digest = (struct digest){0};
}

void digest_begin(struct digest *digest, const struct ledger_hash *previous)
{
    ENSURE(EVP_DigestInit_ex2(digest->context, digest->algorithm, NULL) == 1);
    digest_add(digest, (struct bytes){previous->byte, LEDGER_HASH_BYTES});
}

void digest_add(struct digest *digest, struct bytes bytes)
{
    ENSURE(EVP_DigestUpdate(digest->context, bytes.at, bytes.length) == 1);
}

struct ledger_hash digest_take(struct digest *digest)
{
    struct ledger_hash hash;
    unsigned length = 0;
    ENSURE(EVP_DigestFinal_ex(digest->context, hash.byte, &length) == 1);
    ENSURE(length == LEDGER_HASH_BYTES);
    return hash;
}
