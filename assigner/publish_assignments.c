#include "assigner/publish_assignments.h"

#include <stdlib.h>

#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"
#include "common/kafka/owners.h"
#include "common/messages/mark.h"
#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"

enum { CHUNK = 1024 };

struct publish_assignments {
    const aa_conf  *cfg;      /* borrowed */
    aa_producer    *producer; /* owned */
    aa_bytes        value;    /* reused */
    uint32_t        mark;     /* of this pipeline */
    uint64_t        sent;
    uint64_t        lost;    /* messages that were not delivered, as of the last call */
    bool            pending; /* the last call left something for the next */
    assigner_change change[CHUNK];
};

aa_status
publish_assignments_open(publish_assignments **out, const aa_conf *cfg, aa_err *err)
{
    publish_assignments *pa = calloc(1, sizeof *pa);
    if (!pa) return aa_fail(err, AA_ENOMEM, "publisher of assignments");
    pa->cfg = cfg;
    pa->mark = aa_mark_of(cfg->pipeline.name);
    aa_status st = aa_topic_ensure(cfg, cfg->topics.assignments, 0, true, err);
    if (st == AA_OK) st = aa_owners_check(cfg, err);
    if (st == AA_OK) st = aa_producer_open(&pa->producer, cfg, err);
    if (st != AA_OK) {
        publish_assignments_close(&pa);
        return st;
    }
    *out = pa;
    return AA_OK;
}

static aa_status
send_tombstone(publish_assignments *pa, const uint8_t key[AA_TOPIC_KEY_BYTES], aa_err *err)
{
    uint8_t               mark[AA_MARK_HEADER_BYTES];
    const aa_kafka_header header = {.name = AA_MARK_HEADER, .value = mark, .len = sizeof mark};
    aa_mark_to_header(mark, pa->mark);
    return aa_producer_send(pa->producer, pa->cfg->topics.assignments, -1, key, AA_TOPIC_KEY_BYTES,
                            NULL, 0, 0, &header, 1, err);
}

/* a: NULL deletes */
static aa_status
send_one(publish_assignments *pa, aa_key_kind kind, uint32_t field, uint64_t id,
         const aa_assignment *a, aa_err *err)
{
    uint8_t            key[AA_TOPIC_KEY_BYTES];
    const aa_topic_key k = {
        .lane = (uint32_t)pa->cfg->pipeline.lane, .kind = (uint8_t)kind, .field = field, .id = id};
    aa_topic_key_put(key, &k);
    if (!a) return send_tombstone(pa, key, err);
    aa_status st = aa_wire_pack_assignment(&pa->value, a, err);
    if (st == AA_OK) st = aa_mark_put(&pa->value, pa->mark, err);
    if (st != AA_OK) return st;
    return aa_producer_send(pa->producer, pa->cfg->topics.assignments, -1, key, sizeof key,
                            pa->value.data, pa->value.len, 0, NULL, 0, err);
}

static aa_status
send_new_ids(publish_assignments *pa, const assigner *as, uint64_t run_id, aa_err *err)
{
    for (uint32_t f = 0; f < pa->cfg->field_count; f++) {
        aa_assignment a;
        assigner_new_id(as, f, &a);
        a.run_id = run_id;
        aa_status st = send_one(pa, AA_KEY_NEW_ID, f, 0, &a, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

aa_status
publish_assignments_send(publish_assignments *pa, assigner *as, uint64_t run_id, bool all,
                         aa_err *err)
{
    size_t count = CHUNK;
    pa->pending = true;
    if (aa_producer_behind(pa->producer))
        return aa_fail(err, AA_EAGAIN, "topic %s: the broker is behind",
                       pa->cfg->topics.assignments);
    all = all || aa_producer_failed(pa->producer) != pa->lost;
    pa->lost = aa_producer_failed(pa->producer);
    aa_status st = all ? send_new_ids(pa, as, run_id, err) : AA_OK;
    if (st != AA_OK) return st;
    while (count == CHUNK && !aa_producer_behind(pa->producer)) {
        st = assigner_changes(as, all, pa->change, CHUNK, &count, err);
        all = false; /* the first call began again; the next go on from there */
        for (size_t i = 0; st == AA_OK && i < count; i++) {
            assigner_change *ch = &pa->change[i];
            ch->a.run_id = run_id;
            st = send_one(pa, AA_KEY_ASSIGNMENT, ch->field, ch->key, ch->deleted ? NULL : &ch->a,
                          err);
            if (st == AA_OK && ch->deleted && ch->field == AA_RANKED_FIELD &&
                pa->cfg->publish.item_names)
                st = send_one(pa, AA_KEY_NAME, ch->field, ch->key, NULL, err);
        }
        if (st != AA_OK) return st;
        pa->sent += count;
    }
    pa->pending = count == CHUNK;
    aa_producer_poll(pa->producer);
    return AA_OK;
}

aa_status
publish_assignments_flush(publish_assignments *pa, int timeout_ms, aa_err *err)
{
    return aa_producer_flush(pa->producer, timeout_ms, err);
}

bool
publish_assignments_pending(const publish_assignments *pa)
{
    return pa->pending;
}

uint64_t
publish_assignments_sent(const publish_assignments *pa)
{
    return pa->sent;
}

void
publish_assignments_close(publish_assignments **pa_p)
{
    publish_assignments *pa = *pa_p;
    if (!pa) return;
    aa_producer_free(&pa->producer, 5000);
    aa_bytes_fini(&pa->value);
    free(pa);
    *pa_p = NULL;
}
