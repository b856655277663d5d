/* common/messages/wire - batches and control messages. Packing points the generated structs at the batch's
 * own arrays; unpacking checks the parsed message, then copies whole arrays. Both directions run
 * the same check_<message>. */
#include "common/messages/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/conf.h"
#include "common/messages/wire_proto.h"
#include "schemas/batch.pb-c.h"

void
aa_bytes_fini(aa_bytes *by)
{
    free(by->data);
    *by = (aa_bytes){0};
}

/* ---- parts that messages share ---- */

static aa_status
check_shape(size_t n, size_t F, aa_err *err)
{
    if (F < 1 || F > AA_MAX_FIELDS)
        return aa_fail(err, AA_EPARSE, "%zu fields, not 1..%d", F, AA_MAX_FIELDS);
    if (n > AA_WIRE_MAX_EVENTS)
        return aa_fail(err, AA_EPARSE, "%zu events, more than %zu", n, AA_WIRE_MAX_EVENTS);
    return AA_OK;
}

/* As wire_check_count, but none at all is fine too. */
static aa_status
check_optional(const char *name, size_t got, size_t want, aa_err *err)
{
    return got == 0 ? AA_OK : wire_check_count(name, got, want, err);
}

static aa_status
check_states(const char *name, const uint32_t *w, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (AA_STATE_ACTION(w[i]) >= AA_ACTIONS && w[i] != AA_NO_STATE)
            return aa_fail(err, AA_EPARSE, "%s[%zu]=%#" PRIx32 " has no such action", name, i,
                           w[i]);
    return AA_OK;
}

static aa_status
check_next_states(const char *name, const uint32_t *w, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (AA_STATE_ACTION(w[i]) != 0 && w[i] != AA_NO_STATE)
            return aa_fail(err, AA_EPARSE, "%s[%zu]=%#" PRIx32 " is no state index", name, i, w[i]);
    return AA_OK;
}

/* ---- events ---- */

static aa_status
check_events(const Autoassign__EventBatch *m, aa_err *err)
{
    size_t    n = m->n_label, F = m->field_count;
    aa_status st = wire_check_header(m->header, err);
    if (st || (st = check_shape(n, F, err))) return st;
    if ((st = wire_check_count("key", m->n_key, n * F, err))) return st;
    for (size_t i = 0; i < n * F; i++)
        if (m->key[i] == 0) return aa_fail(err, AA_EPARSE, "key[%zu]: 0 is no ID's", i);
    if ((st = wire_check_count("time_ms", m->n_time_ms, n, err))) return st;
    return wire_check_finite("label", m->label, n, err);
}

aa_status
aa_wire_pack_events(aa_bytes *out, const aa_event_batch *b, aa_err *err)
{
    Autoassign__Header     hd = wire_header_of(&b->hd);
    Autoassign__EventBatch m = AUTOASSIGN__EVENT_BATCH__INIT;
    m.header = &hd;
    m.field_count = (uint32_t)b->F;
    m.n_key = b->n * b->F;
    m.key = b->key;
    m.n_label = m.n_time_ms = b->n;
    m.label = b->label;
    m.time_ms = b->time_ms;
    m.oldest_kafka_ms = b->oldest_kafka_ms;
    aa_status st = check_events(&m, err);
    return st ? st : wire_pack(out, &m.base, err);
}

static aa_status
copy_events(aa_event_batch *out, const Autoassign__EventBatch *m, aa_err *err)
{
    size_t    n = m->n_label, F = m->field_count;
    aa_status st = aa_event_batch_reserve(out, n, F, err);
    if (st) return st;
    out->hd = wire_header_from(m->header);
    out->n = n;
    out->oldest_kafka_ms = m->oldest_kafka_ms;
    wire_copy(out->key, m->key, n * F * sizeof *out->key);
    wire_copy(out->label, m->label, n * sizeof *out->label);
    wire_copy(out->time_ms, m->time_ms, n * sizeof *out->time_ms);
    return AA_OK;
}

aa_status
aa_wire_unpack_events(aa_event_batch *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "EventBatch", &autoassign__event_batch__descriptor, buf, len, err);
    if (st) goto out;
    const Autoassign__EventBatch *m = (const void *)msg;
    if ((st = check_events(m, err))) goto out;
    st = copy_events(out, m, err);
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- assigned ---- */

static aa_status
check_baselines(const float *x, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (isinf(x[i])) return aa_fail(err, AA_EPARSE, "baseline[%zu] is infinite", i);
    return AA_OK;
}

