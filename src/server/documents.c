/*
 * documents.c: see documents.h.
 */
#include "server/documents.h"

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct bytes trimmed(struct bytes text)
{
    while (text.length > 0 && is_space(text.at[0])) {
        ++text.at;
        --text.length;
    }
    while (text.length > 0 && is_space(text.at[text.length - 1]))
        --text.length;
    return text;
}

/* Our tags have no comma within. A weak tag of the same text is as good here (RFC 9110, 13.1.2). */
bool document_is_known(struct bytes if_none_match)
{
    const struct bytes tag = bytes_of_text(document_openapi_tag);
    size_t start = 0;
    for (size_t at = 0; at <= if_none_match.length && if_none_match.at != NULL; ++at) {
        if (at < if_none_match.length && if_none_match.at[at] != ',') continue;
        struct bytes one = trimmed((struct bytes){if_none_match.at + start, at - start});
        start = at + 1;
        if (bytes_equal(one, BYTES("*"))) return true;
        if (one.length > 2 && one.at[0] == 'W' && one.at[1] == '/')
            one = (struct bytes){one.at + 2, one.length - 2};
        if (bytes_equal(one, tag)) return true;
    }
    return false;
}

struct bytes document_problem(struct bytes code)
{
    for (const struct document_page *page = document_pages; page->code != NULL; ++page)
        if (bytes_equal(code, bytes_of_text(page->code))) return page->text;
    return BYTES_NONE;
}
