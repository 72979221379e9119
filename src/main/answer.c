/*
 * answer.c: lookups by path. Numbers are read from their text, so that 2^53 loses nothing.
 */
#include "main/answer.h"

#include <string.h>

#include "base/base.h"

yajl_val answer_parse(const char *text)
{
    return yajl_tree_parse(text, NULL, 0);
}

void answer_free(yajl_val *tree)
{
    if (*tree != NULL) yajl_tree_free(*tree);
    *tree = NULL;
}

static yajl_val child(yajl_val value, const char *key, size_t length)
{
    if (!YAJL_IS_OBJECT(value)) return NULL;
    for (size_t i = 0; i < value->u.object.len; ++i) {
        const char *candidate = value->u.object.keys[i];
        if (strncmp(candidate, key, length) == 0 && candidate[length] == '\0')
            return value->u.object.values[i];
    }
    return NULL;
}

yajl_val answer_at(yajl_val value, const char *path)
{
    while (*path != '\0' && value != NULL) {
        const size_t length = strcspn(path, ".");
        value = child(value, path, length);
        path += length;
        if (*path == '.') ++path;
    }
    return value;
}

const char *answer_text(yajl_val value, const char *path)
{
    const yajl_val found = answer_at(value, path);
    return YAJL_IS_STRING(found) ? found->u.string : "";
}

bool answer_is_true(yajl_val value, const char *path)
{
    const yajl_val found = answer_at(value, path);
    return YAJL_IS_TRUE(found);
}

bool answer_has_count(yajl_val value, const char *path, uint64_t *count_out)
{
    const yajl_val found = answer_at(value, path);
    uint64_t count = 0;
    if (!YAJL_IS_NUMBER(found)) return false;
    for (const char *at = found->u.number.r; *at != '\0'; ++at) {
        if (*at < '0' || *at > '9') return false;
        if (!number_multiply_u64(count, 10, &count)) return false;
        if (!number_add_u64(count, (uint64_t)(*at - '0'), &count)) return false;
    }
    *count_out = count;
    return true;
}

uint64_t answer_count(yajl_val value, const char *path)
{
    uint64_t count = 0;
    return answer_has_count(value, path, &count) ? count : 0;
}

int64_t answer_credits(yajl_val value, const char *path)
{
    int64_t nano = 0;
    return credits_parse(bytes_of_text(answer_text(value, path)), &nano) ? nano : 0;
}

size_t answer_length(yajl_val value, const char *path)
{
    const yajl_val found = answer_at(value, path);
    return YAJL_IS_ARRAY(found) ? found->u.array.len : 0;
}

yajl_val answer_item(yajl_val value, const char *path, size_t number)
{
    const yajl_val found = answer_at(value, path);
    return YAJL_IS_ARRAY(found) && number < found->u.array.len ? found->u.array.values[number]
                                                               : NULL;
}
