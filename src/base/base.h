/*
 * base.h: the door of floor 0. Pure: no clock, no I/O, no allocation, no global state.
 */
#pragma once

#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/calendar.h"
#include "base/credits.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/index.h"
#include "base/list.h"
#include "base/numbers.h"
#include "base/prng.h"
#include "base/slab.h"
#include "base/suggestion.h"
