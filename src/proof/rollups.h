/*
 * rollups.h (private): the sums by hour against the events that they are of, those by day against
 * the hours. One read an hour, which may be long: for copies only.
 */
#pragma once

#include "proof/books.h"

MUST_USE bool rollups_check(struct books *books, const struct proof_parts *parts);
