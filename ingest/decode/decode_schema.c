#include "ingest/decode/decode_schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/formats/avro_plan.h"
#include "ingest/formats/protobuf_plan.h"
#include "ingest/formats/protobuf_wire.h"

typedef unsigned char byte;

/* A schema, and the plans of it. */
typedef struct {
    uint32_t         id;
    schema_kind      kind;
    avro_schema     *avro;                  /* owned; NULL: none */
    avro_plan       *avro_plan;             /* owned */
    protobuf_schema *protobuf;              /* owned */
    protobuf_plan   *plan[DECODE_MESSAGES]; /* (plan_count) owned, */
    uint32_t         type[DECODE_MESSAGES]; /* of these types of it */
    size_t           plan_count;
    char             unfit[120]; /* why it cannot be used; "": it can */
} known_schema;

struct decode_schemas {
    const aa_conf       *cfg;    /* borrowed */
    const path_tree     *pt;     /* borrowed */
    const schema_source *source; /* borrowed; NULL: none */
    avro_schema         *reader; /* owned; event.reader_schema; NULL: none */
    known_schema        *file;   /* owned; event.schema_file or event.descriptor; NULL: none */
    known_schema       **known;  /* (count of DECODE_SCHEMAS) owned, ascending by id */
    size_t               count;
    uint64_t             no_zero;
};

/* ---- files ---- */

static aa_status
read_file(const char *key, const char *path, char **bytes, size_t *len, aa_err *err)
{
    aa_status st = AA_OK;
    FILE     *file = fopen(path, "rb");
    if (!file) return aa_fail(err, AA_ECONFIG, "%s: %s: %s", key, path, strerror(errno));
    *bytes = malloc(DECODE_FILE_BYTES + 1);
    if (!*bytes) {
        st = aa_fail(err, AA_ENOMEM, "%s", key);
        goto out;
    }
    *len = fread(*bytes, 1, DECODE_FILE_BYTES + 1, file);
    if (ferror(file)) st = aa_fail(err, AA_ECONFIG, "%s: %s: %s", key, path, strerror(errno));
    if (st == AA_OK && *len > DECODE_FILE_BYTES)
        st = aa_fail(err, AA_ECONFIG, "%s: %s: longer than %d bytes", key, path, DECODE_FILE_BYTES);
out:
    fclose(file);
    return st;
}

static aa_status
fail_in_file(const char *key, const char *path, aa_status st, const aa_err *what, aa_err *err)
{
    return aa_fail(err, st == AA_EPARSE ? AA_ECONFIG : st, "%s: %s: %s", key, path, what->text);
}

static aa_status
load_avro(const char *key, const char *path, avro_schema **out, aa_err *err)
{
    char     *bytes = NULL;
    size_t    len = 0;
    aa_err    what = AA_ERR_INIT;
    aa_status st = read_file(key, path, &bytes, &len, err);
    if (st == AA_OK) {
        const avro_text text = {bytes, len};
        st = avro_schema_new(out, &text, 1, &what);
        if (st != AA_OK) st = fail_in_file(key, path, st, &what, err);
    }
    free(bytes);
    return st;
}

static aa_status
load_descriptor(const char *path, protobuf_schema **out, aa_err *err)
{
    char     *bytes = NULL;
    size_t    len = 0;
    aa_err    what = AA_ERR_INIT;
    aa_status st = read_file("event.descriptor", path, &bytes, &len, err);
    if (st == AA_OK) {
        st = protobuf_schema_of_set(out, bytes, len, &what);
        if (st != AA_OK) st = fail_in_file("event.descriptor", path, st, &what, err);
    }
    free(bytes);
    return st;
}

/* ---- schemas ---- */

static void
free_schema(known_schema **ks_p)
{
    known_schema *ks = *ks_p;
    if (!ks) return;
    avro_plan_free(&ks->avro_plan);
    avro_schema_free(&ks->avro);
    for (size_t i = 0; i < ks->plan_count; i++)
        protobuf_plan_free(&ks->plan[i]);
    protobuf_schema_free(&ks->protobuf);
    free(ks);
    *ks_p = NULL;
}

/* The plan for a message type. @return NULL: see err; AA_EPARSE is no memory's fault */
static protobuf_plan *
plan_of_type(decode_schemas *ds, known_schema *ks, uint32_t type, aa_err *err)
{
    for (size_t i = 0; i < ks->plan_count; i++)
        if (ks->type[i] == type) return ks->plan[i];
    if (ks->plan_count == DECODE_MESSAGES) {
        while (ks->plan_count > 0)
            protobuf_plan_free(&ks->plan[--ks->plan_count]);
    }
    protobuf_plan **pp = &ks->plan[ks->plan_count];
    *pp = NULL;
    if (protobuf_plan_new(pp, ks->protobuf, type, ds->pt, ds->no_zero, err) != AA_OK) return NULL;
    ks->type[ks->plan_count++] = type;
    return *pp;
}

