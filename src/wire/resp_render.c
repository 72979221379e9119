/*
 * resp_render.c: what the engine decided, and problems, as RESP has them (API.md section 5). Like
 * render_report.c a pure function of the entry; the same bytes in versions 2 and 3.
 */
#include "wire/resp_render.h"

#include "wire/resp.h"
#include "wire/words.h"

static void put_decision(const struct report *report, const char *outcome, struct symbols symbols,
                         struct buffer *buffer)
{
    char text[CREDITS_TEXT_SIZE];
    char id[ID_TEXT_SIZE];
    id_format('d', report->id, id);
    resp_put_array(buffer, 6 + report->line_count);
    resp_put_text(buffer, outcome);
    resp_put_text(buffer, id);
    resp_put_count(buffer, report->units_allowed);
    credits_format(report->charged, text);
    resp_put_text(buffer, text);
    resp_put_text(buffer, reason_code(report->reason));
    resp_put_integer(buffer, report->reason == REASON_OK ? -1 : report->retry_after_ms);
    for (uint32_t i = 0; i < report->line_count; ++i) {
        const struct line *line = &report->lines[i];
        resp_put_array(buffer, 3);
        resp_put_bulk(buffer, words_name(symbols, line->source));
        resp_put_count(buffer, line->units);
        credits_format(line->charged, text);
        resp_put_text(buffer, text);
    }
}

void resp_render_report(const struct report *report, struct symbols symbols, struct buffer *buffer)
{
    switch (report->kind) {
    case COMMAND_AUTHORIZE:
    case COMMAND_CONSUME:
        put_decision(report, words_outcome(report->outcome), symbols, buffer);
        return;
    case COMMAND_COMMIT:
        put_decision(report, report->late ? "late" : "committed", symbols, buffer);
        return;
    case COMMAND_RELEASE:
        resp_put_simple(buffer, "OK");
        return;
    case COMMAND_CHECK:
    case COMMAND_USAGE:
    case COMMAND_EXTEND:
    case COMMAND_GRANT:
    case COMMAND_VOID:
    case COMMAND_RESET:
    case COMMAND_REFUND:
    case COMMAND_CUSTOMER:
    case COMMAND_POLICY:
    case COMMAND_ACCESS:
    case COMMAND_DUE:
    case COMMAND_SEAL:
    case COMMAND_POOL:
        break;
    }
    ENSURE(false); /* RESP has no command for it */
}

/* Clients know these two by the words that Redis has for them. */
static void put_code(enum problem_code code, struct buffer *buffer)
{
    if (code == PROBLEM_UNAUTHORIZED) {
        buffer_put_text(buffer, "NOAUTH");
        return;
    }
    if (code == PROBLEM_FORBIDDEN) {
        buffer_put_text(buffer, "NOPERM");
        return;
    }
    for (const char *at = wire_problem_code(code); *at != '\0'; ++at)
        buffer_put_byte(buffer, (uint8_t)(*at >= 'a' && *at <= 'z' ? *at - ('a' - 'A') : *at));
}

void resp_render_problem(const struct problem *problem, struct bytes request_id,
                         struct buffer *buffer)
{
    buffer_put_byte(buffer, '-');
    put_code(problem->code, buffer);
    buffer_put_byte(buffer, ' ');
    if (problem->code == PROBLEM_UNAUTHORIZED)
        buffer_put_text(buffer, "Authentication required: AUTH with an access key that is live");
    else
        wire_put_detail(problem, buffer);
    if (wire_problem_status(problem->code) >= 500 && request_id.length > 0) {
        buffer_put_text(buffer, " (request ");
        buffer_put(buffer, request_id.at, request_id.length);
        buffer_put_byte(buffer, ')');
    }
    buffer_put_text(buffer, "\r\n");
}
