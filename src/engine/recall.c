/*
 * recall.c: what became of a decision that a command names. The state's own memory wins; what it
 * has forgotten because the books have it (sweep.c) must be brought as evidence. So memory is
 * bounded by how far the books are behind, and the answers are those of a state that never forgets.
 *
 * Evidence may be older than the state by the time that it is here. It is good when the books had
 * all that was forgotten since they were read: what is younger is still remembered.
 */
#include "engine/decide.h"

static struct ruling ask_for(enum recall recall, uint64_t position)
{
    return (struct ruling){.kind = RULING_RECALL, .recall = recall, .position = position};
}

/* NULL: none was brought. */
static const struct evidence *brought(const struct decision_context *c)
{
    struct evidence *evidence = c->engine->evidence;
    if (c->command->evidence.length == 0) return NULL;
    return evidence_decode(c->command->evidence, evidence) ? evidence : NULL;
}

/* A decision younger than all that was forgotten has not been forgotten itself. */
static bool is_good(const struct decision_context *c, const struct evidence *evidence)
{
    const uint64_t forgotten = c->engine->forgotten_through;
    if (evidence->of != EVIDENCE_HOLD && evidence->of != EVIDENCE_CHARGE) return true;
    return evidence->cursor >= forgotten || c->command->target > forgotten;
}

const struct evidence *recall_whole(const struct decision_context *c, struct ruling *ruling_out)
{
    const struct evidence *evidence = brought(c);
    if (evidence != NULL && evidence->is_whole && is_good(c, evidence)) return evidence;
    *ruling_out = ask_for(RECALL_WHOLE, c->command->target);
    return NULL;
}

const struct evidence *recall_origin(const struct decision_context *c, uint64_t position,
                                     struct ruling *ruling_out)
{
    const struct evidence *evidence = brought(c);
    if (evidence != NULL && evidence->origin == position) return evidence;
    *ruling_out = ask_for(RECALL_ORIGIN, position);
    return NULL;
}

static struct past past_of_memory(const struct decision_context *c, const struct ended *ended)
{
    return (struct past){
        .is_known = true,
        .owner = owner_of_customer(c->engine, ended->customer),
        .ending = {.state = (enum hold_state)ended->state,
                   .late = ended->late,
                   .position = ended->position,
                   .body_hash = ended->body_hash,
                   .refunded = ended->refunded,
                   .until_ms = ended->until_ms},
    };
}

/* What was charged when it was decided has no ending until it is refunded. */
static struct past past_of_evidence(const struct decision_context *c,
                                    const struct evidence *evidence)
{
    const bool is_charge = evidence->of == EVIDENCE_CHARGE;
    struct past past = {
        .is_known = is_charge || (evidence->of == EVIDENCE_HOLD && evidence->has_ending),
        .is_cut = evidence->of == EVIDENCE_CUT,
        .owner = owner_of_id(c->engine, evidence->customer),
        .ending = {.position = c->command->target, .until_ms = INSTANT_NEVER},
    };
    if (evidence->has_ending) past.ending = evidence->ending;
    return past;
}

bool recall_past(const struct decision_context *c, struct past *past_out, struct ruling *ruling_out)
{
    const uint32_t number = ended_find(c->engine, c->command->target);
    const struct ended *ended = slab_at(&c->engine->ended, number);
    /* Where no books are kept this one may be swept: then nobody must be able to tell. */
    const bool may_be_swept =
        number != 0 && ended->refunded == 0 && c->stamp.now_ms >= ended->until_ms;
    const struct evidence *evidence = brought(c);
    const bool was_taken = evidence != NULL && !evidence->is_whole; /* and its origin asked for */
    if (number != 0 && (!may_be_swept || was_taken)) {
        *past_out = past_of_memory(c, ended);
        return true;
    }
    evidence = recall_whole(c, ruling_out);
    if (evidence == NULL) return false;
    *past_out = number != 0 && evidence->cursor != 0 ? past_of_memory(c, ended)
                                                     : past_of_evidence(c, evidence);
    return true;
}

struct ruling recall_unknown(const struct past *past, const char *expected)
{
    return ruling_problem(PROBLEM_UNKNOWN_DECISION, NULL, BYTES_NONE,
                          past->is_cut ? RECALL_EXPECTED_KEPT : expected);
}

bool recall_remembered(const struct decision_context *c, struct past *past_out,
                       struct ruling *ruling_out)
{
    if (!recall_past(c, past_out, ruling_out)) return false;
    const struct ending *ending = &past_out->ending;
    if (ending->state == HOLD_NONE || c->stamp.now_ms >= ending->until_ms)
        past_out->is_known = false;
    return true;
}
