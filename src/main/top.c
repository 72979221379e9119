/*
 * top.c: `weir top`: asks a server once a second and draws what it says over what it said before.
 *
 * The screen is the terminal's second one, which leaves the first as it was. Whatever ends the
 * program gives it back: leaving, SIGINT, SIGTERM, SIGHUP, and for as long as it lasts, ^Z.
 */
#include "main/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "main/client.h"
#include "main/commands.h"
#include "main/options.h"
#include "main/pool.h"

#define CUSTOMERS_EVERY_NS (10 * INT64_C(1000000000)) /* the books are read less often */

#define SECOND_LOOK_NS INT64_C(300000000)

enum { ROWS_DEFAULT = 24 };

/* --- the terminal ---------------------------------------------------------------------------- */

static struct termios terminal_before;
static bool terminal_is_taken;
static bool terminal_has_keys; /* stdin is one */

static void put_bytes(const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        const ssize_t written = write(STDOUT_FILENO, text, left);
        if (written < 0 && errno != EINTR) return;
        if (written < 0) continue;
        text += written;
        left -= (size_t)written;
    }
}

/* Both are safe in a signal's handler. */
static void terminal_take(void)
{
    struct termios quiet = terminal_before;
    quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    if (terminal_has_keys) (void)tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
    put_bytes("\033[?1049h\033[?25l\033[H\033[2J");
    terminal_is_taken = true;
}

static void terminal_give_back(void)
{
    if (!terminal_is_taken) return;
    terminal_is_taken = false;
    put_bytes("\033[?25h\033[?1049l");
    if (terminal_has_keys) (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
}

static void end(int signal_number)
{
    (void)signal_number;
    terminal_give_back();
    _exit(STATUS_DONE);
}

static void rest(int signal_number)
{
    const int number = errno;
    (void)signal_number;
    terminal_give_back();
    (void)raise(SIGSTOP);
    terminal_take();
    errno = number;
}

/* Another size: poll ends, and the frame is drawn anew. */
static void resize(int signal_number)
{
    (void)signal_number;
}

static void terminal_open(void)
{
    static const struct {
        int number;
        void (*handler)(int);
    } signals[] = {
        {  SIGINT,    end},
        { SIGTERM,    end},
        {  SIGHUP,    end},
        { SIGTSTP,   rest},
        {SIGWINCH, resize},
    };
    terminal_has_keys = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
    for (size_t i = 0; i < COUNT_OF(signals); ++i) {
        const struct sigaction action = {.sa_handler = signals[i].handler};
        (void)sigaction(signals[i].number, &action, NULL);
    }
    (void)atexit(terminal_give_back);
    terminal_take();
}

enum waited { WAITED_WHOLE, WAITED_SOME, WAITED_ENOUGH };

/* For a key that ends it, another size, or until then. */
static enum waited wait_until(int64_t until_ns)
{
    struct pollfd keys = {.fd = terminal_has_keys ? STDIN_FILENO : -1, .events = POLLIN};
    int64_t rest_ns = until_ns - pool_now_ns();
    if (rest_ns <= 0) return WAITED_WHOLE;
    const struct timespec rest = {.tv_sec = rest_ns / 1000000000, .tv_nsec = rest_ns % 1000000000};
    const int ready = ppoll(&keys, 1, &rest, NULL);
    if (ready < 0) return WAITED_SOME;
    if (ready == 0) return WAITED_WHOLE;
    char key = 0;
    const ssize_t got = read(STDIN_FILENO, &key, 1);
    if (got < 0 && errno == EINTR) return WAITED_SOME;
    const bool is_over = got <= 0 || key == 'q' || key == 'Q' || key == 4 /* ^D */;
    return is_over ? WAITED_ENOUGH : WAITED_SOME;
}

/* --- asking ---------------------------------------------------------------------------------- */

struct top {
    const char *command; /* NULL: failures are shown, not said */
    const struct server_address *address;
    struct client_answer health_answer;
    yajl_val health;
    struct exposition before;
    struct exposition now;
    int64_t before_ns;
    int64_t now_ns;
    bool has_before;
    bool has_now;
    char why[160];
    struct top_customers customers;
    int64_t customers_ns; /* when they are to be asked for again */
};

static bool get(const struct top *top, const char *path, struct client_answer *answer_out)
{
    return client_call(top->command, top->address,
                       &(struct client_request){.method = "GET", .path = path}, answer_out);
}

/* Why an answer is no success, in the server's words. */
static void tell_why(const struct client_answer *answer, char why_out[160])
{
    CLEANUP(answer_free) yajl_val problem = answer_parse(answer->body);
    const char *detail = answer_text(problem, "detail");
    if (detail[0] != '\0')
        (void)snprintf(why_out, 160, "%s", detail);
    else
        (void)snprintf(why_out, 160, "HTTP status %u", answer->status);
}

static void read_metrics(struct top *top)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    exposition_free(&top->before);
    top->before = top->now;
    top->before_ns = top->now_ns;
    top->has_before = top->has_now;
    top->now = (struct exposition){0};
    top->has_now = false;
    if (!get(top, "/metrics", &answer))
        (void)snprintf(top->why, sizeof(top->why), "nobody answers");
    else if (answer.status != 200)
        tell_why(&answer, top->why);
    else if (!exposition_read(answer.body, &top->now))
        (void)snprintf(top->why, sizeof(top->why), "they are not in Prometheus's text format");
    else
        top->has_now = true;
    top->now_ns = pool_now_ns();
}

