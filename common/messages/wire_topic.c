#include "common/messages/wire_topic.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bits.h"
#include "common/config/conf.h"
#include "common/messages/wire_proto.h"
#include "common/messages/wire_scan.h"
#include "common/model/model.h"
#include "common/model/signal.h"
#include "schemas/model.pb-c.h"

#define MAX_POSITION 16   /* agent.positions + 1 */
#define MAX_DIM      1024 /* model.dim */
#define MAX_ROW      (MAX_DIM + 1)
#define MAX_WIDTH    65536 /* of a hidden layer */

/* ---- keys ---- */

static void
put_big_endian(uint8_t *out, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
}

static uint64_t
get_big_endian(const uint8_t *at, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | at[i];
    return value;
}

void
aa_topic_key_put(uint8_t out[AA_TOPIC_KEY_BYTES], const aa_topic_key *k)
{
    AA_REQUIRE(k->lane <= UINT16_MAX && k->field < AA_MAX_FIELDS);
    put_big_endian(out, k->lane, 2);
    out[2] = k->kind;
    put_big_endian(out + 3, k->field, 2);
    put_big_endian(out + 5, k->id, 8);
}

/* Each kind uses only some of the parts. */
static bool
key_fits_kind(const aa_topic_key *k)
{
    switch (k->kind) {
    case AA_KEY_ASSIGNMENT: return k->field < AA_MAX_FIELDS;
    case AA_KEY_NAME: return k->field < AA_MAX_FIELDS && k->id != 0;
    case AA_KEY_NEW_ID: return k->field < AA_MAX_FIELDS && k->id == 0;
    case AA_KEY_ROW: return k->field < AA_MAX_FIELDS && k->id < AA_NO_SLOT;
    case AA_KEY_DENSE: return k->field == 0 && k->id == 0;
    default: return false;
    }
}

aa_status
aa_topic_key_get(aa_topic_key *k, const void *buf, size_t len, aa_err *err)
{
    const uint8_t *at = buf;
    if (!at || len != AA_TOPIC_KEY_BYTES)
        return aa_fail(err, AA_EPARSE, "key of %zu bytes instead of %d", len, AA_TOPIC_KEY_BYTES);
    aa_topic_key got = {.lane = (uint32_t)get_big_endian(at, 2),
                        .kind = at[2],
                        .field = (uint32_t)get_big_endian(at + 3, 2),
                        .id = get_big_endian(at + 5, 8)};
    if (!key_fits_kind(&got))
        return aa_fail(err, AA_EPARSE, "key of kind %d, field %" PRIu32 ", id %" PRIu64, got.kind,
                       got.field, got.id);
    *k = got;
    return AA_OK;
}

/* ---- assignment ---- */

static aa_status
check_assignment(const aa_assignment *a, aa_err *err)
{
    aa_status st = wire_check_mix("mix", &a->mix, 1, err);
    if (st == AA_OK) st = wire_check_mix("alt_mix", &a->alt_mix, 1, err);
    if (st != AA_OK) return st;
    if (a->signal > AA_SIGNAL_CODE) return aa_fail(err, AA_EPARSE, "signal %#" PRIx32, a->signal);
    if (a->position > MAX_POSITION)
        return aa_fail(err, AA_EPARSE, "position %" PRIu32, a->position);
    return AA_OK;
}