/* The schema with its references, and the plan where there is only one. */
static aa_status
compile_avro(const decode_schemas *ds, known_schema *ks, const schema_texts *sx, aa_err *err)
{
    avro_text text[SCHEMA_TEXTS];
    for (size_t i = 0; i < sx->count; i++)
        text[i] = (avro_text){sx->text[i].bytes, sx->text[i].len};
    aa_status st = avro_schema_new(&ks->avro, text, sx->count, err);
    return st == AA_OK ? avro_plan_new(&ks->avro_plan, ks->avro, ds->reader, ds->pt, err) : st;
}

static aa_status
compile_protobuf(known_schema *ks, const schema_texts *sx, aa_err *err)
{
    protobuf_file file[SCHEMA_TEXTS];
    for (size_t i = 0; i < sx->count; i++)
        file[i] = (protobuf_file){sx->text[i].bytes, sx->text[i].len};
    return protobuf_schema_new(&ks->protobuf, file, sx->count, err);
}

/* One that cannot be used is kept too, with the reason. NULL: no memory. */
static known_schema *
compile_schema(const decode_schemas *ds, uint32_t id, const schema_texts *sx)
{
    aa_err        err = AA_ERR_INIT;
    aa_status     st = AA_OK;
    known_schema *ks = calloc(1, sizeof *ks);
    if (!ks) return NULL;
    ks->id = id;
    ks->kind = sx->kind;
    if (sx->kind == SCHEMA_AVRO) st = compile_avro(ds, ks, sx, &err);
    if (sx->kind == SCHEMA_PROTOBUF) st = compile_protobuf(ks, sx, &err);
    if (st != AA_OK) snprintf(ks->unfit, sizeof ks->unfit, "%.110s", err.text);
    if (st == AA_ENOMEM) free_schema(&ks);
    return ks;
}

