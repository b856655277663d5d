/* common/messages/wire - batches and control messages. Packing points the generated structs at the
 * batch's own arrays; unpacking checks the parsed message, then copies whole arrays. Both
 * directions run the same check_<message>. Which arrays an event has: common/messages/columns. */
#include "common/messages/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/conf.h"
#include "common/messages/wire_columns.h"
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

/* ---- events ---- */

#define X(...) WIRE_TYPE_CHECK(Autoassign__EventBatch, __VA_ARGS__)
AA_EVENT_COLUMNS(X, X)
#undef X
#define X(...) WIRE_MEMBER(Autoassign__EventBatch, __VA_ARGS__)
static const wire_member event_members[] = {AA_EVENT_COLUMNS(X, X)};
#undef X
static const wire_columns event_wire = {&aa_event_columns, event_members};

static aa_status
check_events(const Autoassign__EventBatch *m, aa_err *err)
{
    aa_status st = wire_check_header(m->header, err);
    if (st == AA_OK) st = check_shape(m->n_label, m->field_count, err);
    if (st == AA_OK) st = wire_columns_check(m, &event_wire, m->n_label, m->field_count, err);
    return st;
}

aa_status
aa_wire_pack_events(aa_bytes *out, const aa_event_batch *b, aa_err *err)
{
    Autoassign__Header     hd = wire_header_of(&b->hd);
    Autoassign__EventBatch m = AUTOASSIGN__EVENT_BATCH__INIT;
    m.header = &hd;
    m.field_count = (uint32_t)b->F;
    m.oldest_kafka_ms = b->oldest_kafka_ms;
    wire_columns_point(&m, &event_wire, b, b->n, b->F);
    aa_status st = check_events(&m, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

static aa_status
copy_events(aa_event_batch *out, const Autoassign__EventBatch *m, aa_err *err)
{
    size_t    n = m->n_label, F = m->field_count;
    aa_status st = aa_event_batch_reserve(out, n, F, err);
    if (st != AA_OK) return st;
    out->hd = wire_header_from(m->header);
    out->n = n;
    out->oldest_kafka_ms = m->oldest_kafka_ms;
    wire_columns_copy(out, &event_wire, m, n, F);
    return AA_OK;
}

aa_status
aa_wire_unpack_events(aa_event_batch *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "EventBatch", &autoassign__event_batch__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__EventBatch *m = (const void *)msg;
    st = check_events(m, err);
    if (st != AA_OK) goto out;
    st = copy_events(out, m, err);
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- assigned ---- */

#define X(...) WIRE_TYPE_CHECK(Autoassign__AssignedBatch, __VA_ARGS__)
AA_ASSIGNED_COLUMNS(X)
AA_EVENT_COLUMNS(AA_COLUMN_SKIP, X)
#undef X
#define X(...) WIRE_MEMBER(Autoassign__AssignedBatch, __VA_ARGS__)
static const wire_member assigned_members[] = {AA_ASSIGNED_COLUMNS(X)
                                                   AA_EVENT_COLUMNS(AA_COLUMN_SKIP, X)};
#undef X
static const wire_columns assigned_wire = {&aa_assigned_columns, assigned_members};

/* op (m,4): event index, kind << 8 | field, slot, source */
static aa_status
check_ops(const Autoassign__AssignedBatch *m, aa_err *err)
{
    size_t    count = m->n_op / 4, n = m->n_label;
    uint32_t  last = 0;
    aa_status st = wire_check_count("op", m->n_op, count * 4, err);
    if (st == AA_OK && m->n_op_mix > 0) st = wire_check_count("op_mix", m->n_op_mix, count, err);
    if (st == AA_OK) st = wire_check_mix("op_mix", m->op_mix, m->n_op_mix, err);
    if (st != AA_OK) return st;
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
    if (st == AA_OK) st = wire_check_count("sweep_field", m->n_sweep_field, s, err);
    if (st != AA_OK) return st;
    for (size_t i = 0; i < s; i++)
        if (m->sweep_field[i] >= m->field_count)
            return aa_fail(err, AA_EPARSE, "sweep_field[%zu]=%" PRIu32, i, m->sweep_field[i]);
    st = wire_check_states("sweep_state", m->sweep_state, s, err);
    if (st != AA_OK) return st;
    return wire_check_next_states("sweep_next_state", m->sweep_next_state, s, err);
}

static aa_status
check_assigned(const Autoassign__AssignedBatch *m, aa_err *err)
{
    aa_status st = wire_check_header(m->header, err);
    if (st == AA_OK) st = check_shape(m->n_label, m->field_count, err);
    if (st == AA_OK) st = wire_columns_check(m, &assigned_wire, m->n_label, m->field_count, err);
    if (st == AA_OK && m->n_alt_mix > 0)
        st = wire_check_count("alt_slot", m->n_alt_slot, m->n_alt_mix, err);
    if (st == AA_OK) st = check_ops(m, err);
    return st != AA_OK ? st : check_sweep(m, err);
}

/* op_mix is left out when all are 0 */
static size_t
count_unless_zero(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0.0f) return n; /* true for NaN, which wire_check_mix then refuses */
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
    m->field_count = (uint32_t)b->F;
    m->oldest_kafka_ms = b->oldest_kafka_ms;
    wire_columns_point(m, &assigned_wire, b, b->n, b->F);
    if (m->n_alt_slot == 0) m->n_alt_mix = 0; /* nothing is read with it */
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
    if (st == AA_OK) st = wire_pack(out, &m.base, err);
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

static aa_status
copy_assigned(aa_assigned_batch *out, const Autoassign__AssignedBatch *m, aa_err *err)
{
    size_t    n = m->n_label;
    aa_status st = aa_assigned_batch_reserve_ops(out, m->n_op / 4, err);
    if (st == AA_OK) st = aa_assigned_batch_reserve_sweep(out, m->n_sweep_state, err);
    if (st == AA_OK) st = aa_assigned_batch_reserve(out, n, m->field_count, err);
    if (st != AA_OK) return st;
    out->hd = wire_header_from(m->header);
    out->n = n;
    out->oldest_kafka_ms = m->oldest_kafka_ms;
    wire_columns_copy(out, &assigned_wire, m, n, m->field_count);
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
    if (st != AA_OK) goto out;
    const Autoassign__AssignedBatch *m = (const void *)msg;
    st = check_assigned(m, err);
    if (st != AA_OK) goto out;
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
    if (st == AA_OK) st = check_shape(m->n_loss, 1, err);
    if (st == AA_OK) st = wire_check_count("advantage", m->n_advantage, m->n_reward, err);
    if (st == AA_OK && m->n_reward < m->n_loss)
        st = aa_fail(err, AA_EPARSE, "%zu rewards of %zu events", m->n_reward, m->n_loss);
    if (st == AA_OK) st = wire_check_finite("loss", m->loss, m->n_loss, err);
    if (st == AA_OK) st = wire_check_finite("reward", m->reward, m->n_reward, err);
    if (st == AA_OK) st = wire_check_finite("advantage", m->advantage, m->n_advantage, err);
    return st;
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
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_rewards(aa_reward_batch *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "RewardBatch", &autoassign__reward_batch__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__RewardBatch *m = (const void *)msg;
    st = check_rewards(m, err);
    if (st != AA_OK) goto out;
    st = aa_reward_batch_reserve(out, m->n_loss, m->n_reward, err);
    if (st != AA_OK) goto out;
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
    m.hold = c->hold;
    AA_REQUIRE(c->setting_count <= AA_CONF_KEPT_MAX);
    m.n_setting = c->setting_count;
    m.setting = wire_unconst(c->setting);
    aa_status st = wire_check_header(&hd, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_control(aa_control *out, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "Control", &autoassign__control__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Control *m = (const void *)msg;
    st = wire_check_header(m->header, err);
    if (st != AA_OK) goto out;
    size_t pipeline_len = strlen(m->pipeline), reason_len = strlen(m->reason);
    if (pipeline_len >= sizeof out->pipeline || reason_len >= sizeof out->reason) {
        st = aa_fail(err, AA_EPARSE, "Control: text of %zu and %zu bytes is too long", pipeline_len,
                     reason_len);
        goto out;
    }
    if (m->n_setting > AA_CONF_KEPT_MAX) {
        st = aa_fail(err, AA_EPARSE, "Control: marks of %zu settings", m->n_setting);
        goto out;
    }
    *out = (aa_control){.hd = wire_header_from(m->header),
                        .epoch = m->epoch,
                        .final = m->final,
                        .config_digest = m->config_digest,
                        .to_seq = m->to_seq,
                        .base_epoch = m->base_epoch,
                        .newest_run_id = m->newest_run_id,
                        .hold = m->hold,
                        .setting_count = m->n_setting};
    wire_copy(out->setting, m->setting, m->n_setting * sizeof *out->setting);
    memcpy(out->pipeline, m->pipeline, pipeline_len);
    memcpy(out->reason, m->reason, reason_len);
out:
    wire_arena_fini(&ar);
    return st;
}