aa_status
aa_wire_pack_assignment(aa_bytes *out, const aa_assignment *a, aa_err *err)
{
    Autoassign__Assignment m = AUTOASSIGN__ASSIGNMENT__INIT;
    m.run_id = a->run_id;
    m.version = a->version;
    m.born = a->born;
    m.slot = a->slot;
    m.alt_slot = a->alt_slot;
    m.mix = a->mix;
    m.alt_mix = a->alt_mix;
    m.position = a->position;
    m.modulo = a->modulo;
    m.signal = a->signal;
    aa_status st = check_assignment(a, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

/* Fields of schemas/model.proto. */
enum {
    ASSIGNMENT_RUN = 1,
    ASSIGNMENT_VERSION,
    ASSIGNMENT_SLOT,
    ASSIGNMENT_MIX,
    ASSIGNMENT_POSITION,
    ASSIGNMENT_BORN,
    ASSIGNMENT_ALT_SLOT,
    ASSIGNMENT_ALT_MIX,
    ASSIGNMENT_MODULO,
    ASSIGNMENT_SIGNAL
};
enum { ROW_RUN = 1, ROW_VERSION, ROW_W, ROW_BORN, ROW_HALF };
enum { RECORD_MARK = 15 };

/* False: a known field of another type. Others are passed over. */
static bool
take_assignment_field(aa_assignment *a, const wire_field *fi)
{
    const uint32_t low = (uint32_t)fi->value;
    switch (fi->number) {
    case ASSIGNMENT_RUN: a->run_id = fi->value; return fi->type == WIRE_FIXED64;
    case ASSIGNMENT_VERSION: a->version = fi->value; return fi->type == WIRE_VARINT;
    case ASSIGNMENT_SLOT: a->slot = low; return fi->type == WIRE_VARINT;
    case ASSIGNMENT_MIX: a->mix = aa_float_of(low); return fi->type == WIRE_FIXED32;
    case ASSIGNMENT_POSITION: a->position = low; return fi->type == WIRE_VARINT;
    case ASSIGNMENT_BORN: a->born = fi->value; return fi->type == WIRE_VARINT;
    case ASSIGNMENT_ALT_SLOT: a->alt_slot = low; return fi->type == WIRE_VARINT;
    case ASSIGNMENT_ALT_MIX: a->alt_mix = aa_float_of(low); return fi->type == WIRE_FIXED32;
    case ASSIGNMENT_MODULO: a->modulo = low; return fi->type == WIRE_VARINT;
    case ASSIGNMENT_SIGNAL: a->signal = low; return fi->type == WIRE_VARINT;
    case RECORD_MARK: return fi->type == WIRE_FIXED32;
    default: return true;
    }
}

static aa_status
fail_parse(const char *name, size_t len, aa_err *err)
{
    return aa_fail(err, AA_EPARSE, "%s: %zu bytes that do not parse", name, len);
}

aa_status
aa_wire_unpack_assignment(aa_assignment *a, const void *buf, size_t len, aa_err *err)
{
    wire_scan        sc = {.at = buf, .end = (const uint8_t *)buf + len};
    wire_field       fi;
    wire_scan_status found;
    aa_assignment    got = {0};
    while ((found = wire_scan_next(&sc, &fi)) == WIRE_SCAN_FIELD)
        if (!take_assignment_field(&got, &fi)) break;
    if (found != WIRE_SCAN_END) return fail_parse("Assignment", len, err);
    aa_status st = check_assignment(&got, err);
    if (st == AA_OK) *a = got;
    return st;
}

/* ---- name ---- */

aa_status
aa_wire_pack_name(aa_bytes *out, const void *text, size_t len, aa_err *err)
{
    Autoassign__Name m;
    autoassign__name__init(&m);
    if (!len) return aa_fail(err, AA_EPARSE, "empty name");
    m.text = (ProtobufCBinaryData){.len = len, .data = wire_unconst(text)};
    return wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_name(aa_bytes *out, const void **text, size_t *len_out, const void *buf, size_t len,
                    aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status st = wire_unpack(&ar, &msg, "Name", &autoassign__name__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Name *m = (const void *)msg;
    if (!m->text.len) {
        st = aa_fail(err, AA_EPARSE, "empty name");
        goto out;
    }
    if (m->text.len > out->cap) {
        uint8_t *grown = realloc(out->data, m->text.len);
        if (!grown) {
            st = aa_fail(err, AA_ENOMEM, "name of %zu bytes", m->text.len);
            goto out;
        }
        out->data = grown;
        out->cap = m->text.len;
    }
    memcpy(out->data, m->text.data, m->text.len);
    out->len = m->text.len;
    *text = out->data;
    *len_out = out->len;
out:
    wire_arena_fini(&ar);
    return st;
}

/* ---- row ---- */

/* half (width): w as bf16, little-endian. False: a value is none. */
static bool
halve(uint8_t *half, const float *w, size_t width)
{
    uint32_t lower = 0;
    for (size_t i = 0; i < width; i++) {
        const uint32_t bits = aa_float_bits(w[i]);
        lower |= bits & 0xFFFF;
        half[2 * i] = (uint8_t)(bits >> 16);
        half[2 * i + 1] = (uint8_t)(bits >> 24);
    }
    return lower == 0;
}

aa_status
aa_wire_pack_row(aa_bytes *out, const aa_row_head *rh, const float *w, size_t width, aa_err *err)
{
    uint8_t         half[2 * MAX_ROW];
    Autoassign__Row m = AUTOASSIGN__ROW__INIT;
    AA_REQUIRE(width <= MAX_ROW);
    m.run_id = rh->run_id;
    m.version = rh->version;
    m.born = rh->born;
    if (rh->bf16 && halve(half, w, width)) {
        m.half = (ProtobufCBinaryData){.len = 2 * width, .data = half};
    } else {
        m.n_w = width;
        m.w = wire_unconst(w);
    }
    aa_status st = wire_check_finite("w", w, width, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

typedef struct {
    aa_row_head rh;
    float       w[MAX_ROW];
    size_t      n; /* values, also those for which there is no room */
} row_record;

static void
take_value(row_record *re, uint64_t bits)
{
    if (re->n < MAX_ROW) re->w[re->n] = aa_float_of((uint32_t)bits);
    re->n++;
}

/* As take_assignment_field. */
static bool
take_row_field(row_record *re, const wire_field *fi)
{
    switch (fi->number) {
    case ROW_RUN: re->rh.run_id = fi->value; return fi->type == WIRE_FIXED64;
    case ROW_VERSION: re->rh.version = fi->value; return fi->type == WIRE_VARINT;
    case ROW_BORN: re->rh.born = fi->value; return fi->type == WIRE_VARINT;
    case ROW_W:
        if (fi->type == WIRE_FIXED32) take_value(re, fi->value);
        for (size_t i = 0; fi->type == WIRE_BYTES && i + 4 <= fi->value; i += 4)
            take_value(re, wire_scan_little(fi->bytes + i, 4));
        return fi->type == WIRE_FIXED32 || (fi->type == WIRE_BYTES && fi->value % 4 == 0);
    case ROW_HALF:
        for (size_t i = 0; fi->type == WIRE_BYTES && i + 2 <= fi->value; i += 2)
            take_value(re, wire_scan_little(fi->bytes + i, 2) << 16);
        re->rh.bf16 = true;
        return fi->type == WIRE_BYTES && fi->value % 2 == 0;
    case RECORD_MARK: return fi->type == WIRE_FIXED32;
    default: return true;
    }
}

aa_status
aa_wire_unpack_row(aa_row_head *rh, float *w, size_t width, const void *buf, size_t len,
                   aa_err *err)
{
    wire_scan        sc = {.at = buf, .end = (const uint8_t *)buf + len};
    wire_field       fi;
    wire_scan_status found;
    row_record       re;
    re.rh = (aa_row_head){0};
    re.n = 0;
    while ((found = wire_scan_next(&sc, &fi)) == WIRE_SCAN_FIELD)
        if (!take_row_field(&re, &fi)) break;
    if (found != WIRE_SCAN_END) return fail_parse("Row", len, err);
    aa_status st = wire_check_count("w", re.n, width, err);
    if (st == AA_OK) st = wire_check_finite("w", re.w, width, err);
    if (st != AA_OK) return st;
    *rh = re.rh;
    wire_copy(w, re.w, width * sizeof *w);
    return AA_OK;
}

/* ---- dense ---- */

static aa_status
check_dense(const Autoassign__Dense *m, aa_err *err)
{
    if (strlen(m->model) >= sizeof((aa_dense_message *)0)->model)
        return aa_fail(err, AA_EPARSE, "model name of %zu bytes", strlen(m->model));
    if (m->field_count < 1 || m->field_count > AA_MAX_FIELDS || m->dim < 1 || m->dim > MAX_DIM)
        return aa_fail(err, AA_EPARSE, "%" PRIu32 " fields of dimension %" PRIu32, m->field_count,
                       m->dim);
    if (m->n_hidden > AA_MAX_HIDDEN)
        return aa_fail(err, AA_EPARSE, "%zu hidden layers", m->n_hidden);
    for (size_t i = 0; i < m->n_hidden; i++)
        if (m->hidden[i] < 1 || m->hidden[i] > MAX_WIDTH)
            return aa_fail(err, AA_EPARSE, "hidden[%zu]=%" PRIu32, i, m->hidden[i]);
    return wire_check_finite("w", m->w, m->n_w, err);
}

uint64_t
aa_wire_dense_bytes(const aa_conf *cfg)
{
    enum { FRAME_BYTES = 512 }; /* every other member at its longest, and the tags */
    aa_model_shape sh;
    aa_model_shape_of(&sh, cfg);
    return aa_model_find(cfg->model.kind)->weight_count(&sh) * (uint64_t)sizeof(float) +
           FRAME_BYTES;
}

aa_status
aa_wire_pack_dense(aa_bytes *out, const aa_dense_message *d, aa_err *err)
{
    uint32_t          hidden[AA_MAX_HIDDEN];
    Autoassign__Dense m;
    autoassign__dense__init(&m);
    AA_REQUIRE(d->hidden_count <= AA_MAX_HIDDEN);
    AA_REQUIRE(memchr(d->model, '\0', sizeof d->model));
    for (size_t i = 0; i < d->hidden_count; i++)
        hidden[i] = (uint32_t)d->hidden[i];
    m.run_id = d->run_id;
    m.version = d->version;
    m.model = wire_unconst(d->model);
    m.field_count = (uint32_t)d->F;
    m.dim = (uint32_t)d->K;
    m.n_hidden = d->hidden_count;
    m.hidden = hidden;
    m.n_w = d->w_count;
    m.w = wire_unconst(d->w);
    m.events = d->events;
    m.residual_rows = d->residual_rows;
    m.newest_kafka_ms = d->newest_kafka_ms;
    m.oldest_kafka_ms = d->oldest_kafka_ms;
    m.pipeline = wire_unconst(d->pipeline);
    aa_status st = check_dense(&m, err);
    return st != AA_OK ? st : wire_pack(out, &m.base, err);
}

static aa_status
copy_dense(aa_dense_message *d, const Autoassign__Dense *m, aa_err *err)
{
    float *w = realloc(d->owned, (m->n_w + 1) * sizeof *w); /* + 1: never of size 0 */
    if (!w) return aa_fail(err, AA_ENOMEM, "out of memory: %zu dense weights", m->n_w);
    *d = (aa_dense_message){.run_id = m->run_id,
                            .version = m->version,
                            .F = m->field_count,
                            .K = m->dim,
                            .hidden_count = m->n_hidden,
                            .w = w,
                            .owned = w,
                            .w_count = m->n_w,
                            .events = m->events,
                            .residual_rows = m->residual_rows,
                            .newest_kafka_ms = m->newest_kafka_ms,
                            .oldest_kafka_ms = m->oldest_kafka_ms};
    memcpy(d->model, m->model, strlen(m->model));
    snprintf(d->pipeline, sizeof d->pipeline, "%s", m->pipeline);
    for (size_t i = 0; i < m->n_hidden; i++)
        d->hidden[i] = m->hidden[i];
    wire_copy(w, m->w, m->n_w * sizeof *w);
    return AA_OK;
}

aa_status
aa_wire_unpack_dense(aa_dense_message *d, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status st = wire_unpack(&ar, &msg, "Dense", &autoassign__dense__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Dense *m = (const void *)msg;
    st = check_dense(m, err);
    if (st != AA_OK) goto out;
    st = copy_dense(d, m, err);
out:
    wire_arena_fini(&ar);
    return st;
}

void
aa_dense_message_fini(aa_dense_message *d)
{
    free(d->owned);
    *d = (aa_dense_message){0};
}

/* ---- prediction ---- */

aa_status
aa_wire_pack_prediction(aa_bytes *out, const aa_prediction *p, aa_err *err)
{
    Autoassign__Prediction m = AUTOASSIGN__PREDICTION__INIT;
    m.seq = p->seq;
    m.index = p->index;
    m.prediction = p->prediction;
    m.label = p->label;
    aa_status st = wire_check_finite("prediction", &p->prediction, 1, err);
    if (st == AA_OK) st = wire_check_finite("label", &p->label, 1, err);
    if (st != AA_OK) return st;
    return wire_pack(out, &m.base, err);
}

aa_status
aa_wire_unpack_prediction(aa_prediction *p, const void *buf, size_t len, aa_err *err)
{
    wire_arena        ar;
    ProtobufCMessage *msg = NULL;
    aa_status         st =
        wire_unpack(&ar, &msg, "Prediction", &autoassign__prediction__descriptor, buf, len, err);
    if (st != AA_OK) goto out;
    const Autoassign__Prediction *m = (const void *)msg;
    st = wire_check_finite("prediction", &m->prediction, 1, err);
    if (st != AA_OK) goto out;
    st = wire_check_finite("label", &m->label, 1, err);
    if (st != AA_OK) goto out;
    *p = (aa_prediction){
        .seq = m->seq, .index = m->index, .prediction = m->prediction, .label = m->label};
out:
    wire_arena_fini(&ar);
    return st;
}