/* op (m,4): event index, kind << 8 | field, slot, source */
static aa_status
check_ops(const Autoassign__AssignedBatch *m, aa_err *err)
{
    size_t    count = m->n_op / 4, n = m->n_label;
    uint32_t  last = 0;
    aa_status st = wire_check_count("op", m->n_op, count * 4, err);
    if (st || (st = check_optional("op_mix", m->n_op_mix, count, err))) return st;
    if ((st = wire_check_mix("op_mix", m->op_mix, m->n_op_mix, err))) return st;
    for (size_t i = 0; i < count; i++) {
        const uint32_t *op = m->op + i * 4;
        uint32_t        kind = op[1] >> 8, field = op[1] & 0xff;
        if (op[0] < last || op[0] > n)
            return aa_fail(err, AA_EPARSE, "op %zu: event %" PRIu32 " after %" PRIu32 ", of %zu", i,
                           op[0], last, n);
        if (kind < AA_OP_PROMOTE || kind > AA_OP_INIT || field >= m->field_count)
            return aa_fail(err, AA_EPARSE, "op %zu: kind %" PRIu32 ", field %" PRIu32, i, kind,
                           field);
        if (op[2] == AA_NO_SLOT || (kind == AA_OP_PROMOTE && op[3] == AA_NO_SLOT))
            return aa_fail(err, AA_EPARSE, "op %zu: without a slot", i);
        last = op[0];
    }
    return AA_OK;
}

static aa_status
check_sweep(const Autoassign__AssignedBatch *m, aa_err *err)
{
    size_t    s = m->n_sweep_state;
    aa_status st = wire_check_count("sweep_next_state", m->n_sweep_next_state, s, err);
    if (st || (st = wire_check_count("sweep_field", m->n_sweep_field, s, err))) return st;
    for (size_t i = 0; i < s; i++)
        if (m->sweep_field[i] >= m->field_count)
            return aa_fail(err, AA_EPARSE, "sweep_field[%zu]=%" PRIu32, i, m->sweep_field[i]);
    if ((st = check_states("sweep_state", m->sweep_state, s, err))) return st;
    return check_next_states("sweep_next_state", m->sweep_next_state, s, err);
}

static aa_status
check_assigned_counts(const Autoassign__AssignedBatch *m, aa_err *err)
{
    size_t    n = m->n_label, nF = n * m->field_count;
    aa_status st;
    if ((st = wire_check_count("slot", m->n_slot, nF, err))) return st;
    if ((st = wire_check_count("state", m->n_state, nF, err))) return st;
    if ((st = wire_check_count("next_state", m->n_next_state, nF, err))) return st;
    if ((st = wire_check_count("seen", m->n_seen, n, err))) return st;
    if ((st = check_optional("mix", m->n_mix, nF, err))) return st;
    if ((st = check_optional("alt_slot", m->n_alt_slot, nF, err))) return st;
    if ((st = check_optional("alt_mix", m->n_alt_mix, m->n_alt_slot, err))) return st;
    return check_optional("baseline", m->n_baseline, nF, err);
}

static aa_status
check_assigned(const Autoassign__AssignedBatch *m, aa_err *err)
{
    aa_status st = wire_check_header(m->header, err);
    if (st || (st = check_shape(m->n_label, m->field_count, err))) return st;
    if ((st = check_assigned_counts(m, err))) return st;
    if ((st = wire_check_mix("mix", m->mix, m->n_mix, err))) return st;
    if ((st = wire_check_mix("alt_mix", m->alt_mix, m->n_alt_mix, err))) return st;
    if ((st = check_states("state", m->state, m->n_state, err))) return st;
    if ((st = check_next_states("next_state", m->next_state, m->n_next_state, err))) return st;
    if ((st = check_baselines(m->baseline, m->n_baseline, err))) return st;
    if ((st = wire_check_finite("label", m->label, m->n_label, err))) return st;
    if ((st = check_ops(m, err))) return st;
    return check_sweep(m, err);
}

/* n, or 0 when the array holds nothing but the default that an empty one stands for */
static size_t
count_unless_zero(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0.0f) return n; /* true for NaN, which check_mix then refuses */
    return 0;
}

static size_t
count_unless_none(const uint32_t *slot, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slot[i] != AA_NO_SLOT) return n;
    return 0;
}

static size_t
count_unless_nan(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(x[i])) return n;
    return 0;
}

/* op (m,4) and op_mix (m) into `flat`, room for 5*m words */
static void
flatten_ops(Autoassign__AssignedBatch *m, const aa_assigned_batch *b, uint32_t *flat)
{
    float *mix = (float *)(void *)(flat + b->op_count * 4);
    for (size_t i = 0; i < b->op_count; i++) {
        const aa_op *op = &b->op[i];
        flat[i * 4 + 0] = op->event_idx;
        flat[i * 4 + 1] = (uint32_t)op->kind << 8 | op->field;
        flat[i * 4 + 2] = op->slot;
        flat[i * 4 + 3] = op->source;
        mix[i] = op->source_mix;
    }
    m->n_op = b->op_count * 4;
    m->op = flat;
    m->n_op_mix = count_unless_zero(mix, b->op_count);
    m->op_mix = mix;
}

