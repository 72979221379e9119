/*
 * testing.h: what both test programs of this folder need: compiling against a fresh set of symbols,
 * and long files put together piece by piece. Not part of the library.
 */
#pragma once

#include "base/testing.h"
#include "policy/policy_compile.h"

/* The symbols that every state is born with. */
static inline const struct symbols *born_symbols(void)
{
    static struct bytes names[SYMBOL_FIRST_FREE];
    static const struct symbols symbols = {names, SYMBOL_FIRST_FREE - 1};
    names[SYMBOL_PROMOTIONAL] = BYTES("promotional");
    names[SYMBOL_ENTITLEMENT] = BYTES("entitlement");
    names[SYMBOL_PAID] = BYTES("paid");
    names[SYMBOL_UNLIMITED] = BYTES("unlimited");
    return &symbols;
}

static inline struct arena *test_arena(void)
{
    static uint8_t block[POLICY_ARENA_BYTES];
    static struct arena arena;
    arena = arena_over(block, sizeof block);
    return &arena;
}

/* Lives until the next one is compiled. */
static inline const struct policy *compiled(struct bytes yaml,
                                            struct policy_complaints *complaints_out)
{
    struct arena *arena = test_arena();
    const struct policy *policy = policy_compile(arena, yaml, born_symbols(), complaints_out);
    assert_true((policy == NULL) == (complaints_out->count > 0));
    if (policy == NULL) assert_int_equal(arena->used, 0);
    return policy;
}

/* "line:column: text\n" for each; lives until the next call. */
static inline const char *complaints_of(struct bytes yaml)
{
    static struct policy_complaints complaints;
    static char text[POLICY_COMPLAINTS_MAX * (POLICY_COMPLAINT_BYTES_MAX + 32)];
    (void)compiled(yaml, &complaints);
    size_t length = 0;
    text[0] = '\0';
    for (uint32_t place = 0; place < complaints.count; place++) {
        const struct policy_complaint *complaint = &complaints.at[place];
        length += (size_t)snprintf(text + length, sizeof text - length, "%u:%u: %s\n",
                                   complaint->line, complaint->column, complaint->text);
    }
    return text;
}

/* A long file under construction; there is one at a time. */
struct text {
    size_t length;
};
static uint8_t text_block[2 * POLICY_BYTES_MAX];

static inline void text_put(struct text *text, const char *piece)
{
    const size_t length = strlen(piece);
    assert_true(length <= sizeof text_block - text->length);
    memcpy(text_block + text->length, piece, length);
    text->length += length;
}

static inline void text_repeat(struct text *text, const char *piece, unsigned times)
{
    for (unsigned time = 0; time < times; time++)
        text_put(text, piece);
}

/* Every '#' stands for the number. */
static inline void text_put_numbered(struct text *text, const char *piece, unsigned number)
{
    for (; *piece != '\0'; piece++) {
        char digits[16] = {*piece};
        if (*piece == '#') (void)snprintf(digits, sizeof digits, "%u", number);
        text_put(text, digits);
    }
}

static inline struct bytes text_bytes(const struct text *text)
{
    return (struct bytes){text_block, text->length};
}
