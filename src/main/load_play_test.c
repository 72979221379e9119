/*
 * load_play_test.c: rows against a peer that says by turns everything a server may say. What must
 * hold whatever it says: each row ends once, and the sums are those of the answers.
 */
#include "main/answer.h"
#include "main/load.h"
#include "main/testing.h"

enum { ROWS = 350, CUSTOMERS = 9, CONNECTIONS = 5 };

struct said {
    unsigned authorizes;
    unsigned commits;
    unsigned clock_calls;
    int64_t charged;
};

static void say(int socket, unsigned status, const char *body)
{
    char text[2048];
    const int length =
        snprintf(text, sizeof(text), "HTTP/1.1 %u Said\r\nContent-Length: %zu\r\n\r\n%s", status,
                 strlen(body), body);
    peer_send(socket, text, (size_t)length);
}

/* Of seven authorizes four are allowed, one each is granted in part, denied, refused. */
static void say_authorize(struct said *said, int socket, const char *request)
{
    char body[512];
    const unsigned turn = said->authorizes++;
    assert_non_null(strstr(request, "\"idempotency_key\":\"test-"));
    assert_non_null(strstr(request, "\"output_tokens\":"));
    if (turn % 7 == 4) {
        say(socket, 200,
            "{\"decision_id\":\"d_0\",\"outcome\":\"deny\",\"units\":{\"requested\":9,\"allowed\":"
            "0},"
            "\"reason\":{\"code\":\"rate_limited\"}}");
        return;
    }
    if (turn % 7 == 5) {
        say(socket, 422, "{\"code\":\"invalid_value\",\"detail\":\"no\"}");
        return;
    }
    const bool is_part = turn % 7 == 6;
    (void)snprintf(body, sizeof(body),
                   "{\"decision_id\":\"d_%u\",\"outcome\":\"%s\",\"units\":{\"requested\":100,"
                   "\"allowed\":%u},\"reason\":{\"code\":\"ok\"}}",
                   turn, is_part ? "partial" : "allow", is_part ? 50 : 100);
    say(socket, 200, body);
}

/* Every third commit overshoots; every eleventh is refused. */
static void say_commit(struct said *said, int socket)
{
    const unsigned turn = said->commits++;
    if (turn % 11 == 10) {
        say(socket, 409, "{\"code\":\"conflict\",\"detail\":\"no\"}");
        return;
    }
    said->charged += 2;
    say(socket, 200,
        turn % 3 == 0
            ? "{\"decision_id\":\"d_1\",\"outcome\":\"committed\",\"units\":{\"allowed\":100},"
              "\"charged\":\"0.000000002\",\"allocations\":["
              "{\"source\":\"paid\",\"kind\":\"grant\",\"units\":100,\"charged\":\"0.000000002\"}],"
              "\"overshoot\":{\"units\":7,\"charged\":\"0.000000005\",\"refunded\":\"0.000000005\"}"
              "}"
            : "{\"decision_id\":\"d_1\",\"outcome\":\"committed\",\"units\":{\"allowed\":60},"
              "\"charged\":\"0.000000002\",\"late\":true,\"allocations\":["
              "{\"source\":\"included\",\"kind\":\"allowance\",\"units\":50,\"charged\":\"0\"},"
              "{\"source\":\"included\",\"kind\":\"allowance\",\"units\":8,\"charged\":\"0\"},"
              "{\"source\":\"paid\",\"kind\":\"grant\",\"units\":2,\"charged\":\"0.000000002\"}]}");
}

static bool answer(void *self, int socket, const char *request)
{
    struct said *said = self;
    if (strncmp(request, "POST /v1/authorize ", 19) == 0) {
        say_authorize(said, socket, request);
    } else if (strncmp(request, "POST /v1/holds/d_", 17) == 0) {
        say_commit(said, socket);
    } else {
        assert_int_equal(strncmp(request, "POST /v1/clock ", 15), 0);
        ++said->clock_calls;
        say(socket, 200, "{\"now\":\"2026-05-04T09:00:00Z\"}");
    }
    return true;
}

struct stage {
    struct server_address address;
    struct said said;
    struct peer peer;
    struct load_settings settings;
    struct trace trace;
    uint32_t customer_of[ROWS];
    struct load_customer customers[CUSTOMERS];
    struct load_tally tally;
};

static void stage_open(struct stage *stage)
{
    char url[64];
    *stage = (struct stage){
        .settings = {.feature = "codex",
                     .customer_prefix = "c-",
                     .key_prefix = "test",
                     .customers = CUSTOMERS,
                     .connections = CONNECTIONS,
                     .attempts = 2,
                     .zipf_nano = NANO_PER_CREDIT,
                     .estimate_nano = 10 * NANO_PER_CREDIT},
    };
    stage->peer = (struct peer){.self = &stage->said, .answer = answer};
    peer_start(&stage->peer);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", stage->peer.port);
    assert_true(
        server_address_find("test", &(struct client_options){.server = url}, &stage->address));
    stage->settings.address = &stage->address;
    assert_true(trace_map_parse("a=input_tokens,b=output_tokens", &stage->settings.map));
    for (int i = 0; i < ROWS; ++i) {
        const struct trace_row row = {
            .at_ms = i * 1000, .quantity = {100, 30}
        };
        assert_true(trace_append(&stage->trace, &row));
    }
    assert_true(load_assign_customers(&stage->settings, ROWS, stage->customer_of));
    assert_true(load_tally_begin(&stage->tally, ROWS));
}