static void
point_assigned(Autoassign__AssignedBatch *m, const aa_assigned_batch *b)
{
    size_t nF = b->n * b->F;
    m->field_count = (uint32_t)b->F;
    m->oldest_kafka_ms = b->oldest_kafka_ms;
    m->n_slot = m->n_state = m->n_next_state = nF;
    m->slot = b->slot;
    m->state = b->state;
    m->next_state = b->next_state;
    m->n_mix = count_unless_zero(b->mix, nF);
    m->mix = b->mix;
    m->n_alt_slot = count_unless_none(b->alt_slot, nF);
    m->alt_slot = b->alt_slot;
    m->n_alt_mix = m->n_alt_slot ? count_unless_zero(b->alt_mix, nF) : 0;
    m->alt_mix = b->alt_mix;
    m->n_baseline = count_unless_nan(b->baseline, nF);
    m->baseline = b->baseline;
    m->n_label = m->n_seen = b->n;
    m->label = b->label;
    m->seen = b->seen;
    m->n_sweep_state = m->n_sweep_next_state = m->n_sweep_field = b->sweep_count;
    m->sweep_state = b->sweep_state;
    m->sweep_next_state = b->sweep_next_state;
    m->sweep_field = b->sweep_field;
}

aa_status
aa_wire_pack_assigned(aa_bytes *out, const aa_assigned_batch *b, aa_err *err)
{
    Autoassign__Header        hd = wire_header_of(&b->hd);
    Autoassign__AssignedBatch m = AUTOASSIGN__ASSIGNED_BATCH__INIT;
    uint32_t                 *flat = NULL;
    aa_status                 st = AA_OK;
    m.header = &hd;
    point_assigned(&m, b);
    if (b->op_count) {
        flat = calloc(b->op_count, 5 * sizeof *flat);
        if (!flat) return aa_fail(err, AA_ENOMEM, "out of memory: %zu ops", b->op_count);
        flatten_ops(&m, b, flat);
    }
    st = check_assigned(&m, err);
    if (!st) st = wire_pack(out, &m.base, err);
    free(flat);
    return st;
}

static void
copy_ops(aa_assigned_batch *out, const Autoassign__AssignedBatch *m)
{
    out->op_count = m->n_op / 4;
    for (size_t i = 0; i < out->op_count; i++) {
        const uint32_t *op = m->op + i * 4;
        out->op[i] = (aa_op){.event_idx = op[0],
                             .kind = (uint8_t)(op[1] >> 8),
                             .field = (uint8_t)(op[1] & 0xff),
                             .slot = op[2],
                             .source = op[3],
                             .source_mix = m->n_op_mix ? m->op_mix[i] : 0.0f};
    }
}

static void
copy_sweep(aa_assigned_batch *out, const Autoassign__AssignedBatch *m)
{
    size_t bytes = m->n_sweep_state * sizeof *out->sweep_state;
    out->sweep_count = m->n_sweep_state;
    wire_copy(out->sweep_state, m->sweep_state, bytes);
    wire_copy(out->sweep_next_state, m->sweep_next_state, bytes);
    wire_copy(out->sweep_field, m->sweep_field, bytes);
}

