#include "common/service/series.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_BYTES 2048

struct aa_series {
    char     path[AA_CONF_STR + 64];
    char     columns[ROW_BYTES];
    FILE    *out;         /* NULL until the first rewind */
    uint64_t every, last; /* events of the last row */
    char     row[ROW_BYTES];
    size_t   row_len;
};

aa_status
aa_series_open(aa_series **out, const aa_conf *cfg, const char *name, const char *columns,
               aa_err *err)
{
    *out = NULL;
    if (cfg->pipeline.series_events == 0 || !cfg->pipeline.summary_dir[0]) return AA_OK;
    AA_REQUIRE(strlen(columns) < ROW_BYTES);
    aa_series *se = calloc(1, sizeof *se);
    if (!se) return aa_fail(err, AA_ENOMEM, "series %s", name);
    se->every = (uint64_t)cfg->pipeline.series_events;
    snprintf(se->path, sizeof se->path, "%s/%s.csv", cfg->pipeline.summary_dir, name);
    memcpy(se->columns, columns, strlen(columns) + 1);
    *out = se;
    return AA_OK;
}

void
aa_series_close(aa_series **se_p)
{
    aa_series *se = *se_p;
    if (!se) return;
    if (se->out) fclose(se->out);
    free(se);
    *se_p = NULL;
}

/* Copy whole rows up to `events` of the file as it is. A row without its end was being written. */
static void
copy_rows(const aa_series *se, FILE *to, uint64_t events)
{
    char  line[2 * ROW_BYTES];
    FILE *from = fopen(se->path, "r");
    if (!from) return;
    while (fgets(line, sizeof line, from)) {
        char          *end;
        const uint64_t at = strtoull(line, &end, 10);
        if (end == line || *end != ',' || !strchr(line, '\n')) continue;
        if (at <= events) fputs(line, to);
    }
    fclose(from);
}

aa_status
aa_series_rewind(aa_series *se, uint64_t events, aa_err *err)
{
    char tmp[sizeof se->path + 8];
    if (!se) return AA_OK;
    if (se->out) fclose(se->out);
    snprintf(tmp, sizeof tmp, "%s.tmp", se->path);
    se->out = fopen(tmp, "w");
    if (!se->out) return aa_fail(err, AA_EIO, "cannot write %s: %s", tmp, strerror(errno));
    fprintf(se->out, "events,%s\n", se->columns);
    if (events > 0) copy_rows(se, se->out, events);
    if (fflush(se->out) != 0 || ferror(se->out) || rename(tmp, se->path) != 0)
        return aa_fail(err, AA_EIO, "cannot write %s: %s", se->path, strerror(errno));
    se->last = events;
    se->row_len = 0;
    return AA_OK;
}

bool
aa_series_due(const aa_series *se, uint64_t events, bool last)
{
    if (!se || events == se->last) return false;
    return last || events / se->every > se->last / se->every;
}

static void
append_row(aa_series *se, const char *text)
{
    size_t n = strlen(text);
    AA_REQUIRE(se->row_len + n + 2 < ROW_BYTES);
    se->row[se->row_len++] = ',';
    memcpy(se->row + se->row_len, text, n + 1);
    se->row_len += n;
}

void
aa_series_int(aa_series *se, uint64_t value)
{
    char text[32];
    if (!se) return;
    snprintf(text, sizeof text, "%" PRIu64, value);
    append_row(se, text);
}

void
aa_series_num(aa_series *se, double value)
{
    char text[32] = "";
    if (!se) return;
    if (isfinite(value)) snprintf(text, sizeof text, "%.9g", value);
    append_row(se, text);
}

void
aa_series_str(aa_series *se, const char *value)
{
    if (se) append_row(se, value);
}

/* Whole rows go to the system at once: a process that is killed leaves whole rows. */
aa_status
aa_series_row(aa_series *se, uint64_t events, aa_err *err)
{
    if (!se) return AA_OK;
    AA_REQUIRE(se->out);
    fprintf(se->out, "%" PRIu64 "%s\n", events, se->row_len ? se->row : "");
    se->row_len = 0;
    if (fflush(se->out) != 0)
        return aa_fail(err, AA_EIO, "cannot write %s: %s", se->path, strerror(errno));
    return AA_OK;
}

void
aa_series_done(aa_series *se, uint64_t events)
{
    if (se) se->last = events;
}
