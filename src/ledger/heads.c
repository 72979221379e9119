#include "ledger/heads.h"

#include <string.h>

/* Overage accounts: several names a customer, at most. Address space alone. */
#define ACCOUNTS_PER_CUSTOMER 4u

/* Blocks of slabs and indexes are 64-aligned. */
static uint64_t aligned(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

bool heads_start(struct heads *heads, uint32_t customers_max)
{
    const uint64_t accounts_max = (uint64_t)customers_max * ACCOUNTS_PER_CUSTOMER;
    const uint32_t accounts =
        accounts_max > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)accounts_max;
    const uint64_t head_bytes = aligned(slab_bytes(sizeof(struct head), customers_max));
    const uint64_t account_bytes = aligned(slab_bytes(sizeof(struct overage_account), accounts));
    heads->block_bytes = head_bytes + account_bytes + index_bytes(customers_max);
    uint8_t *block = memory_reserve(heads->block_bytes);
    if (block == NULL) return false;
    heads->block = block;
    heads->heads = slab_over(block, sizeof(struct head), customers_max);
    heads->accounts = slab_over(block + head_bytes, sizeof(struct overage_account), accounts);
    heads->by_id = index_over(block + head_bytes + account_bytes, customers_max);
    return true;
}

void heads_end(struct heads *heads)
{
    if (heads->block != NULL) memory_release(heads->block, heads->block_bytes);
    heads->block = NULL;
}

uint64_t heads_bytes(const struct heads *heads)
{
    return slab_bytes(heads->heads.record_bytes, heads->heads.used) +
           slab_bytes(heads->accounts.record_bytes, heads->accounts.used) +
           index_bytes(heads->by_id.entries + 1);
}

uint32_t heads_find(const struct heads *heads, struct hash128 id)
{
    uint64_t cursor = 0;
    for (uint32_t n; (n = index_find(&heads->by_id, id.word[0], &cursor)) != 0;)
        if (hash_128_equal(heads_at(heads, n)->id, id)) return n;
    return 0;
}

uint32_t heads_add(struct heads *heads, struct hash128 id)
{
    if (slab_room(&heads->heads) == 0) return 0;
    const uint32_t number = slab_take(&heads->heads);
    heads_at(heads, number)->id = id;
    index_insert(&heads->by_id, id.word[0], number);
    return number;
}

uint32_t heads_accounts(const struct heads *heads, uint32_t number)
{
    uint32_t count = 0;
    for (uint32_t n = heads_at(heads, number)->accounts; n != 0; count++)
        n = ((const struct overage_account *)slab_at(&heads->accounts, n))->next;
    return count;
}

struct overage_account *heads_account(struct heads *heads, uint32_t number, uint32_t symbol)
{
    struct head *head = heads_at(heads, number);
    for (uint32_t n = head->accounts; n != 0;) {
        struct overage_account *account = slab_at(&heads->accounts, n);
        if (account->symbol == symbol) return account;
        n = account->next;
    }
    if (slab_room(&heads->accounts) == 0) return NULL;
    const uint32_t n = slab_take(&heads->accounts);
    struct overage_account *account = slab_at(&heads->accounts, n);
    account->symbol = symbol;
    account->next = head->accounts;
    head->accounts = n;
    return account;
}

bool heads_chain(struct heads *heads, uint32_t number, struct balance_row *row)
{
    struct head *head = heads_at(heads, number);
    if (row->account == ACCOUNT_OVERAGE) {
        struct overage_account *account = heads_account(heads, number, row->overage);
        if (account == NULL) return false;
        account->after = sum_of(sum_value(account->after) + row->delta);
        account->is_dirty = true;
        account->last_position = row->position;
        account->last_place = row->place;
        row->account_after = account->after.low;
        row->account_after_e18 = account->after.e18;
    } else {
        head->after += row->delta;
    }
    row->customer_after = head->after;
    row->number = ++head->updates;
    row->previous_position = head->last_position;
    row->previous_place = head->last_place;
    head->last_position = row->position;
    head->last_place = row->place;
    head->is_dirty = true;
    return true;
}
