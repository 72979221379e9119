/*
 * options.c: getopt_long does the cutting, the table says what a value may be.
 */
#include "main/options.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "main/help.h"
#include "main/text_table.h"

/* What getopt_long returns for a long option: above every short one. */
enum { OPTIONS_MAX = 48, FIRST_NUMBER = 256 };

static options_listener *listener_now;
static void *listener_self;

static const char *color = "auto";

const struct option_rule options_general[] = {
    {.name = "color",
     .argument = "WHEN",
     .choices = "auto always never",
     .help = "colours: auto (on a terminal, unless NO_COLOR is set), always or never",
     .value_out = &color,
     .kind = OPTION_CHOICE,
     .section = SECTION_GENERAL},
    { .name = "help", .help = "print this", .kind = OPTION_FLAG,                       .section = SECTION_GENERAL },
};
const size_t options_general_count = COUNT_OF(options_general);

void options_listen(options_listener *listener, void *self)
{
    listener_now = listener;
    listener_self = self;
}

static bool take_digits(const char **text, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9'; ++at) {
        if (!number_multiply_u64(value, 10, &value)) return false;
        if (!number_add_u64(value, (uint64_t)(*at - '0'), &value)) return false;
    }
    if (at == *text) return false;
    *text = at;
    *value_out = value;
    return true;
}

static bool take_suffix(const char **text, uint64_t *value)
{
    static const char letters[] = "KMGT";
    const char *letter = **text != '\0' ? strchr(letters, **text) : NULL;
    if (letter == NULL) return true;
    ++*text;
    return number_multiply_u64(*value, UINT64_C(1) << (10 * (letter - letters + 1)), value);
}

static const struct {
    char letter;
    int64_t ms;
} time_units[] = {
    {'d',    DAY_MS},
    {'h',   HOUR_MS},
    {'m', MINUTE_MS},
    {'s', SECOND_MS},
};

static bool take_duration(const struct option_rule *rule, const char *text)
{
    uint64_t value = 0;
    if (!take_digits(&text, &value) || text[0] == '\0' || text[1] != '\0') return false;
    for (size_t i = 0; i < COUNT_OF(time_units); ++i) {
        if (time_units[i].letter != text[0]) continue;
        if (!number_multiply_u64(value, (uint64_t)time_units[i].ms, &value)) return false;
        if (value < rule->min || value > rule->max) return false;
        *(int64_t *)rule->value_out = (int64_t)value;
        return true;
    }
    return false;
}

static bool take_number(const struct option_rule *rule, const char *text)
{
    uint64_t value = 0;
    if (!take_digits(&text, &value)) return false;
    if (rule->kind == OPTION_BYTES && !take_suffix(&text, &value)) return false;
    if (*text != '\0' || value < rule->min || value > rule->max) return false;
    *(uint64_t *)rule->value_out = value;
    return true;
}

static bool is_choice(const char *choices, const char *text)
{
    const size_t length = strlen(text);
    for (const char *at = choices; *at != '\0';) {
        const size_t word = strcspn(at, " ");
        if (word == length && memcmp(at, text, word) == 0) return true;
        at += word + (at[word] == ' ' ? 1 : 0);
    }
    return false;
}

static bool take_value(const struct option_rule *rule, const char *text)
{
    switch (rule->kind) {
    case OPTION_FLAG:
        *(bool *)rule->value_out = true;
        return true;
    case OPTION_TEXT:
        *(const char **)rule->value_out = text;
        return text[0] != '\0';
    case OPTION_CHOICE:
        *(const char **)rule->value_out = text;
        return is_choice(rule->choices, text);
    case OPTION_COUNT:
    case OPTION_BYTES:
        return take_number(rule, text);
    case OPTION_DURATION:
        return take_duration(rule, text);
    case OPTION_INSTANT:
        return calendar_parse(bytes_of_text(text), rule->value_out);
    case OPTION_ABSENT:
        return false;
    }
    return false;
}

