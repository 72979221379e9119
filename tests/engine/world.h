/*
 * world.h: an engine in a test's hands. Commands are lines of text, answers are lines of text, so
 * that a story reads as a table. Behind every line the world checks what must always hold:
 *
 *   - deciding changes nothing: the state's hash before and after is one
 *   - a fact survives its codec, byte for byte, and so does the command
 *   - applying the decoded facts to a second engine gives the same state
 *   - that engine, which has forgotten other things, decides every command to the same fact
 *   - no balance, counter or hold is ever impossible
 *   - what a settling fact says of its price is the exact cost, reckoned once more
 *
 * Commands:
 *   at +5h                        moves time; what falls due on the way happens
 *   authorize|consume|check|usage CUSTOMER FEATURE [METER=N ...] [OPTION ...]
 *     options: subject=PATH key=K ttl=DUR min=N credits=yes|no model=X (any attribute: .NAME=V)
 *              status=failed|moderated as=critical|sheddable (its priority) explain=yes
 *   commit|release|extend LABEL [METER=N ...] [status=...] [ttl=DUR] [key=K]
 *     a commit without quantities says none; with "{}" it says that they are none
 *   customer NAME [plan=P] [mode=auto|ask|off] [suspended=yes|no] [anchor=RFC3339|none]
 *            [suspend=PATH] [resume=PATH] [limit.NAME=N] [budget.NAME=CREDITS]
 *   grant CUSTOMER CATEGORY CREDITS [priority=N] [from=+DUR] [until=+DUR] [features=a,b] [key=K]
 *   void LABEL    reset CUSTOMER LIMIT [subject=PATH]    refund LABEL CREDITS|all [key=K]
 *   policy N                      installs the world's n-th policy
 *   pool NAME F|none|- [shed=none|sheddable|default|all]
 *   standing CUSTOMER[/PATH] normal|restricted|probation|trusted
 *   file N                        a start with that policy as its file: applied, kept (P1), or
 *                                 what is wrong with it
 *   balance CUSTOMER              status CUSTOMER FEATURE [subject=PATH]
 * A leading "A: " labels the decision or grant that the line makes.
 */
#pragma once

#include "engine/engine.h"

#define WORLD_LABELS_MAX 4096
#define WORLD_ENTRIES_MAX (1u << 20)

struct world;

/* 2026-05-01T12:00:00Z */
#define WORLD_START_MS INT64_C(1777636800000)

static const struct hash_key WORLD_KEY = {
    {1, 2}
};

struct world *world_open(const char *const *policies, unsigned count);
struct world *world_open_with(const char *const *policies, unsigned count,
                              struct engine_ceilings ceilings);
void world_close(struct world *world); /* checks that a replay gives the same state */

/* Does one line, answers in the world's own memory until the next one. */
const char *world_do(struct world *world, const char *line);

/* The same of a command that somebody else has parsed; it is used up. */
const char *world_play(struct world *world, struct command *command);
/* As lines say it: "1h30m"; "+1h30m". */
int64_t world_duration(const char *text);
#define WORLD_TIME_SIZE 64
void world_tell_time(int64_t ms, char text_out[WORLD_TIME_SIZE]);

struct engine *world_engine(struct world *world);
struct engine *world_twin(struct world *world); /* the second engine */
const struct policy *world_policy(const struct world *world);
int64_t world_now(const struct world *world);
/* The fact of the last line that made one. */
const struct fact *world_fact(const struct world *world);
/* What the last command was answered with, a replay too, and as of when; NULL: world_problem. */
const struct report *world_report(const struct world *world, int64_t *at_ms_out);
const struct problem *world_problem(const struct world *world);
/* The journal entries so far, the policy's first of all. Entry n has the position of entry
 * n % WORLD_BATCH_ENTRIES in batch 2 + n / WORLD_BATCH_ENTRIES. */
#define WORLD_BATCH_ENTRIES 5u
uint64_t world_entry_count(const struct world *world);
struct entry world_entry(const struct world *world, uint64_t number); /* views that stay */
/* Journals how many denials have joined a crowd so far in this second, as a server does when the
 * second is over, or its time stands still and somebody reads the books. */
void world_tell_crowd(struct world *world);
/* Moves time without doing what falls due: what a read may meet between two turns of a server. */
void world_skip(struct world *world, int64_t ms);
/* Shows every fact, due ones too, to an observer as it is applied. */
typedef void world_observer(void *self, const struct fact *fact);
void world_observe(struct world *world, world_observer *observer, void *self);
/* Off: skips the whole-state hashes around each line, for long random runs. */
void world_check_purity(struct world *world, bool on);
/* How much of the past the engine forgets before each line: what it can (the books have all at
 * once), a little now and then (as the world begins), the same but not how holds ended as long as
 * somebody may ask, or only what is over, without books. */
enum world_memory { MEMORY_NONE, MEMORY_SHORT, MEMORY_OF_HOLDS, MEMORY_WITHOUT_BOOKS };
void world_remember(struct world *world, enum world_memory memory);
