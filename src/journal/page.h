/*
 * page.h: whether the page that holds the newest batches shows all of them.
 *
 * In SQLite's file a table is a tree, its newest rows are in the rightmost leaf, and how many rows
 * a leaf has is two bytes in it that nothing else confirms. One flipped bit there, and the newest
 * batches are gone without a trace: the chain up to the one before is perfect. But every byte of a
 * leaf's content belongs to a row, to a free block or to the count of lost fragments, so rows that
 * are not counted leave a hole in that sum.
 *
 * Format: sqlite.org/fileformat2.html, sections 1.3.6 and 1.6.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* The page to the right below an interior page of a table; 0 when the page is no such page. */
uint32_t page_rightmost(struct bytes page);

/* The page is a leaf of a table, has rows, and its rows, free blocks and fragments are all there is
 * in it. The page is without the bytes reserved at its end. */
bool page_leaf_is_whole(struct bytes page);
