#include "journal/chain.h"

#include <openssl/evp.h>
#include <string.h>

bool chain_start(struct chain *chain)
{
    *chain = (struct chain){
        .digest = EVP_MD_fetch(NULL, "SHA256", NULL),
        .context = EVP_MD_CTX_new(),
    };
    if (chain->digest != NULL && chain->context != NULL) return true;
    chain_end(chain);
    return false;
}

void chain_end(struct chain *chain)
{
    EVP_MD_CTX_free(chain->context);
    EVP_MD_free(chain->digest);
    *chain = (struct chain){0};
}

static void put_number(struct buffer *buffer, uint64_t number, unsigned bytes)
{
    for (unsigned at = 0; at < bytes; at++)
        buffer_put_byte(buffer, (uint8_t)(number >> (8 * at)));
}

struct journal_hash chain_hash(const struct chain *chain, const struct batch_header *header,
                               struct bytes body)
{
    uint8_t block[CHAIN_HEADER_BYTES];
    struct buffer buffer = buffer_over(block, sizeof block);
    put_number(&buffer, header->partition, 4);
    put_number(&buffer, header->sequence, 8);
    put_number(&buffer, header->epoch, 8);
    put_number(&buffer, header->kind, 4);
    put_number(&buffer, header->version, 4);
    put_number(&buffer, header->writer, 8);
    put_number(&buffer, (uint64_t)header->first_ms, 8);
    put_number(&buffer, (uint64_t)header->last_ms, 8);
    put_number(&buffer, header->entries, 4);
    buffer_put(&buffer, header->previous.byte, JOURNAL_HASH_BYTES);
    ENSURE(!buffer.overflowed && buffer.used == sizeof block);

    struct journal_hash hash;
    unsigned length = 0;
    ENSURE(EVP_DigestInit_ex2(chain->context, chain->digest, NULL) == 1);
    ENSURE(EVP_DigestUpdate(chain->context, block, sizeof block) == 1);
    ENSURE(EVP_DigestUpdate(chain->context, body.at, body.length) == 1);
    ENSURE(EVP_DigestFinal_ex(chain->context, hash.byte, &length) == 1);
    ENSURE(length == JOURNAL_HASH_BYTES);
    return hash;
}

bool journal_hash_equal(const struct journal_hash *left, const struct journal_hash *right)
{
    return memcmp(left->byte, right->byte, JOURNAL_HASH_BYTES) == 0;
}
