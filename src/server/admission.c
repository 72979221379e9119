/*
 * admission.c: the loop's side of access keys (access.h): who a request is from, before anything of
 * it is read, and again whenever keys changed.
 */
#include "server/loop_inner.h"

/* Whoever is not known is not told whether there is such a route. */
static bool is_somebody(const struct access_pass *pass, struct problem *problem_out)
{
    if (pass->by != ACCESS_BY_NOBODY) return true;
    *problem_out = (struct problem){.code = PROBLEM_UNAUTHORIZED,
                                    .expected = "Authorization: Bearer, and a key that is live"};
    return false;
}

static bool look(struct loop *loop, struct exchange *exchange, struct problem *problem_out)
{
    if (!access_is_fresh(&loop->access, &exchange->pass))
        exchange->pass = access_look(&loop->access, exchange->authorization, loop->now_ms);
    return is_somebody(&exchange->pass, problem_out);
}

bool loop_opens(struct loop *loop, struct bytes authorization, uint32_t scopes,
                struct problem *problem_out)
{
    const struct access_pass pass = access_look(&loop->access, authorization, loop->now_ms);
    if (!is_somebody(&pass, problem_out)) return false;
    const struct access_right right = access_right_of(&loop->access, &pass);
    const struct access_need need = {.any_of = scopes, .is_unbound = true};
    return scopes == 0 || access_allows(&right, need, problem_out);
}

struct access_right loop_right(const struct loop *loop, const struct exchange *exchange)
{
    return access_right_of(&loop->access, &exchange->pass);
}

bool loop_is_admitted(const struct loop *loop, const struct exchange *exchange)
{
    return access_need_of(exchange->route).is_open ||
           access_is_fresh(&loop->access, &exchange->pass);
}

bool loop_admit(struct loop *loop, struct asked *asked)
{
    struct exchange *exchange = asked->exchange;
    struct problem problem;
    struct access_need need = {0};
    if (exchange->route != NULL) need = access_need_of(exchange->route);
    if (need.is_open) return true;
    bool is_let_in = look(loop, exchange, &problem);
    if (is_let_in && exchange->route != NULL) {
        const struct access_right right = loop_right(loop, exchange);
        is_let_in = access_allows(&right, need, &problem);
    }
    if (is_let_in) return true;
    asked->is_refused = true;
    asked->problem = problem;
    return false;
}

bool loop_admit_command(struct loop *loop, struct exchange *exchange, struct asked *asked)
{
    struct command *command = &asked->command;
    if (!look(loop, exchange, &asked->problem)) return false;
    const struct access_right right = loop_right(loop, exchange);
    if (!access_allows(&right, access_need_of_command(command->kind), &asked->problem))
        return false;
    if (command_has_actor(command->kind))
        command->actor = access_actor(&exchange->pass, asked->actor);
    if (command->kind == COMMAND_ACCESS) command->has_way_back = loop->access.has_admin_key;
    if (right.customer.length == 0) return true;
    if (command->customer.length != 0 &&
        !access_allows_customer(&right, command->customer, &asked->problem))
        return false;
    command->is_bound = true;
    command->bound_to = engine_customer_id(loop->parts.engine, right.customer);
    return true;
}
