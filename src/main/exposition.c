/*
 * exposition.c: one pass over the lines; nothing is indexed, since there are some thousand samples
 * and a reader asks some dozen questions.
 */
#include "main/exposition.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOUNDS_MAX = 64, LABEL_BYTES_MAX = 128 };

/* Past the closing brace; quoted values may hold one. NULL: there is none. */
static char *labels_end(char *at)
{
    bool is_quoted = false;
    for (; *at != '\0'; ++at) {
        if (is_quoted && *at == '\\' && at[1] != '\0')
            ++at;
        else if (*at == '"')
            is_quoted = !is_quoted;
        else if (*at == '}' && !is_quoted)
            return at;
    }
    return NULL;
}

/* `line` ends with NUL and is cut into its parts. */
static bool read_sample(char *line, struct sample *sample_out)
{
    struct sample sample = {.name = line, .labels = ""};
    char *at = line + strcspn(line, "{ ");
    if (at == line || *at == '\0') return false;
    if (*at == '{') {
        char *end = labels_end(at + 1);
        if (end == NULL) return false;
        sample.labels = at + 1;
        *at = '\0';
        *end = '\0';
        at = end + 1;
    } else {
        *at++ = '\0';
    }
    char *end = NULL;
    sample.value = strtod(at, &end);
    if (end == at) return false;
    *sample_out = sample;
    return true;
}

bool exposition_read(const char *text, struct exposition *exposition_out)
{
    struct exposition exposition = {.text = strdup(text)};
    size_t lines = 1;
    for (const char *at = text; *at != '\0'; ++at)
        lines += *at == '\n';
    exposition.samples = calloc(lines, sizeof(struct sample));
    bool is_good = exposition.text != NULL && exposition.samples != NULL;
    for (char *line = exposition.text; is_good && *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        char *next = line + length + (line[length] == '\n' ? 1 : 0);
        line[length] = '\0';
        if (length > 0 && line[0] != '#')
            is_good = read_sample(line, &exposition.samples[exposition.count++]);
        line = next;
    }
    if (is_good)
        *exposition_out = exposition;
    else
        exposition_free(&exposition);
    return is_good;
}

void exposition_free(struct exposition *exposition)
{
    free(exposition->text);
    free(exposition->samples);
    *exposition = (struct exposition){0};
}

bool sample_label(const struct sample *sample, const char *label, char *value_out, size_t size)
{
    const size_t length = strlen(label);
    for (const char *at = sample->labels; *at != '\0';) {
        const size_t name = strcspn(at, "=");
        if (at[name] == '\0' || at[name + 1] != '"') return false;
        const bool is_wanted = name == length && memcmp(at, label, length) == 0;
        size_t used = 0;
        at += name + 2;
        for (; *at != '\0' && *at != '"'; ++at) {
            char byte = *at;
            if (byte == '\\' && at[1] != '\0') byte = *++at == 'n' ? '\n' : *at;
            if (is_wanted && used + 1 < size) value_out[used++] = byte;
        }
        if (is_wanted) {
            value_out[used] = '\0';
            return true;
        }
        at += *at == '"';
        at += strspn(at, ", ");
    }
    return false;
}

static bool is_so(const struct sample *sample, struct label_wanted wanted)
{
    char value[LABEL_BYTES_MAX];
    if (wanted.label == NULL) return true;
    if (!sample_label(sample, wanted.label, value, sizeof(value))) return false;
    return wanted.value == NULL || strcmp(value, wanted.value) == 0;
}

double exposition_sum(const struct exposition *exposition, const char *name,
                      struct label_wanted first, struct label_wanted second)
{
    double sum = 0;
    for (size_t i = 0; i < exposition->count; ++i) {
        const struct sample *sample = &exposition->samples[i];
        if (strcmp(sample->name, name) == 0 && is_so(sample, first) && is_so(sample, second))
            sum += sample->value;
    }
    return sum;
}

double exposition_growth(const struct exposition *before, const struct exposition *now,
                         const char *name, struct label_wanted first, struct label_wanted second)
{
    const double sum = exposition_sum(now, name, first, second);
    const double was = before != NULL ? exposition_sum(before, name, first, second) : 0;
    return sum < was ? sum : sum - was;
}

struct bucket {
    double bound;
    double count; /* of this and all below, as they come */
};

static uint32_t sum_buckets(const struct exposition *exposition, const char *name,
                            struct label_wanted wanted, struct bucket buckets_out[BOUNDS_MAX])
{
    uint32_t count = 0;
    char bound[LABEL_BYTES_MAX];
    for (size_t i = 0; i < exposition->count; ++i) {
        const struct sample *sample = &exposition->samples[i];
        if (strcmp(sample->name, name) != 0 || !is_so(sample, wanted) ||
            !sample_label(sample, "le", bound, sizeof(bound)))
            continue;
        const double value = strtod(bound, NULL);
        uint32_t place = 0;
        while (place < count && buckets_out[place].bound != value)
            ++place;
        if (place == BOUNDS_MAX) continue;
        if (place == count) buckets_out[count++] = (struct bucket){.bound = value};
        buckets_out[place].count += sample->value;
    }
    return count;
}

/* Series of one histogram share their bounds, in ascending order. */
double exposition_quantile(const struct exposition *before, const struct exposition *now,
                           const char *histogram, struct label_wanted wanted, double share)
{
    char name[LABEL_BYTES_MAX];
    struct bucket grown[BOUNDS_MAX];
    struct bucket were[BOUNDS_MAX];
    (void)snprintf(name, sizeof(name), "%s_bucket", histogram);
    const uint32_t count = sum_buckets(now, name, wanted, grown);
    const uint32_t were_count = before != NULL ? sum_buckets(before, name, wanted, were) : 0;
    const bool has_begun_anew =
        were_count == count && count > 0 && were[count - 1].count > grown[count - 1].count;
    for (uint32_t i = 0; i < count && were_count == count && !has_begun_anew; ++i)
        grown[i].count -= were[i].count;
    if (count == 0 || grown[count - 1].count <= 0) return NAN;

    const double rank = share * grown[count - 1].count;
    double bound = 0;
    double below = 0;
    for (uint32_t i = 0; i < count; ++i) {
        if (grown[i].count >= rank && grown[i].count > below) {
            if (isinf(grown[i].bound)) return bound; /* at least this; nobody knows how much */
            return bound + (grown[i].bound - bound) * (rank - below) / (grown[i].count - below);
        }
        bound = grown[i].bound;
        below = grown[i].count;
    }
    return bound;
}
