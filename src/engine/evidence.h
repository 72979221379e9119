/*
 * evidence.h: what is brought to a decision about the past (RULING_RECALL). The state forgets how
 * holds ended and what was refunded once the books have it; who asks for it again brings what the
 * journal and the books say. It is journaled with the command, so that deciding again needs
 * neither.
 *
 * All that is in it comes from facts, by evidence_add_*: an auditor with the same facts gets the
 * same bytes. (Where the fact is gone, the owner comes from the books; on such evidence nothing is
 * decided that would be journaled.)
 */
#pragma once

#include "engine/fact.h"

/* What became of a decision, as its newest EFFECT_ENDED says. */
struct ending {
    enum hold_state state; /* HOLD_NONE: it was settled when it was made; only refunded since */
    bool late;
    uint64_t position; /* as in EFFECT_ENDED: of the fact that settled it or said its terms last */
    uint64_t body_hash;
    int64_t refunded;
    int64_t until_ms; /* commit, release and extend remember it until then (H6) */
};
struct ending ending_of_effect(const struct effect *effect);

enum evidence_of {
    EVIDENCE_NONE,   /* there is no such entry, or it is nothing that can be asked after */
    EVIDENCE_HOLD,   /* an authorize that was allowed */
    EVIDENCE_CHARGE, /* a consume or usage that was allowed */
    EVIDENCE_GRANT,
    EVIDENCE_CUT /* a decision whose entry is kept no longer: all that is known is whose it was */
};

#define EVIDENCE_VERSION 1u
#define EVIDENCE_BYTES_MAX (64u * 1024u)

struct evidence {
    /* Of the decision or grant that the command names. */
    bool is_whole; /* this and what became of it were looked up; else the origin alone */
    enum evidence_of of;
    struct hash128 customer;
    enum category category; /* EVIDENCE_GRANT */
    uint64_t cursor; /* the books had every entry up to this position; 0: nobody asked them */
    bool has_ending;
    struct ending ending;

    /* Of the fact at `origin`: the terms of a hold, or the lines that were settled. */
    uint64_t origin; /* 0: none was brought; whoever finds none there says so all the same */
    bool has_terms;
    struct effect terms; /* EFFECT_HOLD */
    bool has_lines;
    int64_t charged;
    uint32_t line_count;
    struct line lines[LINES_MAX];
};

/* Nothing is known. */
void evidence_clear(struct evidence *evidence);
/* The fact of the entry at `id`, which is its own origin until evidence_add_origin. */
void evidence_add_decision(struct evidence *evidence, uint64_t id, const struct fact *fact);
/* Of an entry that is kept no longer: whose it was; `category` 0: a decision's, else a grant's. */
void evidence_add_owner(struct evidence *evidence, struct hash128 customer, enum category category);
/* The fact that ended it last: a commit, a release, an expiry. False: it is none. */
MUST_USE bool evidence_add_ending(struct evidence *evidence, uint64_t id, const struct fact *fact);
/* What was refunded of it so far. */
void evidence_add_refunds(struct evidence *evidence, uint64_t id, int64_t refunded);
/* The fact at ending.position. */
void evidence_add_origin(struct evidence *evidence, uint64_t id, const struct fact *fact);

void evidence_encode(const struct evidence *evidence, struct buffer *buffer);
/* False when the bytes are not one whole evidence of this version. */
MUST_USE bool evidence_decode(struct bytes bytes, struct evidence *evidence_out);