/* From the hour before this one: whole hours cost the books little. */
static void read_customers(struct top *top)
{
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    struct top_customers *customers = &top->customers;
    char path[160];
    int64_t server_now_ms = 0;
    const int64_t now_ns = pool_now_ns();
    if (now_ns < top->customers_ns) return;
    if (!calendar_parse(bytes_of_text(answer_text(top->health, "clock.now")), &server_now_ms))
        return;
    top->customers_ns = now_ns + CUSTOMERS_EVERY_NS;
    (void)calendar_format((server_now_ms / HOUR_MS - 1) * HOUR_MS, customers->since);
    (void)snprintf(path, sizeof(path), "/v1/usage?group_by=customer&limit=1000&from=%s",
                   customers->since);
    customers->why[0] = '\0';
    if (!get(top, path, &answer)) return;
    if (answer.status != 200) {
        customers->count = 0;
        tell_why(&answer, customers->why);
        return;
    }
    CLEANUP(answer_free) yajl_val usage = answer_parse(answer.body);
    top_customers_take(customers, usage);
}

static void forget_health(struct top *top)
{
    if (top->health != NULL) answer_free(&top->health);
    client_answer_free(&top->health_answer);
    top->health = NULL;
}

/* False when nobody answers. */
static bool read_server(struct top *top)
{
    forget_health(top);
    if (get(top, "/healthz", &top->health_answer))
        top->health = answer_parse(top->health_answer.body);
    if (top->health == NULL) return false;
    read_metrics(top);
    read_customers(top);
    return true;
}

static struct top_moment moment_of(const struct top *top, struct top_figures *figures)
{
    const double elapsed_s = (double)(top->now_ns - top->before_ns) / 1e9;
    if (top->has_now)
        top_figure(top->has_before ? &top->before : NULL, &top->now, elapsed_s, figures);
    return (struct top_moment){.url = top->address->url,
                               .health = top->health,
                               .figures = top->has_now ? figures : NULL,
                               .why = top->why,
                               .customers = &top->customers};
}

static void top_free(struct top *top)
{
    forget_health(top);
    exposition_free(&top->before);
    exposition_free(&top->now);
}

/* --- the two ways to run --------------------------------------------------------------------- */

static bool draw(const struct top *top)
{
    struct winsize size = {0};
    struct top_figures figures;
    struct page page = page_on(stdout);
    char *text = NULL;
    size_t length = 0;
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    page.file = open_memstream(&text, &length);
    if (page.file == NULL) return false;
    const struct top_moment moment = moment_of(top, &figures);
    const struct top_screen screen = {.rows = size.ws_row > 0 ? size.ws_row : ROWS_DEFAULT,
                                      .columns = page.columns,
                                      .last = "q: leave"};
    top_view(&moment, &page, screen.rows - 1);
    const bool is_whole = fclose(page.file) == 0;
    if (is_whole) top_frame(stdout, text, &screen);
    free(text);
    return is_whole && fflush(stdout) == 0;
}

