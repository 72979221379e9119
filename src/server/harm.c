/*
 * harm.c: see harm.h.
 */
#include "server/harm.h"

#include "platform/platform.h"

void harm_batch(struct harm *harm, const struct journal *journal, uint64_t sequence,
                enum journal_fault fault)
{
    (void)atomic_fetch_add(&harm->batches, 1);
    atomic_store(&harm->batch, sequence);
    struct log_line line = log_begin(LOG_ERROR, "journal_read_failed");
    log_number(&line, "sequence", (int64_t)sequence);
    log_text(&line, "fault", journal_fault_text(fault));
    log_text(&line, "detail", journal->detail);
    log_end(&line);
}
