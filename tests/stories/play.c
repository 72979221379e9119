#include "play.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../ledger/books.h"
#include "platform/clock.h"
#include "wire/wire.h"

/* What the clock reads, in the story's hands. */
struct clocks {
    int64_t wall_ms;
    int64_t boot_ms;
};

struct play {
    struct world *world;
    struct clocks clocks;
    struct clock clock;
    char text[8192];
};

static int64_t read_wall(void *context)
{
    return ((const struct clocks *)context)->wall_ms;
}

static int64_t read_boot(void *context)
{
    return ((const struct clocks *)context)->boot_ms;
}

struct play *play_open(const char *const *policies, unsigned count)
{
    struct play *play = calloc(1, sizeof *play);
    assert_non_null(play);
    play->world = world_open(policies, count);
    play->clocks.wall_ms = WORLD_START_MS;
    const struct clock_source source = {read_wall, read_boot, &play->clocks};
    play->clock = clock_over(source, WORLD_START_MS);
    return play;
}

void play_close(struct play *play)
{
    world_close(play->world);
    free(play);
}

struct world *play_world(struct play *play)
{
    return play->world;
}

static void say(struct play *play, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct play *play, const char *format, ...)
{
    const size_t used = strlen(play->text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(play->text + used, sizeof play->text - used, format, arguments);
    va_end(arguments);
}

/* --- the wire -------------------------------------------------------------------------------- */

#define ARENA_BYTES (512 * (size_t)1024)

static void play_operation(struct play *play, const struct wire_operation *operation,
                           struct arena *arena)
{
    static struct command command;
    static uint8_t rendered[WIRE_PROBLEM_BYTES_MAX + 1];
    struct problem problem;
    if (wire_parse_operation(operation, arena, &command, &problem)) {
        say(play, "%s", world_play(play->world, &command));
        return;
    }
    struct buffer buffer = buffer_over(rendered, WIRE_PROBLEM_BYTES_MAX);
    wire_render_problem(&problem, BYTES_NONE, &buffer);
    assert_false(buffer.overflowed);
    rendered[buffer.used] = '\0';
    say(play, "! %s", wire_problem_code(problem.code));
    const char *field = strstr((const char *)rendered, "\"field\":\"");
    if (field != NULL) say(play, " %.*s", (int)strcspn(field + 9, "\""), field + 9);
}

static void play_batch(struct play *play, const char *body)
{
    void *block = malloc(ARENA_BYTES);
    assert_non_null(block);
    struct arena arena = arena_over(block, ARENA_BYTES);
    struct wire_operation *operations;
    uint32_t count = 0;
    struct problem problem;
    if (!wire_parse_batch(bytes_of_text(body), &arena, &operations, &count, &problem))
        say(play, "! %s", wire_problem_code(problem.code));
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0) say(play, " ; ");
        play_operation(play, &operations[i], &arena);
    }
    free(block);
}

static void play_json(struct play *play, const char *member)
{
    int64_t at_ms;
    const struct report *report = world_report(play->world, &at_ms);
    assert_non_null(report);
    uint8_t *body = malloc(WIRE_REPORT_BYTES_MAX + 1);
    assert_non_null(body);
    struct buffer buffer = buffer_over(body, WIRE_REPORT_BYTES_MAX);
    struct wire_fields fields;
    wire_answer_report(WIRE_FORM_JSON, report, at_ms, engine_symbols(world_engine(play->world)),
                       &buffer, &fields);
    assert_false(buffer.overflowed);
    body[buffer.used] = '\0';
    char name[64];
    (void)snprintf(name, sizeof name, "\"%s\":", member);
    for (const char *at = (const char *)body; (at = strstr(at, name)) != NULL;) {
        at += strlen(name);
        say(play, "%s%.*s", play->text[0] == '\0' ? "" : " ", (int)strcspn(at, ",}]"), at);
    }
    free(body);
}

