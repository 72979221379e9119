/*
 * answer.h: what the subcommands ask of an answer's JSON. A thin face of libyajl's tree.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <yajl/yajl_tree.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* NULL when it is not JSON. Freed by answer_free, which fits CLEANUP. */
yajl_val answer_parse(const char *text);
void answer_free(yajl_val *tree);

/* `path` is a key, or keys joined by dots. Every reader takes NULL for "there is nothing". */
yajl_val answer_at(yajl_val value, const char *path);
const char *answer_text(yajl_val value, const char *path); /* "" when no string */
bool answer_is_true(yajl_val value, const char *path);     /* absent, or not true: false */
uint64_t answer_count(yajl_val value, const char *path);   /* 0 when no whole number */
bool answer_has_count(yajl_val value, const char *path, uint64_t *count_out);
int64_t answer_credits(yajl_val value, const char *path);              /* nano; 0 when no credits */
size_t answer_length(yajl_val value, const char *path);                /* of an array; else 0 */
yajl_val answer_item(yajl_val value, const char *path, size_t number); /* of an array; else NULL */
