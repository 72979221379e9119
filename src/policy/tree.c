/*
 * tree.c: libyaml's events, one after the other, hung into a tree. The nesting is kept on a stack
 * of our own, so that a deeply nested file costs a complaint and not the program's stack.
 */
#include "policy/tree.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

struct tree_reader {
    struct arena *scratch;
    struct policy_complaints *complaints;
    struct node *root;
    struct node *open[TREE_DEPTH_MAX];
    uint32_t depth;
    uint32_t node_count;
    bool has_key; /* a key was read and waits for its value */
    struct bytes key;
    struct place key_place;
};

static struct place place_of_mark(yaml_mark_t mark)
{
    return (struct place){(uint32_t)mark.line + 1, (uint32_t)mark.column + 1};
}

static struct bytes text_copy(struct arena *scratch, const uint8_t *text, size_t length)
{
    uint8_t *copy = arena_take(scratch, length + 1);
    ENSURE(copy != NULL);
    if (length > 0) memcpy(copy, text, length);
    return (struct bytes){copy, length};
}

static bool is_key_next(const struct tree_reader *reader)
{
    return reader->depth > 0 && reader->open[reader->depth - 1]->kind == NODE_MAPPING &&
           !reader->has_key;
}

/* A second value under the same key is left out of the tree: what it holds is not checked, since
 * nobody knows which of the two was meant. */
static bool is_duplicate(const struct tree_reader *reader, const struct node *parent)
{
    for (const struct node *child = parent->first; child != NULL; child = child->next) {
        if (!bytes_equal(child->key, reader->key)) continue;
        complaints_add(reader->complaints, reader->key_place,
                       "the key '%s' is here twice, expected it once (the first is in line %u)",
                       quote(reader->key).text, child->key_place.line);
        return true;
    }
    return false;
}

/* NULL when a ceiling is reached. */
static struct node *node_add(struct tree_reader *reader, enum node_kind kind, yaml_mark_t mark)
{
    const struct place place = place_of_mark(mark);
    if (reader->node_count == TREE_NODES_MAX) {
        complaints_add(reader->complaints, place,
                       "the file has too many values, expected at most %u", TREE_NODES_MAX);
        return NULL;
    }
    struct node *parent = reader->depth == 0 ? NULL : reader->open[reader->depth - 1];
    if (parent != NULL && parent->count == TREE_CHILDREN_MAX) {
        complaints_add(reader->complaints, place,
                       "this mapping or list is too long, expected at most %u entries",
                       TREE_CHILDREN_MAX);
        return NULL;
    }
    struct node *node = arena_take(reader->scratch, sizeof *node);
    ENSURE(node != NULL);
    reader->node_count++;
    node->kind = kind;
    node->place = place;
    node->key_place = reader->has_key ? reader->key_place : place;
    if (parent == NULL) {
        reader->root = node;
        return node;
    }
    if (reader->has_key) node->key = reader->key;
    const bool is_left_out = reader->has_key && is_duplicate(reader, parent);
    reader->has_key = false;
    if (is_left_out) return node;

    if (parent->last == NULL)
        parent->first = node;
    else
        parent->last->next = node;
    parent->last = node;
    parent->count++;
    return node;
}

static void refuse_decoration(struct tree_reader *reader, const yaml_event_t *event,
                              const uint8_t *anchor, const uint8_t *tag)
{
    const struct place place = place_of_mark(event->start_mark);
    if (anchor != NULL)
        complaints_add(reader->complaints, place,
                       "found the anchor '&%s', expected no anchors: write the value out where it "
                       "is needed",
                       quote(bytes_of_text((const char *)anchor)).text);
    if (tag != NULL)
        complaints_add(reader->complaints, place, "found the tag '%s', expected no tags",
                       quote(bytes_of_text((const char *)tag)).text);
}

