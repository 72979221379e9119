/*
 * members.c: see members.h. The ledger writes no blanks, so none are taken.
 */
#include "proof/members.h"

static bool take(struct members *members, char character)
{
    if (members->at == members->end || *members->at != (uint8_t)character) return false;
    ++members->at;
    return true;
}

static bool fail(struct members *members)
{
    members->is_bad = true;
    return false;
}

struct members members_of_object(struct bytes json)
{
    struct members members = {.at = json.at, .end = json.at + json.length};
    members.is_bad = !take(&members, '{');
    return members;
}

struct members members_of_array(struct bytes json)
{
    struct members members = {.at = json.at, .end = json.at + json.length};
    members.is_bad = !take(&members, '[');
    return members;
}

bool members_next_object(struct members *members)
{
    if (members->is_bad || take(members, ']')) return false;
    (void)take(members, ',');
    return take(members, '{') || fail(members);
}

static unsigned hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10u;
    return 16;
}

/* \u00xx alone: what is beyond ASCII stands as it is. */
static bool take_escape(struct members *members, struct buffer *text)
{
    static const char NAMES[] = "\"\\/bfnrt";
    static const char BYTES_MEANT[] = "\"\\/\b\f\n\r\t";
    if (members->at == members->end) return false;
    const uint8_t name = *members->at++;
    for (unsigned i = 0; i + 1 < sizeof(NAMES); ++i) {
        if (name != (uint8_t)NAMES[i]) continue;
        buffer_put_byte(text, (uint8_t)BYTES_MEANT[i]);
        return true;
    }
    if (name != 'u' || members->end - members->at < 4) return false;
    const unsigned high = hex_digit(members->at[2]);
    const unsigned low = hex_digit(members->at[3]);
    if (members->at[0] != '0' || members->at[1] != '0' || high > 7 || low > 15) return false;
    buffer_put_byte(text, (uint8_t)(high << 4 | low));
    members->at += 4;
    return true;
}

static bool take_text(struct members *members, uint8_t block[MEMBER_TEXT_MAX],
                      struct bytes *text_out)
{
    struct buffer text = buffer_over(block, MEMBER_TEXT_MAX);
    if (!take(members, '"')) return false;
    while (members->at < members->end && *members->at != '"') {
        const uint8_t byte = *members->at++;
        if (byte != '\\')
            buffer_put_byte(&text, byte);
        else if (!take_escape(members, &text))
            return false;
    }
    *text_out = buffer_bytes(&text);
    return take(members, '"') && !text.overflowed;
}

static bool take_number(struct members *members, int64_t *number_out)
{
    int64_t number = 0;
    const bool is_negative = take(members, '-');
    const uint8_t *start = members->at;
    while (members->at < members->end && *members->at >= '0' && *members->at <= '9')
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (int64_t)(*members->at++ - '0'), &number))
            return false;
    *number_out = is_negative ? -number : number;
    return members->at != start;
}

bool members_next(struct members *members, struct member *member_out)
{
    if (members->is_bad || take(members, '}')) return false;
    (void)take(members, ',');
    if (!take_text(members, member_out->name_block, &member_out->name) || !take(members, ':'))
        return fail(members);
    member_out->is_text = members->at < members->end && *members->at == '"';
    if (member_out->is_text ? take_text(members, member_out->text_block, &member_out->text)
                            : take_number(members, &member_out->number))
        return true;
    return fail(members);
}