/* dst (n) = src (n), or `value` when src is empty */
static void
copy_or_fill(float *dst, const float *src, size_t src_count, size_t n, float value)
{
    if (src_count) {
        wire_copy(dst, src, n * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++)
        dst[i] = value;
}

static aa_status
copy_assigned(aa_assigned_batch *out, const Autoassign__AssignedBatch *m, aa_err *err)
{
    size_t    n = m->n_label, nF = n * m->field_count;
    aa_status st;
    if ((st = aa_assigned_batch_reserve_ops(out, m->n_op / 4, err))) return st;
    if ((st = aa_assigned_batch_reserve_sweep(out, m->n_sweep_state, err))) return st;
    if ((st = aa_assigned_batch_reserve(out, n, m->field_count, err))) return st;
    out->hd = wire_header_from(m->header);
    out->n = n;
    out->oldest_kafka_ms = m->oldest_kafka_ms;
    wire_copy(out->slot, m->slot, nF * sizeof *out->slot);
    wire_copy(out->state, m->state, nF * sizeof *out->state);
    wire_copy(out->next_state, m->next_state, nF * sizeof *out->next_state);
    wire_copy(out->label, m->label, n * sizeof *out->label);
    wire_copy(out->seen, m->seen, n * sizeof *out->seen);
    copy_or_fill(out->mix, m->mix, m->n_mix, nF, 0.0f);
    copy_or_fill(out->alt_mix, m->alt_mix, m->n_alt_mix, nF, 0.0f);
    copy_or_fill(out->baseline, m->baseline, m->n_baseline, nF, NAN);
    if (m->n_alt_slot)
        wire_copy(out->alt_slot, m->alt_slot, nF * sizeof *out->alt_slot);
    else
        memset(out->alt_slot, 0xff, nF * sizeof *out->alt_slot); /* AA_NO_SLOT */
    copy_ops(out, m);
    copy_sweep(out, m);
    return AA_OK;
}

aa_status
aa_wire_unpack_assigned(aa_assigned_batch *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status st = wire_unpack(&ar, &msg, "AssignedBatch", &autoassign__assigned_batch__descriptor,
                               buf, len, err);
    if (st) goto out;
    const Autoassign__AssignedBatch *m = (const void *)msg;
    if ((st = check_assigned(m, err))) goto out;
    st = copy_assigned(out, m, err);
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- rewards ---- */

static aa_status
check_rewards(const Autoassign__RewardBatch *m, aa_err *err)
{
    aa_status st = wire_check_header(m->header, err);
    if (st || (st = check_shape(m->n_loss, 1, err))) return st;
    if ((st = wire_check_count("advantage", m->n_advantage, m->n_reward, err))) return st;
    if (m->n_reward < m->n_loss)
        return aa_fail(err, AA_EPARSE, "%zu rewards of %zu events", m->n_reward, m->n_loss);
    if ((st = wire_check_finite("loss", m->loss, m->n_loss, err))) return st;
    if ((st = wire_check_finite("reward", m->reward, m->n_reward, err))) return st;
    return wire_check_finite("advantage", m->advantage, m->n_advantage, err);
}

aa_status
aa_wire_pack_rewards(aa_bytes *out, const aa_reward_batch *b, aa_err *err)
{
    Autoassign__Header      hd = wire_header_of(&b->hd);
    Autoassign__RewardBatch m = AUTOASSIGN__REWARD_BATCH__INIT;
    m.header = &hd;
    m.n_loss = b->n;
    m.loss = b->loss;
    m.n_reward = m.n_advantage = b->m;
    m.reward = b->reward;
    m.advantage = b->advantage;
    aa_status st = check_rewards(&m, err);
    return st ? st : wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_rewards(aa_reward_batch *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "RewardBatch", &autoassign__reward_batch__descriptor, buf, len, err);
    if (st) goto out;
    const Autoassign__RewardBatch *m = (const void *)msg;
    if ((st = check_rewards(m, err))) goto out;
    if ((st = aa_reward_batch_reserve(out, m->n_loss, m->n_reward, err))) goto out;
    out->hd = wire_header_from(m->header);
    out->n = m->n_loss;
    out->m = m->n_reward;
    wire_copy(out->loss, m->loss, out->n * sizeof *out->loss);
    wire_copy(out->reward, m->reward, out->m * sizeof *out->reward);
    wire_copy(out->advantage, m->advantage, out->m * sizeof *out->advantage);
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- control ---- */

aa_status
aa_wire_pack_control(aa_bytes *out, const aa_control *c, aa_err *err)
{
    Autoassign__Header  hd = wire_header_of(&c->hd);
    Autoassign__Control m;
    autoassign__control__init(&m);
    AA_REQUIRE(memchr(c->pipeline, '\0', sizeof c->pipeline));
    AA_REQUIRE(memchr(c->reason, '\0', sizeof c->reason));
    m.header = &hd;
    m.epoch = c->epoch;
    m.final = c->final;
    m.config_digest = c->config_digest;
    m.pipeline = wire_unconst(c->pipeline);
    m.reason = wire_unconst(c->reason);
    m.to_seq = c->to_seq;
    m.base_epoch = c->base_epoch;
    m.newest_run_id = c->newest_run_id;
    aa_status st = wire_check_header(&hd, err);
    return st ? st : wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_control(aa_control *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "Control", &autoassign__control__descriptor, buf, len, err);
    if (st) goto out;
    const Autoassign__Control *m = (const void *)msg;
    if ((st = wire_check_header(m->header, err))) goto out;
    size_t pipeline_len = strlen(m->pipeline), reason_len = strlen(m->reason);
    if (pipeline_len >= sizeof out->pipeline || reason_len >= sizeof out->reason) {
        st = aa_fail(err, AA_EPARSE, "Control: text of %zu and %zu bytes is too long", pipeline_len,
                     reason_len);
        goto out;
    }
    *out = (aa_control){.hd = wire_header_from(m->header),
                        .epoch = m->epoch,
                        .final = m->final,
                        .config_digest = m->config_digest,
                        .to_seq = m->to_seq,
                        .base_epoch = m->base_epoch,
                        .newest_run_id = m->newest_run_id};
    memcpy(out->pipeline, m->pipeline, pipeline_len);
    memcpy(out->reason, m->reason, reason_len);
out:
    wire_arena_fini(&ar);
    return st;
}