/* "$" is the decision told last. */
static struct bytes resp_words(const struct play *play, const char *line, uint8_t *block,
                               size_t size)
{
    char words[1024];
    char id[ID_TEXT_SIZE];
    const char *wrong = NULL;
    const char *here = strchr(line, '$');
    int64_t at_ms;
    const struct report *told = world_report(play->world, &at_ms);
    id_format('d', told == NULL ? 0 : told->id, id);
    if (here == NULL) here = line + strlen(line);
    (void)snprintf(words, sizeof words, "%.*s%s%s", (int)(here - line), line,
                   *here == '$' ? id : "", *here == '$' ? here + 1 : "");
    struct buffer out = buffer_over(block, size);
    assert_true(resp_from_line(bytes_of_text(words), &out, &wrong));
    assert_false(out.overflowed);
    return buffer_bytes(&out);
}

/* An answer's lines with spaces between them; what strings are long does not matter here. */
static void say_resp(struct play *play, char *answer)
{
    for (char *line = strtok(answer, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
        if (line[0] == '$') continue;
        const bool is_id = strncmp(line, "d_", 2) == 0;
        say(play, "%s%s", play->text[0] == '\0' ? "" : " ", is_id ? "d_?" : line);
    }
}

static void play_resp(struct play *play, const char *line)
{
    static const struct {
        const char *verb;
        enum wire_call call;
    } calls[] = {
        {  "consume",   WIRE_CONSUME},
        {"authorize", WIRE_AUTHORIZE},
        {   "commit",    WIRE_COMMIT},
        {  "release",   WIRE_RELEASE},
    };
    static struct command command;
    static uint8_t block[2048];
    static uint8_t answer[WIRE_REPORT_BYTES_MAX + 1];
    struct problem problem;
    struct resp_arguments arguments;
    struct wire_fields fields;
    void *memory = malloc(ARENA_BYTES);
    assert_non_null(memory);
    struct arena arena = arena_over(memory, ARENA_BYTES);
    struct wire_request request = {.form = WIRE_FORM_RESP,
                                   .body = resp_words(play, line, block, sizeof block)};
    resp_split(request.body, &arguments);
    for (unsigned i = 0; i < COUNT_OF(calls); i++)
        if (bytes_equal(arguments.at[0], bytes_of_text(calls[i].verb)))
            request.call = calls[i].call;
    if (arguments.count > 1) request.target = arguments.at[1];
    struct buffer out = buffer_over(answer, WIRE_REPORT_BYTES_MAX);
    const struct report *report = NULL;
    int64_t at_ms = 0;
    if (wire_parse(&request, &arena, &command, &problem)) {
        (void)world_play(play->world, &command);
        report = world_report(play->world, &at_ms);
        problem = *world_problem(play->world);
    }
    if (report != NULL)
        wire_answer_report(WIRE_FORM_RESP, report, at_ms, engine_symbols(world_engine(play->world)),
                           &out, &fields);
    else
        wire_answer_problem(WIRE_FORM_RESP, &problem, BYTES_NONE, &out);
    assert_false(out.overflowed);
    answer[out.used] = '\0';
    say_resp(play, (char *)answer);
    free(memory);
}

/* --- the clock ------------------------------------------------------------------------------- */

static void say_now(struct play *play)
{
    char line[64], told[64];
    const int64_t now_ms = clock_now_ms(&play->clock);
    (void)snprintf(line, sizeof line, "at +%" PRId64 "ms", now_ms - WORLD_START_MS);
    (void)world_do(play->world, line);
    world_tell_time(now_ms - WORLD_START_MS, told);
    say(play, "now %s", told);
    const struct clock_state state = clock_state(&play->clock);
    if (state.unconfirmed_ms == 0) return;
    world_tell_time(state.unconfirmed_ms, told);
    say(play, ", %s not followed", told);
}

static void play_clock(struct play *play, const char *word)
{
    if (strcmp(word, "confirm") == 0) {
        clock_confirm(&play->clock);
    } else {
        const int64_t ms = world_duration(word + 1);
        play->clocks.wall_ms += ms;
        play->clocks.boot_ms += ms;
    }
    say_now(play);
}

static void play_wall(struct play *play, const char *word)
{
    const int64_t ms = world_duration(word + 1);
    play->clocks.wall_ms += word[0] == '-' ? -ms : ms;
    say_now(play);
}

/* --- the books ------------------------------------------------------------------------------- */

#define FOLDED 8 /* so many equal rows are told one by one */

/* " | TITLE" and the rows of a customer, each with a space before it. */
static void say_rows(struct play *play, struct books *books, const char *title, const char *column,
                     const char *table, const char *customer)
{
    char sql[1024];
    (void)snprintf(sql, sizeof sql, "SELECT ' '||%s FROM %s WHERE customer='%s'", column, table,
                   customer);
    char *rows = books_query(books, sql);
    say(play, "%s%s", play->text[0] == '\0' ? "" : " | ", title);
    for (char *row = strtok(rows, "\n"), *next; row != NULL; row = next) {
        unsigned times = 1;
        while ((next = strtok(NULL, "\n")) != NULL && strcmp(next, row) == 0)
            times++;
        if (times > FOLDED) say(play, " %ux", times);
        for (unsigned i = 0; i < (times > FOLDED ? 1 : times); i++)
            say(play, "%s", row);
    }
    free(rows);
}

/* What the ledger has settled is what the engine has, held or not (B2): all is settled here. */
static void check_balance(struct play *play, struct books *books, const char *customer)
{
    static struct balance_view view;
    char sql[256];
    (void)snprintf(sql, sizeof sql,
                   "SELECT customer_after FROM balance_updates WHERE customer='%s' "
                   "ORDER BY number DESC LIMIT 1",
                   customer);
    char *settled = books_query(books, sql);
    if (!engine_balance(world_engine(play->world), world_policy(play->world),
                        bytes_of_text(customer), world_now(play->world), &view))
        view.available = view.held = 0;
    assert_int_equal(strtoll(settled, NULL, 10), view.available + view.held);
    free(settled);
}

#define CREDITS(column) "rtrim(rtrim(printf('%.9f'," column "/1e9),'0'),'.')"

static const char usage_column[] = "CASE WHEN late THEN 'late_' ELSE '' END||kind||"
                                   "CASE WHEN count>1 THEN '*'||count ELSE '' END";
static const char cost_column[] =
    "printf('%d=%s'||CASE WHEN overshoot_units THEN '+%d' ELSE '%.0s' END||"
    "CASE WHEN remainder_before+remainder_after THEN '(%d>%d/%d)' ELSE '' END,"
    "units," CREDITS("charged") ",overshoot_units,remainder_before,remainder_after,q)";
static const char move_column[] =
    "cause||CASE WHEN delta<0 THEN '-' ELSE '+' END||" CREDITS("abs(delta)");
static const char balance_column[] = CREDITS("customer_after");

static void play_books(struct play *play, const char *customer)
{
    world_tell_crowd(play->world);
    struct books *books = books_open();
    books_append(books, play->world, false);
    books_start_settler(books);
    books_settle(books);
    books_check(books);
    check_balance(play, books, customer);
    say_rows(play, books, "usage", usage_column, "(SELECT * FROM usage_events ORDER BY position)",
             customer);
    say_rows(play, books, "cost", cost_column,
             "(SELECT * FROM monetization_events ORDER BY position)", customer);
    say_rows(play, books, "moves", move_column, "(SELECT * FROM balance_updates ORDER BY number)",
             customer);
    say_rows(play, books, "now", balance_column,
             "(SELECT *,max(number) FROM balance_updates GROUP BY customer)", customer);
    books_close(books);
}

/* --- lines ----------------------------------------------------------------------------------- */

static const struct {
    const char *verb;
    void (*play)(struct play *play, const char *rest);
} verbs[] = {
    {"batch ", play_batch},
    { "json ",  play_json},
    { "resp ",  play_resp},
    {"clock ", play_clock},
    { "wall ",  play_wall},
    {"books ", play_books},
};

const char *play_line(struct play *play, const char *line)
{
    char *rest;
    const unsigned long times = strtoul(line, &rest, 10);
    if (times > 1 && strncmp(rest, "x ", 2) == 0) {
        for (unsigned long i = 1; i < times; i++)
            (void)play_line(play, rest + 2);
        return play_line(play, rest + 2);
    }
    play->text[0] = '\0';
    for (unsigned i = 0; i < COUNT_OF(verbs); i++) {
        if (strncmp(line, verbs[i].verb, strlen(verbs[i].verb)) != 0) continue;
        verbs[i].play(play, line + strlen(verbs[i].verb));
        return play->text;
    }
    return world_do(play->world, line);
}
