#include "ingest/trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/kafka/kafka_reader.h"
#include "common/messages/batch.h"
#include "ingest/registry/registry.h"

enum { CHUNK = 256, WAIT_MS = 200, QUIET_MS = 10000, TEXT_MAX = 60 };

typedef struct {
    const aa_conf *cfg;
    FILE          *out;
    decode        *dc;    /* owned */
    aa_event_batch event; /* one */
    size_t         count, left;
    size_t         of[DECODE_WAIT + 1]; /* messages by what they are */
} trial;

/* ---- one message ---- */

static void
print_text(const char *text, size_t len, FILE *out)
{
    fputc('"', out);
    for (size_t i = 0; i < len && i < TEXT_MAX; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputs(len > TEXT_MAX ? "...\"" : "\"", out);
}

static void
print_time(int64_t time_ms, FILE *out)
{
    char         text[40] = "?";
    const time_t seconds = (time_t)(time_ms / 1000 - (time_ms % 1000 < 0));
    struct tm    tm = {0};
    if (gmtime_r(&seconds, &tm)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(out, "%s.%03dZ", text, (int)(time_ms - (int64_t)seconds * 1000));
}

static void
print_event(decode *dc, const aa_conf *cfg, const aa_columns *ev, FILE *out)
{
    fputs(": an event\n", out);
    for (size_t f = 0; f < cfg->field_count; f++) {
        char        digits[24];
        size_t      len;
        const char *text = decode_id_text(dc, f, digits, &len);
        fprintf(out, "  %-16s ", cfg->fields[f].name);
        print_text(text, len, out);
        fprintf(out, " from %s\n", cfg->fields[f].path);
    }
    fprintf(out, "  %-16s %g from %s\n", "label", (double)ev->label[0], cfg->event.label_field);
    fprintf(out, "  %-16s ", "time");
    print_time(ev->time_ms[0], out);
    fprintf(out, " %s%s\n", decode_has_time(dc) ? "from " : "of its Kafka message",
            decode_has_time(dc) ? cfg->event.time_field : "");
}

decode_reason
trial_print(decode *dc, const aa_conf *cfg, const aa_kafka_record *rec, const aa_columns *ev,
            FILE *out)
{
    const decode_reason reason = decode_message(dc, rec->value, rec->len, rec->timestamp_ms, ev, 0);
    fprintf(out, "partition %" PRId32 " offset %" PRId64 " (%zu bytes)", rec->partition,
            rec->offset, rec->len);
    if (reason == DECODE_OK)
        print_event(dc, cfg, ev, out);
    else if (reason == DECODE_SKIP)
        fprintf(out, ": passed over\n  %s\n", decode_why(dc));
    else if (reason == DECODE_WAIT)
        fprintf(out, ": not readable now, it would be waited for\n  %s\n", decode_why(dc));
    else
        fprintf(out, ": a dead letter\n  %s: %s\n", decode_slug(reason), decode_why(dc));
    return reason;
}

/* ---- all of them ---- */

static void
print_sum(const trial *tr)
{
    size_t letters = 0;
    for (int r = DECODE_OK + 1; r < DECODE_REASON_COUNT; r++)
        letters += tr->of[r];
    fprintf(tr->out, "%zu messages: %zu events, %zu dead letters", tr->count, tr->of[DECODE_OK],
            letters);
    const char *before = " (";
    for (int r = DECODE_OK + 1; r < DECODE_REASON_COUNT; r++) {
        if (tr->of[r] == 0) continue;
        fprintf(tr->out, "%s%s %zu", before, decode_slug((decode_reason)r), tr->of[r]);
        before = ", ";
    }
    fprintf(tr->out, "%s, %zu passed over", letters > 0 ? ")" : "", tr->of[DECODE_SKIP]);
    if (tr->of[DECODE_WAIT] > 0) fprintf(tr->out, ", %zu not readable now", tr->of[DECODE_WAIT]);
    fputs(". Nothing was committed.\n", tr->out);
}

static aa_status
read_messages(trial *tr, aa_reader *rd, aa_err *err)
{
    static aa_kafka_record rec[CHUNK];
    int64_t                heard_ms = aa_now_ms();
    while (tr->left > 0 && !aa_reader_caught_up(rd)) {
        size_t    n = 0;
        aa_status st =
            aa_reader_poll(rd, rec, tr->left < CHUNK ? tr->left : CHUNK, WAIT_MS, &n, err);
        if (st != AA_OK) return st;
        for (size_t i = 0; i < n; i++)
            tr->of[trial_print(tr->dc, tr->cfg, &rec[i], &tr->event.columns, tr->out)]++;
        tr->left -= n;
        tr->count += n;
        if (n > 0) heard_ms = aa_now_ms();
        if (aa_now_ms() - heard_ms > QUIET_MS)
            return aa_fail(err, AA_EIO, "nothing has come from the broker for %d s",
                           QUIET_MS / 1000);
    }
    return AA_OK;
}

aa_status
trial_run(const aa_conf *cfg, size_t messages, FILE *out, aa_err *err)
{
    const char *topics[] = {cfg->topics.interactions};
    trial       tr = {.cfg = cfg, .out = out, .left = messages};
    aa_reader  *rd = NULL;
    registry   *rg = NULL;
    const bool  from_time = cfg->replay_from.kind == AA_FROM_TIME;
    aa_status   st = decode_new(&tr.dc, cfg, err);

    if (st == AA_OK) st = registry_open(&rg, cfg, err);
    if (st == AA_OK) decode_set_source(tr.dc, registry_source(rg));
    if (st == AA_OK) st = aa_event_batch_reserve(&tr.event, 1, cfg->field_count, err);
    if (st == AA_OK)
        st = aa_reader_open_since(&rd, cfg, topics, 1, from_time ? cfg->replay_from.value : 0, err);
    if (st == AA_OK) st = read_messages(&tr, rd, err);
    if (st == AA_OK) {
        print_sum(&tr);
        if (tr.count > 0 && tr.of[DECODE_OK] == 0)
            st = aa_fail(err, AA_EIO, "none of the messages is an event");
    }
    aa_reader_free(&rd);
    aa_event_batch_fini(&tr.event);
    decode_free(&tr.dc);
    registry_close(&rg);
    return st;
}
