/*
 * answer.c: answers in the form that was asked in.
 */
#include "wire/wire.h"

#include "wire/resp_render.h"

void wire_answer_report(enum wire_form form, const struct report *report, int64_t at_ms,
                        struct symbols symbols, struct buffer *buffer,
                        struct wire_fields *fields_out)
{
    switch (form) {
    case WIRE_FORM_JSON:
        wire_render_report(report, at_ms, symbols, buffer, fields_out);
        return;
    case WIRE_FORM_RESP:
        fields_out->policy_length = fields_out->limit_length = 0;
        resp_render_report(report, symbols, buffer);
        return;
    case WIRE_FORM_PROTOBUF:
        wire_render_report_protobuf(report, at_ms, symbols, buffer);
        return;
    case WIRE_FORMS:
        break;
    }
    ENSURE(false); /* no front end speaks it */
}

void wire_answer_problem(enum wire_form form, const struct problem *problem,
                         struct bytes request_id, struct buffer *buffer)
{
    switch (form) {
    case WIRE_FORM_JSON:
        wire_render_problem(problem, request_id, buffer);
        return;
    case WIRE_FORM_RESP:
        resp_render_problem(problem, request_id, buffer);
        return;
    case WIRE_FORM_PROTOBUF:
        buffer_put_text(buffer, wire_problem_code(problem->code));
        buffer_put_byte(buffer, ' ');
        wire_render_detail(problem, buffer);
        return;
    case WIRE_FORMS:
        break;
    }
    ENSURE(false); /* no front end speaks it */
}