static bool stage_play(struct stage *stage, const volatile bool *stop)
{
    return load_play(&stage->settings, &stage->trace, stage->customer_of, stage->customers, stop,
                     &stage->tally);
}

static void stage_close(struct stage *stage)
{
    peer_stop(&stage->peer);
    load_tally_free(&stage->tally);
    trace_free(&stage->trace);
}

static void every_row_ends_once_and_the_sums_are_those_of_the_answers(void **state)
{
    static struct stage stage;
    volatile bool stop = false;
    int64_t charged = 0;
    (void)state;
    stage_open(&stage);
    assert_true(stage_play(&stage, &stop));
    const struct load_tally *tally = &stage.tally;
    /* 350 authorizes: 50 denied, 50 refused, 250 to be committed; of those every 11th refused. */
    assert_int_equal(tally->rows_played, ROWS);
    assert_int_equal(stage.said.authorizes, ROWS);
    assert_int_equal(stage.said.commits, 250);
    assert_int_equal(tally->requests, ROWS + 250);
    assert_int_equal(tally->outcomes[LOAD_DENIED], 50);
    assert_int_equal(tally->outcomes[LOAD_FAILED], 50 + 22);
    assert_int_equal(tally->outcomes[LOAD_ALLOWED] + tally->outcomes[LOAD_PARTIAL], 228);
    assert_int_equal(tally->denials.at[0].rows, 50);
    assert_int_equal(tally->failures.at[0].rows + tally->failures.at[1].rows, 72);
    for (uint32_t i = 0; i < tally->source_count; ++i) {
        const bool is_paid = strcmp(tally->sources[i].name, "paid") == 0;
        charged += tally->sources[i].charged;
        assert_int_equal(tally->sources[i].rows, is_paid ? 228 : tally->late);
    }
    assert_int_equal(charged, stage.said.charged);
    charged = 0;
    for (int i = 0; i < CUSTOMERS; ++i)
        charged += stage.customers[i].charged;
    assert_int_equal(charged, stage.said.charged);
    assert_int_equal(tally->overshoot.charged, 5 * (int64_t)tally->overshoot.rows);
    assert_int_equal(tally->overshoot.rows + tally->late, 228);
    assert_int_equal(stage.said.clock_calls, 0);
    stage_close(&stage);
}

static void the_record_has_a_line_for_every_row(void **state)
{
    static struct stage stage;
    static bool is_seen[ROWS];
    char *written = NULL;
    size_t length = 0;
    int lines = 0;
    volatile bool stop = false;
    (void)state;
    stage_open(&stage);
    stage.settings.record = open_memstream(&written, &length);
    assert_non_null(stage.settings.record);
    assert_true(stage_play(&stage, &stop));
    assert_int_equal(fclose(stage.settings.record), 0);
    for (char *line = strtok(written, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        CLEANUP(answer_free) yajl_val tree = answer_parse(line);
        const uint64_t row = answer_count(tree, "row");
        const char *outcome = answer_text(tree, "outcome");
        const bool is_part = strcmp(outcome, "partial") == 0;
        assert_true(row < ROWS && !is_seen[row]);
        is_seen[row] = true;
        ++lines;
        if (strcmp(outcome, "failed") == 0) continue;
        /* Who got half keeps to it: the input was known, the output held ten times over. */
        assert_int_equal(answer_count(tree, "input_tokens"), is_part ? 50 : 100);
        assert_int_equal(answer_count(tree, "output_tokens"), 30);
    }
    assert_int_equal(lines, ROWS);
    free(written);
    stage_close(&stage);
}

static void the_clock_is_moved_once_per_step_when_nothing_is_under_way(void **state)
{
    static struct stage stage;
    volatile bool stop = false;
    (void)state;
    stage_open(&stage);
    stage.settings.moves_clock = true;
    assert_true(stage_play(&stage, &stop));
    assert_int_equal(stage.tally.rows_played, ROWS);
    /* 350 seconds: asked once, then moved to 10, 20, ... 340. */
    assert_int_equal(stage.said.clock_calls, 1 + 34);
    stage_close(&stage);
}

static void a_stopped_play_lands_what_is_under_way(void **state)
{
    static struct stage stage;
    volatile bool stop = true;
    (void)state;
    stage_open(&stage);
    assert_true(stage_play(&stage, &stop));
    assert_int_equal(stage.tally.rows_played, 0);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_ends_once_and_the_sums_are_those_of_the_answers),
        cmocka_unit_test(the_record_has_a_line_for_every_row),
        cmocka_unit_test(the_clock_is_moved_once_per_step_when_nothing_is_under_way),
        cmocka_unit_test(a_stopped_play_lands_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
