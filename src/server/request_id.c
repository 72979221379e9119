/*
 * request_id.c: see request_id.h.
 */
#include "server/request_id.h"

#include <string.h>

/* version "-" trace-id "-" parent-id "-" flags */
enum {
    TRACE_AT = 3,
    PARENT_AT = 36,
    FLAGS_AT = 53,
    LENGTH = 55 /* of version 00; later ones may go on behind another '-' */
};

static bool is_hex(struct bytes text, size_t at, size_t length)
{
    for (size_t i = at; i < at + length; ++i) {
        const uint8_t digit = text.at[i];
        const bool is_digit = (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
        if (!is_digit) return false;
    }
    return true;
}

static bool is_zero(struct bytes text, size_t at, size_t length)
{
    for (size_t i = at; i < at + length; ++i)
        if (text.at[i] != '0') return false;
    return true;
}

static bool has_right_end(struct bytes text)
{
    if (text.length == LENGTH) return true;
    return text.length > LENGTH && !is_zero(text, 0, 2) && text.at[LENGTH] == '-';
}

bool request_id_of_trace(struct bytes traceparent, struct request_id *id_out)
{
    const struct bytes text = traceparent;
    if (text.length < LENGTH || !has_right_end(text)) return false;
    if (text.at[TRACE_AT - 1] != '-' || text.at[PARENT_AT - 1] != '-' ||
        text.at[FLAGS_AT - 1] != '-')
        return false;
    if (!is_hex(text, 0, 2) || (text.at[0] == 'f' && text.at[1] == 'f')) return false;
    if (!is_hex(text, TRACE_AT, REQUEST_ID_LENGTH) || is_zero(text, TRACE_AT, REQUEST_ID_LENGTH))
        return false;
    if (!is_hex(text, PARENT_AT, 16) || is_zero(text, PARENT_AT, 16)) return false;
    if (!is_hex(text, FLAGS_AT, 2)) return false;
    memcpy(id_out->text, text.at + TRACE_AT, REQUEST_ID_LENGTH);
    return true;
}

struct request_id request_id_make(struct prng *prng)
{
    struct request_id id;
    struct buffer text = buffer_over(id.text, sizeof(id.text));
    buffer_put_hex_number(&text, prng_next(prng));
    buffer_put_hex_number(&text, prng_next(prng));
    ENSURE(text.used == sizeof(id.text));
    return id;
}
