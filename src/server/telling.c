/*
 * telling.c: see telling.h.
 */
#include "server/telling.h"

#include "server/routes.h"
#include "wire/wire.h"

enum { SLOW_A_SECOND = 10, FAILED_A_SECOND = 10, STRANGERS_A_SECOND = 1 };

static void put_request(struct log_line *line, const struct exchange *exchange)
{
    const struct route *route = exchange->route;
    log_text(line, "method", route == NULL ? "none" : route->method);
    log_text(line, "route", route == NULL ? "none" : route->pattern);
    log_number(line, "status", (int64_t)exchange->answer.status);
    log_bytes(line, "request_id", request_id_bytes(&exchange->request_id));
}

static int64_t us_between(int64_t from_ns, int64_t to_ns)
{
    return from_ns == 0 || to_ns < from_ns ? 0 : (to_ns - from_ns) / 1000;
}

/* At debug: one line each. */
static void tell_request(const struct exchange *exchange)
{
    struct log_line line = log_begin(LOG_DEBUG, "request");
    put_request(&line, exchange);
    log_number(&line, "us", us_between(exchange->taken_ns, clock_monotonic_ns()));
    log_end(&line);
}

static void tell_slow(struct telling *telling, const struct exchange *exchange, int64_t now_ns)
{
    const struct exchange_times *times = &exchange->times;
    if (!log_pace_take(&telling->slow, now_ns, SLOW_A_SECOND)) return;
    struct log_line line = log_begin(LOG_WARN, "slow_request");
    put_request(&line, exchange);
    log_number(&line, "us", us_between(exchange->taken_ns, now_ns));
    log_number(&line, "queue_us", us_between(exchange->taken_ns, times->begun_ns));
    log_number(&line, "wait_us", times->waited_ns / 1000);
    log_number(&line, "durable_us", us_between(times->decided_ns, now_ns));
    log_paced(&line, &telling->slow);
    log_end(&line);
}

void telling_sent(struct telling *telling, const struct exchange *exchange, int64_t now_ns)
{
    if (exchange->taken_ns == 0) return; /* nobody's request */
    if (log_is_on(LOG_DEBUG)) tell_request(exchange);
    /* An export takes as long as its reader. */
    const bool is_export = exchange->reading != NULL && exchange->reading->is_stream;
    if (now_ns - exchange->taken_ns > TELLING_SLOW_NS && !is_export)
        tell_slow(telling, exchange, now_ns);
}

static void note_overload(struct telling *telling, int64_t now_ns)
{
    if (!telling->is_overloaded) {
        telling->refused = 0;
        log_event(LOG_WARN, "overload_begun");
    }
    telling->is_overloaded = true;
    telling->refused_ns = now_ns;
    ++telling->refused;
}

static void tell_stranger(struct telling *telling, struct bytes request_id, int64_t now_ns)
{
    if (!log_pace_take(&telling->strangers, now_ns, STRANGERS_A_SECOND)) return;
    struct log_line line = log_begin(LOG_WARN, "access_refused");
    log_bytes(&line, "request_id", request_id);
    log_paced(&line, &telling->strangers);
    log_end(&line);
}

void telling_problem(struct telling *telling, enum problem_code code, struct bytes request_id,
                     int64_t now_ns)
{
    const unsigned status = wire_problem_status(code);
    if (code == PROBLEM_UNAUTHORIZED) tell_stranger(telling, request_id, now_ns);
    if (status < 500) return;
    if (code == PROBLEM_CAPACITY || code == PROBLEM_OVERLOADED) note_overload(telling, now_ns);
    if (!log_pace_take(&telling->failed, now_ns, FAILED_A_SECOND)) return;
    struct log_line line = log_begin(status == 500 ? LOG_ERROR : LOG_WARN, "request_failed");
    log_text(&line, "code", wire_problem_code(code));
    log_number(&line, "status", (int64_t)status);
    log_bytes(&line, "request_id", request_id);
    log_paced(&line, &telling->failed);
    log_end(&line);
}

void telling_policy_applied(const struct exchange *exchange, const struct engine_policy_info *info,
                            bool from_file)
{
    uint8_t block[16];
    struct buffer hash = buffer_over(block, sizeof block);
    buffer_put_hex_number(&hash, info->content_hash);
    struct log_line line = log_begin(LOG_INFO, "policy_applied");
    log_number(&line, "version", (int64_t)info->version);
    log_bytes(&line, "content_hash", buffer_bytes(&hash));
    log_text(&line, "from", from_file ? "file" : "api");
    log_bytes(&line, "request_id", request_id_bytes(&exchange->request_id));
    log_end(&line);
}

void telling_policy_refused(const struct exchange *exchange, uint32_t mistakes, struct bytes first)
{
    struct log_line line = log_begin(LOG_WARN, "policy_refused");
    log_number(&line, "mistakes", (int64_t)mistakes);
    log_bytes(&line, "first", first);
    log_bytes(&line, "request_id", request_id_bytes(&exchange->request_id));
    log_end(&line);
}

static void tell_lag(const char *event, enum log_level level, int64_t lag_ms)
{
    struct log_line line = log_begin(level, event);
    log_number(&line, "lag_ms", lag_ms);
    log_end(&line);
}

void telling_turn(struct telling *telling, bool is_behind, int64_t lag_ms, int64_t now_ns)
{
    if (is_behind && !telling->is_behind) tell_lag("ledger_behind", LOG_WARN, lag_ms);
    if (!is_behind && telling->is_behind) tell_lag("ledger_caught_up", LOG_INFO, lag_ms);
    telling->is_behind = is_behind;
    if (!telling->is_overloaded || now_ns - telling->refused_ns < TELLING_CALM_NS) return;
    telling->is_overloaded = false;
    struct log_line line = log_begin(LOG_INFO, "overload_ended");
    log_number(&line, "refused", (int64_t)telling->refused);
    log_end(&line);
}
