/*
 * http_response_test.c: answers whole, in pieces, in chunks, and torn.
 */
#include "main/http_response.h"

#include "base/testing.h"

static enum http_progress read_text(const char *text, bool is_ended, char *block,
                                    struct http_response *response)
{
    strcpy(block, text);
    return http_response_read(block, strlen(text), is_ended, response);
}

static void answers_are_read_by_their_framing(void **state)
{
    static const struct {
        const char *received;
        bool is_ended;
        enum http_progress progress;
        unsigned status;
        bool keeps_alive;
        const char *body;
    } cases[] = {
        {                                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false,HTTP_COMPLETE,200,true,                 "{}"                                                                                                                         },
        {         "HTTP/1.1 409 Conflict\r\ncontent-length:3\r\nConnection: close\r\n\r\nno!", false,
         HTTP_COMPLETE, 409,    false,                "no!"                                                                                             },
        {                                      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, HTTP_COMPLETE, 200,     true,                   ""},
        {                                               "HTTP/1.1 200 OK\r\n\r\nall there is",  true, HTTP_COMPLETE, 200,    false,       "all there is"},
        {                                               "HTTP/1.1 200 OK\r\n\r\nall there is", false,     HTTP_MORE,   0,    false,                 NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: "
"chunked\r\n\r\n4\r\n{\"a\"\r\nb;x=y\r\n:1234567890\r\n1\r\n}\r\n0\r\n\r\n", false, HTTP_COMPLETE, 200,     true, "{\"a\":1234567890}"         },
        {              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n", false,     HTTP_MORE,
         0,    false,                 NULL                                                                                                              },
        {              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n",  true,   HTTP_BROKEN,
         0,    false,                 NULL                                                                                                              },
        {                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", false,   HTTP_BROKEN,   0,
         false,                 NULL                                                                                                                    },
        {                                    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",  true,   HTTP_BROKEN,   0,    false,                 NULL},
        {                                   "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n{}", false,   HTTP_BROKEN,   0,    false,                 NULL},
        {                   "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", false,   HTTP_BROKEN,   0,
         false,                 NULL                                                                                                                    },
        {                                               "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", false,   HTTP_BROKEN,   0,    false,                 NULL},
        {                                                                 "SSH-2.0-x\r\n\r\n", false,   HTTP_BROKEN,   0,    false,                 NULL},
        {                                                           "HTTP/1.1 2x0 OK\r\n\r\n", false,   HTTP_BROKEN,   0,    false,                 NULL},
        {                                                                                  "", false,     HTTP_MORE,   0,    false,                 NULL},
        {                                                                                  "",  true,   HTTP_BROKEN,   0,    false,                 NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); ++i) {
        char block[512];
        struct http_response response = {0};
        const enum http_progress progress =
            read_text(cases[i].received, cases[i].is_ended, block, &response);
        assert_int_equal(progress, cases[i].progress);
        if (progress != HTTP_COMPLETE) continue;
        assert_int_equal(response.status, cases[i].status);
        assert_int_equal(response.keeps_alive, cases[i].keeps_alive);
        assert_string_equal(response.body, cases[i].body);
        assert_int_equal(response.body_length, strlen(cases[i].body));
    }
}

static void every_prefix_of_an_answer_wants_more(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(answers); ++i) {
        char block[256];
        struct http_response response = {0};
        for (size_t length = 0; length < strlen(answers[i]); ++length) {
            memcpy(block, answers[i], length);
            assert_int_equal(http_response_read(block, length, false, &response), HTTP_MORE);
        }
        assert_int_equal(read_text(answers[i], false, block, &response), HTTP_COMPLETE);
        assert_string_equal(response.body, "hello");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read_by_their_framing),
        cmocka_unit_test(every_prefix_of_an_answer_wants_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