/* In the largest unit that leaves it whole. */
static const char *size_text(uint64_t bytes, char text_out[32])
{
    static const char *const units[] = {"", "K", "M", "G", "T"};
    size_t unit = 0;
    for (; bytes != 0 && bytes % 1024 == 0 && unit + 1 < COUNT_OF(units); ++unit)
        bytes /= 1024;
    (void)snprintf(text_out, 32, "%" PRIu64 "%s", bytes, units[unit]);
    return text_out;
}

static const char *duration_text(uint64_t ms, char text_out[32])
{
    size_t unit = 0;
    while (unit + 1 < COUNT_OF(time_units) && ms % (uint64_t)time_units[unit].ms != 0)
        ++unit;
    (void)snprintf(text_out, 32, "%" PRIu64 "%c", ms / (uint64_t)time_units[unit].ms,
                   time_units[unit].letter);
    return text_out;
}

static void say_expected(const struct option_rule *rule)
{
    char least[32];
    char most[32];
    switch (rule->kind) {
    case OPTION_TEXT:
        (void)fprintf(stderr, "must not be empty\n");
        return;
    case OPTION_CHOICE:
        (void)fprintf(stderr, "expected one of: %s\n", rule->choices);
        return;
    case OPTION_COUNT:
        (void)fprintf(stderr, "expected a whole number from %" PRIu64 " to %" PRIu64 "\n",
                      rule->min, rule->max);
        return;
    case OPTION_BYTES:
        (void)fprintf(stderr, "expected bytes such as 512M or 8G, from %s to %s\n",
                      size_text(rule->min, least), size_text(rule->max, most));
        return;
    case OPTION_DURATION:
        (void)fprintf(stderr, "expected a duration such as 90d or 36h, from %s to %s\n",
                      duration_text(rule->min, least), duration_text(rule->max, most));
        return;
    case OPTION_INSTANT:
        (void)fprintf(stderr, "expected " INSTANT_EXPECTED "\n");
        return;
    case OPTION_FLAG:
    case OPTION_ABSENT:
        (void)fprintf(stderr, "not offered yet\n");
        return;
    }
}

static enum options_result wrong(const struct usage *usage)
{
    (void)fprintf(stderr, "`weir %s --help` shows the options\n", usage->command);
    return OPTIONS_WRONG;
}

/* The command's own rules, then the general ones. */
static const struct option_rule *rule_at(const struct usage *usage, size_t number)
{
    return number < usage->rule_count ? &usage->rules[number]
                                      : &options_general[number - usage->rule_count];
}

void options_refuse_amount(const struct usage *usage, const char *word)
{
    (void)fprintf(stderr, "weir %s: %s '%s': expected %s\n", usage->command, usage->amount, word,
                  usage->amount_expected);
}

/* The word that getopt_long is in: it has left it behind where the letter was its last. */
static const char *short_word(char **argv)
{
    const char *behind = argv[optind - 1];
    return behind[0] == '-' && behind[1] == optopt && behind[2] == '\0' ? behind : argv[optind];
}

/* After getopt_long said '?': a short option, of which there are none, or a long one. */
static enum options_result wrong_option(const struct usage *usage, char **argv)
{
    const bool is_number = optopt == '.' || (optopt >= '0' && optopt <= '9');
    if (is_number && usage->amount != NULL) {
        options_refuse_amount(usage, short_word(argv));
        return wrong(usage);
    }
    if (optopt > 0 && optopt < FIRST_NUMBER) {
        (void)fprintf(stderr, "weir %s: unknown option '-%c'\n", usage->command, optopt);
        return wrong(usage);
    }
    const char *word = argv[optind - 1];
    const char *name = word + strspn(word, "-");
    struct suggestion meant =
        suggestion_for((struct bytes){.at = (const uint8_t *)name, .length = strcspn(name, "=")});
    for (size_t i = 0; i < usage->rule_count + options_general_count; ++i)
        if (rule_at(usage, i)->kind != OPTION_ABSENT)
            suggestion_offer(&meant, bytes_of_text(rule_at(usage, i)->name));
    (void)fprintf(stderr, "weir %s: unknown option '%s'", usage->command, word);
    if (meant.best.length > 0)
        (void)fprintf(stderr, "; did you mean --%.*s?", (int)meant.best.length,
                      (const char *)meant.best.at);
    (void)fputs("\n", stderr);
    return wrong(usage);
}