static bool scalar_read(struct tree_reader *reader, const yaml_event_t *event)
{
    refuse_decoration(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
    const struct bytes text =
        text_copy(reader->scratch, event->data.scalar.value, event->data.scalar.length);
    if (is_key_next(reader)) {
        reader->has_key = true;
        reader->key = text;
        reader->key_place = place_of_mark(event->start_mark);
        return true;
    }
    struct node *node = node_add(reader, NODE_SCALAR, event->start_mark);
    if (node == NULL) return false;
    node->text = text;
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return true;
}

static bool alias_read(struct tree_reader *reader, const yaml_event_t *event)
{
    complaints_add(reader->complaints, place_of_mark(event->start_mark),
                   "found the alias '*%s', expected no aliases: write the value out where it is "
                   "needed",
                   quote(bytes_of_text((const char *)event->data.alias.anchor)).text);
    if (is_key_next(reader)) return false;
    return node_add(reader, NODE_REFUSED, event->start_mark) != NULL;
}

static bool collection_open(struct tree_reader *reader, const yaml_event_t *event,
                            enum node_kind kind)
{
    const struct place place = place_of_mark(event->start_mark);
    if (is_key_next(reader)) {
        complaints_add(reader->complaints, place, "found a %s as a key, expected a name",
                       kind == NODE_LIST ? "list" : "mapping");
        return false;
    }
    if (reader->depth == TREE_DEPTH_MAX) {
        complaints_add(reader->complaints, place,
                       "the file is nested too deeply, expected at most %u levels", TREE_DEPTH_MAX);
        return false;
    }
    struct node *node = node_add(reader, kind, event->start_mark);
    if (node == NULL) return false;
    reader->open[reader->depth++] = node;
    return true;
}

/* False when reading cannot go on. */
static bool event_read(struct tree_reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return alias_read(reader, event);
    case YAML_SCALAR_EVENT:
        return scalar_read(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        refuse_decoration(reader, event, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
        return collection_open(reader, event, NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        refuse_decoration(reader, event, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
        return collection_open(reader, event, NODE_MAPPING);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        ENSURE(reader->depth > 0);
        reader->depth--;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        if (reader->root == NULL) return true;
        complaints_add(reader->complaints, place_of_mark(event->start_mark),
                       "a second document begins here, expected one policy in one document");
        return false;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

/* libyaml gives no mark, only an offset, for bytes that are no text. */
static struct place place_of_offset(struct bytes yaml, size_t offset)
{
    struct place place = {1, 1};
    for (size_t spot = 0; spot < offset && spot < yaml.length; spot++) {
        if (yaml.at[spot] == '\n')
            place = (struct place){place.line + 1, 1};
        else if ((yaml.at[spot] & 0xc0) != 0x80)
            place.column++;
    }
    return place;
}

static void syntax_complain(const struct tree_reader *reader, const yaml_parser_t *parser,
                            struct bytes yaml)
{
    const char *problem = parser->problem == NULL ? "unreadable" : parser->problem;
    if (parser->error == YAML_READER_ERROR) {
        complaints_add(reader->complaints, place_of_offset(yaml, parser->problem_offset),
                       "the file is not text: %s, expected YAML in UTF-8", problem);
    } else if (parser->error == YAML_MEMORY_ERROR) {
        complaints_add(reader->complaints, (struct place){1, 1},
                       "memory ran out, expected enough to read the file");
    } else {
        complaints_add(reader->complaints, place_of_mark(parser->problem_mark),
                       "malformed YAML: %s%s%s, expected well-formed YAML", problem,
                       parser->context == NULL ? "" : " ",
                       parser->context == NULL ? "" : parser->context);
    }
}

static struct bytes without_byte_order_mark(struct bytes yaml)
{
    static const uint8_t mark[] = {0xef, 0xbb, 0xbf};
    if (yaml.length < sizeof mark || memcmp(yaml.at, mark, sizeof mark) != 0) return yaml;
    return (struct bytes){yaml.at + sizeof mark, yaml.length - sizeof mark};
}

struct node *tree_read(struct arena *scratch, struct bytes yaml,
                       struct policy_complaints *complaints)
{
    struct tree_reader reader = {.scratch = scratch, .complaints = complaints};
    CLEANUP(yaml_parser_delete) yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        parser.error = YAML_MEMORY_ERROR;
        syntax_complain(&reader, &parser, yaml);
        return NULL;
    }
    const struct bytes text = without_byte_order_mark(yaml);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, text.length == 0 ? (const uint8_t *)"" : text.at,
                                 text.length);
    for (bool is_done = false; !is_done;) {
        CLEANUP(yaml_event_delete) yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) == 0) {
            syntax_complain(&reader, &parser, text);
            return NULL;
        }
        if (!event_read(&reader, &event)) return NULL;
        is_done = event.type == YAML_STREAM_END_EVENT;
    }
    if (reader.root == NULL)
        complaints_add(complaints, (struct place){1, 1},
                       "the file is empty, expected a policy that begins with 'version: 1'");
    return reader.root;
}
