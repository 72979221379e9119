#include "engine/entry.h"

void entry_put(struct buffer *buffer, struct entry entry)
{
    buffer_put_signed(buffer, entry.at_ms);
    buffer_put_bytes(buffer, entry.command);
    buffer_put_bytes(buffer, entry.fact);
}

bool entry_take(struct reader *reader, struct entry *entry_out)
{
    if (reader_is_done(reader)) return false;
    const struct entry entry = {
        .at_ms = reader_take_signed(reader),
        .command = reader_take_bytes(reader),
        .fact = reader_take_bytes(reader),
    };
    if (reader->bad) return false;
    *entry_out = entry;
    return true;
}
