/*
 * suggestion_test.c: slips are found, guesses are not made.
 */
#include "base/suggestion.h"

#include "base/testing.h"

static void the_nearest_word_is_meant_if_any_is_near(void **state)
{
    static const char *const words[] = {"status", "serve", "top", "explain", "reconcile"};
    static const struct {
        const char *word;
        const char *meant;
    } cases[] = {
        {   "stauts",    "status"}, /* swapped */
        {    "sttus",    "status"}, /* lost */
        {  "sstatus",    "status"}, /* one too many */
        {   "STATUS",    "status"}, /* case does not matter */
        {    "sevre",     "serve"},
        {   "exlain",   "explain"},
        {"recnoclie", "reconcile"}, /* two slips in a long word */
        {      "tpo",       "top"},
        {      "cat",          ""},
        {   "stable",          ""},
        {         "",          ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); ++i) {
        struct suggestion suggestion = suggestion_for(bytes_of_text(cases[i].word));
        for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); ++k)
            suggestion_offer(&suggestion, bytes_of_text(words[k]));
        assert_int_equal(suggestion.best.length, strlen(cases[i].meant));
        assert_memory_equal(suggestion.best.at, cases[i].meant, suggestion.best.length);
    }
}

static void words_that_are_too_long_are_not_compared(void **state)
{
    char word[SUGGESTION_BYTES_MAX + 2];
    (void)state;
    memset(word, 'a', sizeof(word));
    word[SUGGESTION_BYTES_MAX + 1] = '\0';
    struct suggestion suggestion = suggestion_for(bytes_of_text(word));
    suggestion_offer(&suggestion, bytes_of_text(word));
    assert_int_equal(suggestion.best.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_word_is_meant_if_any_is_near),
        cmocka_unit_test(words_that_are_too_long_are_not_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
