/*
 * documents.h: what the server says of itself: the contract as JSON, and a page for every problem.
 * Made from api/openapi.yaml and docs/API.md when the program is built (api/embed.py).
 */
#pragma once

#include "base/base.h"

extern const struct bytes document_openapi;
extern const char document_openapi_tag[]; /* a strong ETag */
/* Whether If-None-Match names that tag; absent: no. */
bool document_is_known(struct bytes if_none_match);

struct document_page {
    const char *code; /* of the problem; NULL: no more */
    struct bytes text;
};
extern const struct document_page document_pages[];
/* Empty: no problem has this code. */
struct bytes document_problem(struct bytes code);
