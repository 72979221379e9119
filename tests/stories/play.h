/*
 * play.h: a story's stage: the engine's world (tests/engine/world.h), and around it the real parts
 * that a rule may be about: the wire, the clock, the books. Lines besides the world's:
 *
 *   40x LINE           that line so often; the last answer
 *   batch BODY         a batch as JSON, read by the wire; every operation is parsed, stamped and
 *                      decided when its turn comes; the answers, with " ; " between them
 *   json MEMBER        of the last decision as the wire renders it: the values of such members
 *   resp WORDS         consume, authorize, commit or release as RESP has them ("$" is the last
 *                      decision's id); the answer's lines, without lengths of strings, ids as "d_?"
 *   clock +DUR         so long passes; from now on the real clock tells the world's time
 *   wall +DUR | -DUR   somebody sets the wall clock
 *   clock confirm      the operator says that the wall clock is right; like those two it answers
 *                      the time since the story began, and what was not followed
 *   books CUSTOMER     all so far, settled by the real settler into a real ledger, checked as a
 *                      whole and against the engine (B3). Usage events: "16x", so many in a row;
 *                      "*23", one that counts so many denials. Costs, in the order of monetization
 *                      events: units=charge, +units of overshoot, and the remainder over its
 *                      denominator, where there are any. Moves: the balance updates by cause. Now:
 *                      the balance
 */
#pragma once

#include "../engine/world.h"

struct play;

struct play *play_open(const char *const *policies, unsigned count);
void play_close(struct play *play);
/* Plays one line; the answer lasts until the next one. */
const char *play_line(struct play *play, const char *line);
struct world *play_world(struct play *play);
