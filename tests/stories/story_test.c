/*
 * story_test.c: the rules of the decision as stories, row by row, in the order of precedence: a row
 * for every reason code and for every numbered rule. Expected answers were worked out by hand from
 * the rules; play.h and world.h say what a line means and what is checked behind it. The chapters
 * are files of their own; the order in which main tells them is the order of the table.
 * tests/rules.py fails when one is shown nowhere.
 */
#include "stories.h"

/* Policies under which more than one chapter has rows. */

const char *const precedence_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 60, per: 1m, burst: 20, scope: "
    "subject}\n"
    "          - concurrency: {name: in-flight, limit: 2, scope: subject}\n"
    "          - budget: {name: cap, credits: \"7\", per: month, start: calendar}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, scope: subject, windows: [{limit: 5, per: 5h, start: "
    "first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - allowance: {name: trial, windows: [{limit: 3, per: day, start: calendar}]}\n"
    "          - grants: {category: paid}\n"
    "  metered:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - grants: {category: paid}\n"
    "          - overage: {name: over, credits: \"3\", per: month, start: calendar}\n"
    "      extra:\n"
    "        waterfall: [{unlimited: {}}]\n"
    "  trial:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: daily, windows: [{limit: 2, per: 5h, start: first_use}, {limit: "
    "3, per: 7d, start: first_use}]}\n"
    "          - grants: {category: promotional}\n",
};

const char *const holds_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - budget: {name: cap, credits: \"50\", per: 1h, start: first_use}\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 3, per: 5h, start: first_use}]}\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: paid}\n"
    "      solid:\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "  debtor:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: debt\n"
    "        waterfall: [{grants: {category: paid}}]\n"
    "  over:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: overage\n"
    "        on_failure: full\n"
    "        waterfall:\n"
    "          - overage: {name: over, credits: \"2\", per: month, start: calendar}\n",
};

const char *const grants_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - grants: {category: promotional}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "  member:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall: [{grants: {category: entitlement}}]\n"
    "    recurring:\n"
    "      - grant: {name: monthly, category: entitlement, credits: \"10\", per: month, start: "
    "anchor, rollover_max: \"4\"}\n",
};

const char *const edges_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        gates:\n"
    "          - rate: {name: pace, meter: requests, limit: 1, per: 1m, burst: 100}\n"
    "        waterfall:\n"
    "          - allowance: {name: roll, windows: [{limit: 1000, per: 1h, start: sliding}]}\n"
    "      solid:\n"
    "        waterfall:\n"
    "          - allowance: {name: roll, windows: [{limit: 10, per: 1h, start: sliding}]}\n"
    "          - allowance: {name: fixed, windows: [{limit: 10, per: 5h, start: first_use}]}\n"
    "      extra: {waterfall: [{unlimited: {}}]}\n"
    "  over:\n"
    "    features:\n"
    "      chat:\n"
    "        overshoot: overage\n"
    "        waterfall:\n"
    "          - overage: {name: over, credits: \"2\", per: month, start: calendar}\n",
};

const char *const rhythm_policy[] = {
    CHAT_FEATURES
    "plans:\n"
    "  free:\n"
    "    features:\n"
    "      chat:\n"
    "        waterfall:\n"
    "          - allowance: {name: included, windows: [{limit: 3, per: 5h, start: first_use}]}\n"
    "          - grants: {category: entitlement}\n"
    "          - grants: {category: paid}\n"
    "    recurring:\n"
    "      - grant: {name: one, category: entitlement, credits: \"1\", per: hour, start: "
    "calendar}\n"
    "      - grant: {name: two, category: entitlement, credits: \"2\", per: hour, start: "
    "calendar}\n",
};

void tell(const char *const *policies, unsigned policy_count, const struct row *rows,
          unsigned row_count)
{
    struct play *play = play_open(policies, policy_count);
    unsigned wrong = 0;
    for (unsigned i = 0; i < row_count; i++) {
        const char *answer = play_line(play, rows[i].line);
        if (strcmp(answer, rows[i].answer) == 0) continue;
        wrong++;
        print_error("row %u, %s: %s\n  expected: %s\n  answered: %s\n", i, rows[i].rule,
                    rows[i].line, rows[i].answer, answer);
    }
    play_close(play);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    int failed = 0;
    failed += tell_precedence();
    failed += tell_units();
    failed += tell_gates();
    failed += tell_pace();
    failed += tell_sources();
    failed += tell_windows();
    failed += tell_holds();
    failed += tell_idempotency();
    failed += tell_time();
    failed += tell_books();
    failed += tell_answers();
    return failed;
}
