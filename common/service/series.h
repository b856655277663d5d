/* common/service/series - quality and counts over time: rows of a CSV file, written at counts of
 * events, never by the clock, so that two replays of one topic write the same bytes.
 *
 * <pipeline.summary_dir>/<name>.csv, off unless pipeline.series_events is set. The first column is
 * the number of events so far. After a crash the file is taken back to the checkpoint's events: the
 * rows that follow are written again, and are the same.
 */
#ifndef AA_COMMON_SERVICE_SERIES_H
#define AA_COMMON_SERVICE_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct aa_series aa_series;

/** *out = NULL when series are off; every function below takes that NULL and does nothing.
 *  @param columns  header after "events,"  */
aa_status aa_series_open(aa_series **out, const aa_conf *cfg, const char *name, const char *columns,
                         aa_err *err) __attribute__((warn_unused_result));
void      aa_series_close(aa_series **se_p);

/** The state is now that of `events`: drop rows of later ones (0: all). Call before the first row.
 *  @errors AA_EIO */
aa_status aa_series_rewind(aa_series *se, uint64_t events, aa_err *err)
    __attribute__((warn_unused_result));
/** Is there a row to write at this count? True once per series_events, and at the stream's last
 *  event. */
bool aa_series_due(const aa_series *se, uint64_t events, bool last);
/** A value of the row that is being made; not finite: empty. */
void aa_series_int(aa_series *se, uint64_t value);
void aa_series_num(aa_series *se, double value);
void aa_series_str(aa_series *se, const char *value);
/** End of a row: all values of one row of this count. @errors AA_EIO */
aa_status aa_series_row(aa_series *se, uint64_t events, aa_err *err)
    __attribute__((warn_unused_result));
/** No more rows of this count: the next are due series_events later. */
void aa_series_done(aa_series *se, uint64_t events);

#endif
