/*
 * exposition.h: what GET /metrics answers, read: the text format of Prometheus (version 0.0.4).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sample {
    const char *name;   /* "weir_decisions_total" */
    const char *labels; /* what stands between the braces; "" for none */
    double value;
};

/* All samples, in their order. */
struct exposition {
    char *text; /* owned; what the samples point into */
    struct sample *samples;
    size_t count;
};

/* False when memory is short, or a line is neither a comment nor a sample. */
bool exposition_read(const char *text, struct exposition *exposition_out);
void exposition_free(struct exposition *exposition); /* fits CLEANUP */

/* A label's value, unescaped and cut to fit; false when there is no such label. */
bool sample_label(const struct sample *sample, const char *label, char *value_out, size_t size);

/* Of one label; `value` NULL: whatever it is. */
struct label_wanted {
    const char *label;
    const char *value;
};
/* Sum of the samples of this name that have both labels so; a wanted label NULL is no condition. */
double exposition_sum(const struct exposition *exposition, const char *name,
                      struct label_wanted first, struct label_wanted second);
/* As above, less what it was before; a counter that fell began anew, with its process. `before`
 * NULL: nothing was. */
double exposition_growth(const struct exposition *before, const struct exposition *now,
                         const char *name, struct label_wanted first, struct label_wanted second);

/* The value below which this share (0..1) of a histogram's growth lies, even within a bucket; of
 * all its series that have the label so. NAN when nothing grew. */
double exposition_quantile(const struct exposition *before, const struct exposition *now,
                           const char *histogram, struct label_wanted wanted, double share);
