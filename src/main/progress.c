/*
 * progress.c: callers report as often as they like; drawing is what costs, so it is rationed here.
 */
#include "main/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "main/pool.h"
#include "main/text_table.h"

#define REDRAW_NS INT64_C(100000000)

struct progress progress_begin(const char *what, uint64_t whole)
{
    return (struct progress){.what = what,
                             .whole = whole,
                             .start_ns = pool_now_ns(),
                             .is_shown = isatty(STDERR_FILENO) != 0};
}

void progress_show(struct progress *progress, uint64_t done)
{
    char bar[TEXT_BAR_BYTES];
    char count[TEXT_NUMBER_BYTES];
    char whole[TEXT_NUMBER_BYTES];
    if (!progress->is_shown) return;
    const int64_t now_ns = pool_now_ns();
    if (now_ns - progress->drawn_ns < REDRAW_NS) return;
    progress->drawn_ns = now_ns;
    const int64_t seconds = (now_ns - progress->start_ns) / (10 * REDRAW_NS);
    if (progress->whole == 0) {
        (void)fprintf(stderr, "\r%s, %" PRId64 " s \033[K", progress->what, seconds);
        return;
    }
    (void)fprintf(stderr, "\r%s %s of %s %s, %" PRId64 " s \033[K",
                  text_bar(done, progress->whole, 40, bar), text_number(done, count),
                  text_number(progress->whole, whole), progress->what, seconds);
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown && progress->drawn_ns != 0) (void)fprintf(stderr, "\r\033[K");
}
