#pragma once
/*
 * What every candidate (and nginx) answers: 400 bytes of JSON. run.sh reads the same bytes for the
 * nginx configuration by asking a candidate once.
 */
#define PAD_50 "01234567890123456789012345678901234567890123456789"
#define ANSWER_JSON                                                                               \
    "{\"decision\":\"allowed\",\"position\":\"123456789\",\"pad\":\"" PAD_50 PAD_50 PAD_50 PAD_50 \
        PAD_50 PAD_50 "0123456789012345678901234567890123456789012345\"}"
enum { ANSWER_BYTES = sizeof(ANSWER_JSON) - 1 };
_Static_assert(ANSWER_BYTES == 400, "the answer is 400 bytes");