static int run_live(struct top *top, int64_t every_ns)
{
    enum waited waited = WAITED_WHOLE;
    int64_t next_ns = pool_now_ns();
    terminal_open();
    while (waited != WAITED_ENOUGH) {
        if (waited == WAITED_WHOLE) {
            (void)read_server(top);
            /* Rates take two looks: the second comes soon. */
            const bool is_second_due = top->has_now && !top->has_before;
            next_ns = pool_now_ns() +
                      (is_second_due && every_ns > SECOND_LOOK_NS ? SECOND_LOOK_NS : every_ns);
        }
        if (!draw(top)) return STATUS_REFUSED;
        waited = wait_until(next_ns);
    }
    terminal_give_back();
    return STATUS_DONE;
}

/* Two readings, so that there are rates. */
static int run_once(struct top *top, int64_t every_ns, bool is_json)
{
    struct top_figures figures;
    if (!read_server(top)) return STATUS_REFUSED;
    const struct timespec rest = {.tv_sec = every_ns / 1000000000,
                                  .tv_nsec = every_ns % 1000000000};
    if (top->has_now) (void)nanosleep(&rest, NULL);
    if (!read_server(top)) return STATUS_REFUSED;
    const struct page page = page_on(stdout);
    const struct top_moment moment = moment_of(top, &figures);
    if (is_json)
        top_json(&moment, stdout);
    else
        top_view(&moment, &page, TOP_ROWS_ENDLESS);
    if (fflush(stdout) != 0) return STATUS_REFUSED;
    if (!top->has_now) (void)fprintf(stderr, "weir top: no metrics: %s\n", top->why);
    if (top->customers.why[0] != '\0')
        (void)fprintf(stderr, "weir top: no customers: %s\n", top->customers.why);
    return top->has_now && top->customers.why[0] == '\0' ? STATUS_DONE : STATUS_REFUSED;
}

int command_top(int argc, char **argv)
{
    struct client_options client = {0};
    int64_t every_ms = SECOND_MS;
    bool is_once = false;
    bool is_json = false;
    const struct option_rule rules[] = {
        CLIENT_OPTIONS(&client),
        ROW_DURATION("every", "between two looks, which is what rates are of; default 1s",
                     &every_ms, SECOND_MS, HOUR_MS),
        ROW_FLAG("once", "look once and print; so does a pipe", &is_once),
        ROW_FLAG("json", "the same as one JSON object, once", &is_json),
    };
    const struct usage usage = {
        .command = "top",
        .operands = "",
        .summary = "Shows what a server is doing, second by second.",
        .notes = "Decisions by outcome and reason, latencies by call, journal, settlement and "
                 "memory come from GET /metrics; the customers from the books, as far as they are "
                 "settled, for the hour that runs and the one before it. With access keys in use "
                 "it takes the scope `read`. `q` or ^C leaves.",
        .examples = {{"watch", "weir top"},
                     {"the next three seconds, in a file", "weir top --every 3s --once > top.txt"}},
        .rules = rules,
        .rule_count = COUNT_OF(rules),
    };
    struct operands operands;
    CLEANUP(server_address_close) struct server_address address = {0};
    const enum options_result result = options_take(&usage, argc, argv, &operands);
    if (result != OPTIONS_TAKEN) return result == OPTIONS_HELP ? STATUS_DONE : STATUS_USAGE;
    if (!server_address_find("top", &client, &address)) return STATUS_USAGE;
    const bool is_live = !is_once && !is_json && isatty(STDOUT_FILENO) != 0;
    CLEANUP(top_free)
    struct top top = {.command = is_live ? NULL : "top", .address = &address};
    return is_live ? run_live(&top, every_ms * INT64_C(1000000))
                   : run_once(&top, every_ms * INT64_C(1000000), is_json);
}
