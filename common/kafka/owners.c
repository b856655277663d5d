#include "common/kafka/owners.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_reader.h"
#include "common/messages/mark.h"
#include "common/messages/wire_topic.h"

enum {
    RECORDS = 1024,
    POLL_MS = 100,
    CHECK_MS = 5000,
    LOOK_BACK_MS = 30000,
    MOST_EVERY_MS = 10000
};

uint32_t
aa_owners_mark(const aa_kafka_record *rec)
{
    size_t len;
    if (rec->value) return aa_mark_get(rec->value, rec->len);
    const void *header = aa_kafka_record_header(rec, AA_MARK_HEADER, &len);
    return aa_mark_from_header(header, len);
}

static void
note_name(aa_owner *who, const aa_kafka_record *rec)
{
    aa_topic_key     k;
    aa_err           err = AA_ERR_INIT;
    aa_dense_message d = {0};
    if (who->pipeline[0] || !rec->value) return;
    if (aa_topic_key_get(&k, rec->key, rec->key_len, &err) != AA_OK || k.kind != AA_KEY_DENSE)
        return;
    if (aa_wire_unpack_dense(&d, rec->value, rec->len, &err) == AA_OK)
        snprintf(who->pipeline, sizeof who->pipeline, "%s", d.pipeline);
    aa_dense_message_fini(&d);
}

bool
aa_owners_note(aa_owners *ow, uint32_t own_mark, const aa_kafka_record *rec)
{
    const uint32_t mark = aa_owners_mark(rec);
    size_t         i = 0;
    if (mark == 0 || mark == own_mark) {
        *(mark ? &ow->own : &ow->unmarked) += 1;
        return false;
    }
    while (i < ow->count && ow->owner[i].mark != mark)
        i++;
    if (i == AA_OWNERS_MAX) return true;
    aa_owner *who = &ow->owner[i];
    if (i == ow->count) {
        *who = (aa_owner){.mark = mark};
        ow->count++;
    }
    who->records++;
    if (rec->timestamp_ms > who->newest_ms) who->newest_ms = rec->timestamp_ms;
    note_name(who, rec);
    return true;
}

void
aa_owners_name(const aa_owner *who, char *out, size_t size)
{
    if (who->pipeline[0])
        snprintf(out, size, "pipeline '%s'", who->pipeline);
    else
        snprintf(out, size, "a pipeline with the mark %08x", (unsigned)who->mark);
}

/* Read on until what there was at the beginning has come, or until_ms. */
static aa_status
catch_up(aa_owners *ow, aa_reader *rd, aa_kafka_record *rec, uint32_t own_mark, int64_t until_ms,
         aa_err *err)
{
    size_t    count;
    aa_status st = AA_OK;
    while (st == AA_OK && !aa_reader_caught_up(rd) && aa_now_ms() < until_ms) {
        st = aa_reader_poll(rd, rec, RECORDS, POLL_MS, &count, err);
        for (size_t i = 0; st == AA_OK && i < count; i++)
            aa_owners_note(ow, own_mark, &rec[i]);
    }
    return st;
}

/* Does another pipeline's record come until until_ms? */
static aa_status
watch(aa_owners *ow, aa_reader *rd, aa_kafka_record *rec, uint32_t own_mark, int64_t until_ms,
      aa_err *err)
{
    size_t    count;
    aa_status st = AA_OK;
    while (st == AA_OK && !ow->live && aa_now_ms() < until_ms) {
        st = aa_reader_poll(rd, rec, RECORDS, POLL_MS, &count, err);
        for (size_t i = 0; st == AA_OK && i < count; i++)
            ow->live = aa_owners_note(ow, own_mark, &rec[i]) || ow->live;
    }
    return st;
}

aa_status
aa_owners_read(aa_owners *out, const aa_conf *cfg, const char *topic, int64_t since_ms,
               int64_t budget_ms, int64_t watch_ms, aa_err *err)
{
    const uint32_t   own_mark = aa_mark_of(cfg->pipeline.name);
    aa_reader       *rd = NULL;
    aa_kafka_record *rec = calloc(RECORDS, sizeof *rec);
    aa_status        st = rec ? AA_OK : aa_fail(err, AA_ENOMEM, "records");
    *out = (aa_owners){0};
    if (st == AA_OK) st = aa_reader_open_since(&rd, cfg, &topic, 1, since_ms, err);
    if (st == AA_OK) st = catch_up(out, rd, rec, own_mark, aa_now_ms() + budget_ms, err);
    if (st == AA_OK && out->count > 0 && watch_ms > 0)
        st = watch(out, rd, rec, own_mark, aa_now_ms() + watch_ms, err);
    aa_reader_free(&rd);
    free(rec);
    return st;
}

static aa_status
check_topic(const aa_conf *cfg, const char *topic, aa_err *err)
{
    const int64_t every_ms = cfg->publish.every_ms;
    const int64_t watch_ms = 2000 + 2 * (every_ms < MOST_EVERY_MS ? every_ms : MOST_EVERY_MS);
    aa_owners     ow;
    aa_err        why = AA_ERR_INIT;
    char          name[192];
    aa_status     st = aa_owners_read(&ow, cfg, topic, aa_wall_ms() - LOOK_BACK_MS - 3 * every_ms,
                                      CHECK_MS, watch_ms, &why);
    if (st == AA_ENOMEM) return aa_fail(err, st, "%s", why.text);
    if (st != AA_OK) aa_debug("OWNERS", "topic %s: %s", topic, why.text);
    if (st != AA_OK || ow.count == 0) return AA_OK;
    aa_owners_name(&ow.owner[0], name, sizeof name);
    if (ow.live)
        return aa_fail(err, AA_ECONFIG,
                       "topic %s: %s publishes there, this one is '%s': each pipeline needs "
                       "topics.assignments and topics.model of its own",
                       topic, name, cfg->pipeline.name);
    aa_warn("OTHER-PIPELINE",
            "topic %s holds records of %s, which seems to be stopped: scorers pass over them",
            topic, name);
    return AA_OK;
}

aa_status
aa_owners_check(const aa_conf *cfg, aa_err *err)
{
    aa_status st = check_topic(cfg, cfg->topics.model, err);
    return st == AA_OK ? check_topic(cfg, cfg->topics.assignments, err) : st;
}