static size_t
place_of_id(const decode_schemas *ds, uint32_t id)
{
    size_t low = 0, high = ds->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (ds->known[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
forget_schemas(decode_schemas *ds)
{
    while (ds->count > 0)
        free_schema(&ds->known[--ds->count]);
}

static void
keep_schema(decode_schemas *ds, known_schema *ks)
{
    if (ds->count == DECODE_SCHEMAS) forget_schemas(ds);
    const size_t at = place_of_id(ds, ks->id);
    memmove(&ds->known[at + 1], &ds->known[at], (ds->count - at) * sizeof(known_schema *));
    ds->known[at] = ks;
    ds->count++;
}

/* ---- open ---- */

static aa_status
load_files(decode_schemas *ds, aa_err *err)
{
    const struct aa_conf_event *ev = &ds->cfg->event;
    aa_status                   st = AA_OK;
    if (*ev->reader_schema)
        st = load_avro("event.reader_schema", ev->reader_schema, &ds->reader, err);
    if (st != AA_OK || (!*ev->schema_file && !*ev->descriptor)) return st;
    ds->file = calloc(1, sizeof *ds->file);
    if (!ds->file) return aa_fail(err, AA_ENOMEM, "schema");
    if (*ev->descriptor) {
        ds->file->kind = SCHEMA_PROTOBUF;
        st = load_descriptor(ev->descriptor, &ds->file->protobuf, err);
        if (st != AA_OK) return st;
        const uint32_t type = protobuf_schema_find(ds->file->protobuf, ev->message);
        if (type == PROTOBUF_NO_TYPE)
            return aa_fail(err, AA_ECONFIG, "event.message: %s has no message \"%.80s\"",
                           ev->descriptor, ev->message);
        return plan_of_type(ds, ds->file, type, err) ? AA_OK : AA_ENOMEM;
    }
    ds->file->kind = SCHEMA_AVRO;
    st = load_avro("event.schema_file", ev->schema_file, &ds->file->avro, err);
    if (st == AA_OK)
        st = avro_plan_new(&ds->file->avro_plan, ds->file->avro, ds->reader, ds->pt, err);
    return st;
}

aa_status
decode_schemas_new(decode_schemas **out, const aa_conf *cfg, const path_tree *pt, aa_err *err)
{
    decode_schemas *ds = calloc(1, sizeof *ds);
    if (!ds) return aa_fail(err, AA_ENOMEM, "schemas");
    ds->cfg = cfg;
    ds->pt = pt;
    ds->no_zero = (uint64_t)1 << (cfg->field_count + 1); /* the time */
    ds->known = calloc(DECODE_SCHEMAS, sizeof(known_schema *));
    aa_status st = ds->known ? load_files(ds, err) : aa_fail(err, AA_ENOMEM, "schemas");
    if (st != AA_OK) {
        decode_schemas_free(&ds);
        return st;
    }
    *out = ds;
    return AA_OK;
}

void
decode_schemas_free(decode_schemas **ds_p)
{
    decode_schemas *ds = *ds_p;
    if (!ds) return;
    forget_schemas(ds);
    free(ds->known);
    free_schema(&ds->file);
    avro_schema_free(&ds->reader);
    free(ds);
    *ds_p = NULL;
}

void
decode_schemas_source(decode_schemas *ds, const schema_source *source)
{
    ds->source = source;
}

/* ---- a message ---- */

static void set_why(decode_schema_result *out, decode_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void
set_why(decode_schema_result *out, decode_reason reason, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(out->why, sizeof out->why, fmt, ap);
    va_end(ap);
    out->reason = reason;
}

/* Frames have a registry; without one only if it is said, or (protobuf, JSON) by the byte 0, with
 * which none of their messages begins. */
static bool
is_framed(const decode_schemas *ds, const void *buf, size_t len)
{
    const struct aa_conf_event *ev = &ds->cfg->event;
    const bool                  zero = len > 0 && *(const byte *)buf == 0;
    switch (ev->framing) {
    case AA_FRAMING_PLAIN: return false;
    case AA_FRAMING_CONFLUENT: return true;
    case AA_FRAMING_AUTO: break;
    }
    if (ev->format == AA_EVENT_FORMAT_AVRO) return *ev->schema_registry != '\0';
    return zero && (*ev->schema_registry || *ev->descriptor);
}

bool
decode_schemas_claims(const decode_schemas *ds, const void *buf, size_t len)
{
    switch (ds->cfg->event.format) {
    case AA_EVENT_FORMAT_AVRO: return true;
    case AA_EVENT_FORMAT_JSON: return is_framed(ds, buf, len);
    case AA_EVENT_FORMAT_PROTOBUF: return ds->file || is_framed(ds, buf, len);
    case AA_EVENT_FORMAT_AUTO: break;
    }
    return is_framed(ds, buf, len) || (ds->file && len > 0 && *(const byte *)buf != '{');
}

static known_schema *
find_schema(decode_schemas *ds, uint32_t id, decode_schema_result *out)
{
    const size_t        at = place_of_id(ds, id);
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    if (at < ds->count && ds->known[at]->id == id) return ds->known[at];
    if (ds->file) return ds->file; /* whatever number a message has */
    if (!ds->source) {
        set_why(out, DECODE_SCHEMA_UNKNOWN, "schema %" PRIu32 ": event.schema_registry is not set",
                id);
        return NULL;
    }
    switch (ds->source->get(ds->source->arg, id, &sx, &err)) {
    case SCHEMA_FOUND: break;
    case SCHEMA_UNKNOWN:
        set_why(out, DECODE_SCHEMA_UNKNOWN, "schema %" PRIu32 ": the registry does not know it",
                id);
        return NULL;
    case SCHEMA_UNFIT:
        set_why(out, DECODE_SCHEMA_UNFIT, "schema %" PRIu32 ": %.90s", id, err.text);
        return NULL;
    case SCHEMA_LATER:
        out->id = id;
        set_why(out, DECODE_WAIT, "schema %" PRIu32 ": %.90s", id, err.text);
        return NULL;
    }
    known_schema *ks = compile_schema(ds, id, sx);
    if (ks)
        keep_schema(ds, ks);
    else
        set_why(out, DECODE_SCHEMA_UNFIT, "schema %" PRIu32 ": out of memory", id);
    return ks;
}

bool
decode_schemas_there(decode_schemas *ds, uint32_t id)
{
    const schema_texts *sx = NULL;
    aa_err              err = AA_ERR_INIT;
    return !ds->source || ds->source->get(ds->source->arg, id, &sx, &err) != SCHEMA_LATER;
}

/* Confluent's list: how many, then each, as zigzag numbers; 0 stands for the first message. */
static bool
take_indexes(protobuf_cursor *cu, uint32_t index[DECODE_INDEX_STEPS], size_t *count)
{
    uint64_t z, n;
    if (!protobuf_take_varint(cu, &n)) return false;
    n = n & 1 ? UINT64_MAX : n >> 1;
    index[0] = 0;
    *count = n > 0 ? (size_t)n : 1;
    if (n > DECODE_INDEX_STEPS) return false;
    for (size_t i = 0; i < n; i++) {
        if (!protobuf_take_varint(cu, &z) || z & 1 || z >> 1 > UINT16_MAX) return false;
        index[i] = (uint32_t)(z >> 1);
    }
    return true;
}

/* The plan for the message that the frame names; NULL: out says why. */
static protobuf_plan *
framed_plan(decode_schemas *ds, known_schema *ks, protobuf_cursor *cu, decode_schema_result *out)
{
    const char *wanted = ds->cfg->event.message;
    uint32_t    index[DECODE_INDEX_STEPS];
    size_t      count;
    aa_err      err = AA_ERR_INIT;
    if (!take_indexes(cu, index, &count)) {
        set_why(out, DECODE_MALFORMED, "a frame without the place of its message");
        return NULL;
    }
    if (ks == ds->file) return ks->plan[0];
    const uint32_t type = protobuf_schema_at(ks->protobuf, index, count);
    if (type == PROTOBUF_NO_TYPE) {
        set_why(out, DECODE_SCHEMA_UNFIT, "schema %" PRIu32 " has no message at that place",
                ks->id);
        return NULL;
    }
    if (*wanted && type != protobuf_schema_find(ks->protobuf, wanted)) {
        set_why(out, DECODE_SCHEMA_UNFIT, "a %.60s, not event.message",
                ks->protobuf->message[type].name);
        return NULL;
    }
    protobuf_plan *pp = plan_of_type(ds, ks, type, &err);
    if (!pp) set_why(out, DECODE_SCHEMA_UNFIT, "%.100s", err.text);
    return pp;
}

static void
read_protobuf(decode_schemas *ds, known_schema *ks, protobuf_cursor cu, bool framed, picked *value,
              decode_schema_result *out)
{
    protobuf_plan *pp = framed ? framed_plan(ds, ks, &cu, out) : ks->plan[0];
    if (!pp) return;
    const size_t len = (size_t)(cu.end - cu.at);
    const char  *wrong = protobuf_plan_read(pp, cu.at, len, value);
    if (wrong) set_why(out, DECODE_MALFORMED, "not protobuf (%zu bytes): %s", len, wrong);
}

static void
read_avro(const known_schema *ks, protobuf_cursor cu, picked *value, decode_schema_result *out)
{
    size_t      at;
    const char *wrong = avro_plan_read(ks->avro_plan, cu.at, (size_t)(cu.end - cu.at), value, &at);
    if (wrong) set_why(out, DECODE_MALFORMED, "not Avro of its schema, byte %zu: %s", at, wrong);
}

/* The number behind the byte 0. */
static bool
take_frame(protobuf_cursor *cu, uint32_t *id)
{
    if (cu->end - cu->at < DECODE_FRAME_BYTES || *cu->at != 0) return false;
    *id = (uint32_t)cu->at[1] << 24 | (uint32_t)cu->at[2] << 16 | (uint32_t)cu->at[3] << 8 |
          cu->at[4];
    cu->at += DECODE_FRAME_BYTES;
    return true;
}

void
decode_schemas_read(decode_schemas *ds, const void *buf, size_t len, picked *value,
                    decode_schema_result *out)
{
    protobuf_cursor cu = {buf, (const byte *)buf + len};
    const bool      framed = is_framed(ds, buf, len);
    uint32_t        id = 0;
    known_schema   *ks = ds->file;
    out->reason = DECODE_OK;
    out->json = NULL;
    if (framed && !take_frame(&cu, &id)) {
        set_why(out, DECODE_MALFORMED, "no frame of a schema registry (a byte 0 and a number)");
        return;
    }
    if (framed) ks = find_schema(ds, id, out);
    if (!ks) {
        if (out->reason == DECODE_OK) set_why(out, DECODE_SCHEMA_UNKNOWN, "no schema");
        return;
    }
    if (*ks->unfit) {
        set_why(out, DECODE_SCHEMA_UNFIT, "schema %" PRIu32 ": %.90s", ks->id, ks->unfit);
    } else if (ks->kind == SCHEMA_AVRO) {
        read_avro(ks, cu, value, out);
    } else if (ks->kind == SCHEMA_PROTOBUF) {
        read_protobuf(ds, ks, cu, framed, value, out);
    } else {
        out->json = cu.at;
        out->json_len = (size_t)(cu.end - cu.at);
    }
}