static enum options_result take_option(const struct usage *usage, size_t number, bool *seen)
{
    const struct option_rule *rule = rule_at(usage, number);
    if (rule->kind == OPTION_ABSENT) {
        (void)fprintf(stderr, "weir %s: --%s is not offered yet\n", usage->command, rule->name);
        return OPTIONS_WRONG;
    }
    if (rule->value_out == NULL) {
        help_print(usage);
        return OPTIONS_HELP;
    }
    if (seen[number]) {
        (void)fprintf(stderr, "weir %s: --%s is given twice\n", usage->command, rule->name);
        return wrong(usage);
    }
    seen[number] = true;
    if (!take_value(rule, optarg)) {
        (void)fprintf(stderr, "weir %s: --%s '%s': ", usage->command, rule->name, optarg);
        say_expected(rule);
        return wrong(usage);
    }
    if (rule->given_out != NULL) *rule->given_out = true;
    page_colour(color);
    return OPTIONS_TAKEN;
}

static enum options_result check_whole(const struct usage *usage, const bool *seen,
                                       const struct operands *operands)
{
    for (size_t i = 0; i < usage->rule_count; ++i) {
        if (!usage->rules[i].required || seen[i]) continue;
        (void)fprintf(stderr, "weir %s: --%s is missing\n", usage->command, usage->rules[i].name);
        return wrong(usage);
    }
    if (operands->count < usage->operands_min) {
        (void)fprintf(stderr, "weir %s: expected %s\n", usage->command, usage->operands);
        return wrong(usage);
    }
    if (operands->count > usage->operands_max) {
        (void)fprintf(stderr, "weir %s: unexpected '%s'\n", usage->command,
                      operands->at[usage->operands_max]);
        return wrong(usage);
    }
    return OPTIONS_TAKEN;
}

enum options_result options_take(const struct usage *usage, int argc, char **argv,
                                 struct operands *operands_out)
{
    struct option table[OPTIONS_MAX + 1] = {0};
    bool seen[OPTIONS_MAX] = {0};
    const size_t count = usage->rule_count + options_general_count;
    ENSURE(count <= OPTIONS_MAX);
    if (listener_now != NULL) {
        listener_now(listener_self, usage);
        return OPTIONS_HELP;
    }
    for (size_t i = 0; i < count; ++i) {
        const struct option_rule *rule = rule_at(usage, i);
        const bool is_flag = rule->kind == OPTION_FLAG;
        table[i] = (struct option){.name = rule->name,
                                   .has_arg = is_flag ? no_argument : required_argument,
                                   .val = FIRST_NUMBER + (int)i};
    }

    optind = 1;
    opterr = 0;
    for (;;) {
        const int number = getopt_long(argc, argv, ":", table, NULL);
        if (number == -1) break;
        if (number == ':') {
            (void)fprintf(stderr, "weir %s: %s needs a value\n", usage->command, argv[optind - 1]);
            return wrong(usage);
        }
        if (number == '?') return wrong_option(usage, argv);
        const enum options_result result =
            take_option(usage, (size_t)(number - FIRST_NUMBER), seen);
        if (result != OPTIONS_TAKEN) return result;
    }
    *operands_out = (struct operands){.at = argv + optind, .count = (size_t)(argc - optind)};
    return check_whole(usage, seen, operands_out);
}
