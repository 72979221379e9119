/*
 * tree.h: a YAML document as a tree of nodes that know where they stand in the file.
 *
 * Only the plain core of YAML is taken: one document of mappings with scalar keys, lists and
 * scalars. Anchors, aliases and tags are refused: a policy is a contract, and what it says should
 * stand where it is said.
 */
#pragma once

#include "policy/complaint.h"

#define TREE_DEPTH_MAX 16u
#define TREE_NODES_MAX 65536u
#define TREE_CHILDREN_MAX 1024u /* of one mapping or list */

enum node_kind {
    NODE_REFUSED, /* complained about already; nothing more is said about it */
    NODE_SCALAR,
    NODE_LIST,
    NODE_MAPPING
};

/* The value under a key and the key itself are one node. */
struct node {
    enum node_kind kind;
    struct place place;
    bool is_plain;          /* NODE_SCALAR: written without quotes */
    struct bytes text;      /* NODE_SCALAR */
    struct bytes key;       /* empty in a list and at the root */
    struct place key_place; /* of the key; else that of the node */
    uint32_t count;         /* of children */
    struct node *first;
    struct node *last;
    struct node *next;
};

/* NULL when the file cannot be read to its end; other mistakes are complained about and the tree
 * goes on. Nodes and their texts live in `scratch`. */
struct node *tree_read(struct arena *scratch, struct bytes yaml,
                       struct policy_complaints *complaints);
