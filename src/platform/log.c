#include "platform/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long a line waits for a reader that has fallen behind. Once one was dropped, the next ones do
 * not wait at all until there is room again. */
#define WAIT_MS 50
/* Kept free for the end of a line: what says that it was cut, the closing brace, the newline. */
#define END_BYTES 32

static struct {
    enum log_format format;
    enum log_level level_min;
    int fd;
    pthread_mutex_t lock;
    uint64_t dropped; /* lines since the last one that got out */
} sink = {.level_min = LOG_INFO, .fd = STDERR_FILENO, .lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const LEVEL_TEXT[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

void log_configure(enum log_format format, enum log_level level_min, int fd)
{
    sink.format = format;
    sink.level_min = level_min;
    sink.fd = fd;
}

static struct buffer line_buffer(struct log_line *line)
{
    struct buffer buffer = buffer_over(line->text, sizeof line->text - END_BYTES);
    buffer.used = line->used;
    return buffer;
}

/* A field is in the line whole or not at all. */
static void keep(struct log_line *line, const struct buffer *buffer)
{
    if (buffer->overflowed)
        line->is_cut = true;
    else
        line->used = buffer->used;
}

static void put_hex(struct buffer *buffer, const char *prefix, uint8_t byte)
{
    buffer_put_text(buffer, prefix);
    buffer_put_hex(buffer, (struct bytes){&byte, 1});
}

/* Between quotes, as JSON has it. Both formats: a value of text is then JSON too. Control
 * characters, also those that hide in two bytes of UTF-8 (U+0080 to U+009F), are spelt out; bytes
 * that are not UTF-8 become U+FFFD. */
static void put_quoted(struct buffer *buffer, struct bytes value)
{
    const bool is_utf8 = bytes_is_utf8(value);
    buffer_put_byte(buffer, '"');
    for (size_t at = 0; at < value.length; at++) {
        const uint8_t byte = value.at[at];
        if (byte == '"' || byte == '\\') {
            buffer_put_byte(buffer, '\\');
            buffer_put_byte(buffer, byte);
        } else if (byte == '\n') {
            buffer_put_text(buffer, "\\n");
        } else if (byte < 0x20 || byte == 0x7f) {
            put_hex(buffer, "\\u00", byte);
        } else if (byte >= 0x80 && !is_utf8) {
            buffer_put_text(buffer, "\\ufffd");
        } else if (byte == 0xc2 && value.at[at + 1] < 0xa0) {
            put_hex(buffer, "\\u00", value.at[++at]);
        } else {
            buffer_put_byte(buffer, byte);
        }
    }
    buffer_put_byte(buffer, '"');
}

/* May stand in a line of text as it is: printable ASCII without what delimits. */
static bool is_plain(struct bytes value)
{
    for (size_t at = 0; at < value.length; at++) {
        const uint8_t byte = value.at[at];
        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '\\' || byte == '=') return false;
    }
    return value.length > 0;
}

static void put_name(struct log_line *line, struct buffer *buffer, const char *name)
{
    if (line->format == LOG_AS_TEXT) {
        buffer_put_byte(buffer, ' ');
        buffer_put_text(buffer, name);
        buffer_put_byte(buffer, '=');
    } else {
        buffer_put_text(buffer, ",\"");
        buffer_put_text(buffer, name);
        buffer_put_text(buffer, "\":");
    }
}

struct log_line log_begin(enum log_level level, const char *event)
{
    struct log_line line;
    line.level = level;
    line.format = sink.format;
    line.used = 0;
    line.is_cut = false;

    struct timespec now;
    ENSURE(clock_gettime(CLOCK_REALTIME, &now) == 0);
    char time_text[INSTANT_TEXT_SIZE];
    (void)calendar_format((int64_t)now.tv_sec * SECOND_MS + now.tv_nsec / 1000000, time_text);

    const bool is_text = line.format == LOG_AS_TEXT;
    struct buffer buffer = line_buffer(&line);
    buffer_put_text(&buffer, is_text ? "" : "{\"time\":\"");
    buffer_put_text(&buffer, time_text);
    buffer_put_text(&buffer, is_text ? " " : "\",\"level\":\"");
    buffer_put_text(&buffer, LEVEL_TEXT[level]);
    buffer_put_text(&buffer, is_text ? " " : "\",\"event\":\"");
    buffer_put_text(&buffer, event);
    buffer_put_text(&buffer, is_text ? "" : "\"");
    keep(&line, &buffer);
    return line;
}

void log_bytes(struct log_line *line, const char *name, struct bytes value)
{
    struct buffer buffer = line_buffer(line);
    put_name(line, &buffer, name);
    if (line->format == LOG_AS_TEXT && is_plain(value))
        buffer_put(&buffer, value.at, value.length);
    else
        put_quoted(&buffer, value);
    keep(line, &buffer);
}

void log_text(struct log_line *line, const char *name, const char *value)
{
    log_bytes(line, name, bytes_of_text(value));
}

void log_number(struct log_line *line, const char *name, int64_t value)
{
    struct buffer buffer = line_buffer(line);
    put_name(line, &buffer, name);
    if (value < 0) buffer_put_byte(&buffer, '-');
    buffer_put_decimal(&buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    keep(line, &buffer);
}

static void finish(struct log_line *line)
{
    struct buffer buffer = buffer_over(line->text, sizeof line->text);
    buffer.used = line->used;
    if (line->is_cut) {
        put_name(line, &buffer, "cut");
        buffer_put_text(&buffer, "true");
    }
    buffer_put_text(&buffer, line->format == LOG_AS_TEXT ? "\n" : "}\n");
    ENSURE(!buffer.overflowed);
    line->used = buffer.used;
}

/* A pipe that can be written has a page free, and a line fits into one: nothing waits for longer
 * than the poll. */
static bool write_line(const struct log_line *line, int wait_ms)
{
    struct pollfd watched = {.fd = sink.fd, .events = POLLOUT};
    if (poll(&watched, 1, wait_ms) != 1 || (watched.revents & POLLOUT) == 0) return false;
    ssize_t put;
    do
        put = write(sink.fd, line->text, line->used);
    while (put < 0 && errno == EINTR);
    return put >= 0;
}

/* Whether room was found for the line that tells of the dropped ones. */
static bool tell_dropped(void)
{
    if (sink.dropped == 0) return true;
    struct log_line line = log_begin(LOG_WARN, "log_dropped");
    log_number(&line, "lines", (int64_t)sink.dropped);
    finish(&line);
    if (!write_line(&line, 0)) return false;
    sink.dropped = 0;
    return true;
}

void log_end(struct log_line *line)
{
    if (line->level < sink.level_min) return;
    finish(line);
    ENSURE(pthread_mutex_lock(&sink.lock) == 0);
    if (!tell_dropped() || !write_line(line, WAIT_MS)) sink.dropped++;
    ENSURE(pthread_mutex_unlock(&sink.lock) == 0);
}

bool log_is_on(enum log_level level)
{
    return level >= sink.level_min;
}

enum log_format log_format(void)
{
    return sink.format;
}

bool log_pace_take(struct log_pace *pace, int64_t now_ns, uint32_t a_second)
{
    const int64_t second = now_ns / INT64_C(1000000000);
    if (second != pace->second) pace->lines = 0;
    pace->second = second;
    if (pace->lines < a_second) {
        ++pace->lines;
        return true;
    }
    ++pace->passed_over;
    return false;
}

void log_paced(struct log_line *line, struct log_pace *pace)
{
    if (pace->passed_over == 0) return;
    log_number(line, "passed_over", (int64_t)pace->passed_over);
    pace->passed_over = 0;
}

void log_event(enum log_level level, const char *event)
{
    struct log_line line = log_begin(level, event);
    log_end(&line);
}
