#include "learner/publish_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/agent/mode.h"
#include "common/kafka/kafka_conf.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"
#include "common/kafka/owners.h"
#include "common/messages/mark.h"
#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"
#include "common/model/row.h"

enum { CHUNK = 1024 };

struct publish_model {
    const aa_conf *cfg;      /* borrowed */
    aa_producer   *producer; /* owned */
    aa_bytes       value;    /* reused */
    uint32_t       mark;     /* of this pipeline */
    size_t         width;    /* W = K+1 */
    uint64_t       sent;
    uint64_t       lost;    /* messages that were not delivered, as of the last call */
    bool           pending; /* the last call left something for the next */
    learner_change change[CHUNK];
};

aa_status
publish_model_open(publish_model **out, const aa_conf *cfg, aa_err *err)
{
    publish_model *pm = calloc(1, sizeof *pm);
    if (!pm) return aa_fail(err, AA_ENOMEM, "publisher of the model");
    pm->cfg = cfg;
    pm->mark = aa_mark_of(cfg->pipeline.name);
    pm->width = aa_row_width((size_t)cfg->model.dim);
    aa_status st = aa_topic_ensure_model(cfg, err);
    if (st == AA_OK) st = aa_owners_check(cfg, err);
    if (st == AA_OK)
        st = aa_producer_open_large(&pm->producer, cfg, aa_kafka_model_bytes(cfg), err);
    if (st != AA_OK) {
        publish_model_close(&pm);
        return st;
    }
    *out = pm;
    return AA_OK;
}

/* value: pm->value, or NULL for a tombstone */
static aa_status
send_keyed(publish_model *pm, aa_key_kind kind, uint32_t field, uint64_t id, aa_bytes *value,
           aa_err *err)
{
    uint8_t               mark[AA_MARK_HEADER_BYTES];
    const aa_kafka_header header = {.name = AA_MARK_HEADER, .value = mark, .len = sizeof mark};
    uint8_t               key[AA_TOPIC_KEY_BYTES];
    const aa_topic_key    k = {
           .lane = (uint32_t)pm->cfg->pipeline.lane, .kind = (uint8_t)kind, .field = field, .id = id};
    aa_topic_key_put(key, &k);
    if (!value) {
        aa_mark_to_header(mark, pm->mark);
        return aa_producer_send(pm->producer, pm->cfg->topics.model, -1, key, sizeof key, NULL, 0,
                                0, &header, 1, err);
    }
    aa_status st = aa_mark_put(value, pm->mark, err);
    if (st != AA_OK) return st;
    return aa_producer_send(pm->producer, pm->cfg->topics.model, -1, key, sizeof key, value->data,
                            value->len, 0, NULL, 0, err);
}

static aa_status
send_row(publish_model *pm, const learner_change *ch, uint64_t run_id, uint64_t version,
         aa_err *err)
{
    if (ch->deleted) return send_keyed(pm, AA_KEY_ROW, ch->field, ch->slot, NULL, err);
    const aa_row_head rh = {.run_id = run_id,
                            .version = version,
                            .born = ch->born,
                            .bf16 = ch->born > 0 && pm->cfg->model.row_format == AA_ROW_BF16};
    aa_status         st = aa_wire_pack_row(&pm->value, &rh, ch->w, pm->width, err);
    if (st != AA_OK) return st;
    return send_keyed(pm, AA_KEY_ROW, ch->field, ch->slot, &pm->value, err);
}

static aa_status
send_dense(publish_model *pm, const learner *le, uint64_t run_id, uint64_t version,
           int64_t oldest_kafka_ms, int64_t newest_kafka_ms, aa_err *err)
{
    const aa_conf   *cfg = pm->cfg;
    learner_stats    stats;
    aa_dense_message d = {.run_id = run_id,
                          .version = version,
                          .F = cfg->field_count,
                          .K = (size_t)cfg->model.dim,
                          .hidden_count = cfg->hidden_count,
                          .oldest_kafka_ms = oldest_kafka_ms,
                          .newest_kafka_ms = newest_kafka_ms};
    learner_stats_get(le, &stats);
    d.events = stats.events;
    d.residual_rows = aa_residual_rows(cfg);
    snprintf(d.pipeline, sizeof d.pipeline, "%.127s", cfg->pipeline.name);
    snprintf(d.model, sizeof d.model, "%.31s", aa_model_id_text(cfg->model.kind));
    for (size_t h = 0; h < cfg->hidden_count; h++)
        d.hidden[h] = cfg->hidden[h];
    d.w = learner_dense(le, &d.w_count);
    aa_status st = aa_wire_pack_dense(&pm->value, &d, err);
    if (st != AA_OK) return st;
    return send_keyed(pm, AA_KEY_DENSE, 0, 0, &pm->value, err);
}

aa_status
publish_model_send(publish_model *pm, learner *le, uint64_t run_id, int64_t oldest_kafka_ms,
                   int64_t newest_kafka_ms, bool all, aa_err *err)
{
    const uint64_t version = learner_next_batch(le) - 1;
    size_t         count = CHUNK;
    pm->pending = true;
    if (aa_producer_behind(pm->producer))
        return aa_fail(err, AA_EAGAIN, "topic %s: the broker is behind", pm->cfg->topics.model);
    all = all || aa_producer_failed(pm->producer) != pm->lost;
    pm->lost = aa_producer_failed(pm->producer);
    while (count == CHUNK && !aa_producer_behind(pm->producer)) {
        aa_status st = learner_changes(le, all, pm->change, CHUNK, &count, err);
        all = false; /* the first call began again; the next go on from there */
        for (size_t i = 0; st == AA_OK && i < count; i++)
            st = send_row(pm, &pm->change[i], run_id, version, err);
        if (st != AA_OK) return st;
        pm->sent += count;
    }
    pm->pending = count == CHUNK;
    aa_status st = send_dense(pm, le, run_id, version, oldest_kafka_ms, newest_kafka_ms, err);
    aa_producer_poll(pm->producer);
    return st;
}

aa_status
publish_model_flush(publish_model *pm, int timeout_ms, aa_err *err)
{
    return aa_producer_flush(pm->producer, timeout_ms, err);
}

bool
publish_model_pending(const publish_model *pm)
{
    return pm->pending;
}

uint64_t
publish_model_sent(const publish_model *pm)
{
    return pm->sent;
}

void
publish_model_close(publish_model **pm_p)
{
    publish_model *pm = *pm_p;
    if (!pm) return;
    aa_producer_free(&pm->producer, 5000);
    aa_bytes_fini(&pm->value);
    free(pm);
    *pm_p = NULL;
}
