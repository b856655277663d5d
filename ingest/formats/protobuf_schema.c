/* Members are read by their numbers in google/protobuf/descriptor.proto. */
#include "ingest/formats/protobuf_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/formats/protobuf_wire.h"

enum { NAME_MAX_BYTES = 512, FILES_MAX = 1024 };
enum { SYNTAX_PROTO2, SYNTAX_PROTO3, SYNTAX_EDITIONS };

typedef struct {
    protobuf_schema *ps;
    aa_err          *err;
    int              syntax;   /* of the file */
    bool             implicit; /* editions: what the file says of presence */
    int              depth;
} file_reader;

/* ---- members ---- */

static aa_status
fail_file(file_reader *fr)
{
    return aa_fail(fr->err, AA_EPARSE, "not a protobuf descriptor");
}

static protobuf_name
name_of(const protobuf_part *pa)
{
    return (protobuf_name){(const char *)pa->bytes, pa->len};
}

static bool
is_member(const protobuf_part *pa, uint32_t number, uint32_t wire)
{
    return pa->number == number && pa->wire == wire;
}

typedef aa_status (*part_handler)(file_reader *fr, const protobuf_part *pa, void *arg);

static aa_status
each_part(file_reader *fr, const void *bytes, size_t len, part_handler handle, void *arg)
{
    protobuf_cursor cu = {bytes, (const unsigned char *)bytes + len};
    aa_status       st = AA_OK;
    while (st == AA_OK && cu.at < cu.end) {
        protobuf_part pa;
        if (!protobuf_take_part(&cu, &pa)) return fail_file(fr);
        st = handle(fr, &pa, arg);
    }
    return st;
}

/* ---- types ---- */

static aa_status
add_message(file_reader *fr, const char *scope, protobuf_name name, uint32_t *out)
{
    protobuf_schema *ps = fr->ps;
    char             full[NAME_MAX_BYTES];
    const int        n =
        snprintf(full, sizeof full, "%s%s%.*s", scope, *scope ? "." : "", (int)name.len, name.text);
    if (name.len > NAME_MAX_BYTES || n <= 0 || n >= NAME_MAX_BYTES ||
        memchr(name.text, '\0', name.len))
        return fail_file(fr);
    if (ps->count == PROTOBUF_SCHEMA_TYPES)
        return aa_fail(fr->err, AA_EPARSE, "more than %d types", PROTOBUF_SCHEMA_TYPES);
    if ((ps->count & (ps->count - 1)) == 0) {
        const size_t      room = ps->count > 0 ? ps->count * 2 : 1;
        protobuf_message *message = realloc(ps->message, room * sizeof *message);
        if (!message) return aa_fail(fr->err, AA_ENOMEM, "protobuf schema");
        ps->message = message;
    }
    char *copy = malloc((size_t)n + 1);
    if (!copy) return aa_fail(fr->err, AA_ENOMEM, "protobuf schema");
    memcpy(copy, full, (size_t)n + 1);
    *out = (uint32_t)ps->count;
    ps->message[ps->count++] = (protobuf_message){.name = copy};
    return AA_OK;
}

static aa_status
add_field(file_reader *fr, uint32_t message, const protobuf_field *field)
{
    protobuf_message *pm = &fr->ps->message[message];
    if ((pm->count & (pm->count - 1)) == 0) {
        const size_t    room = pm->count > 0 ? pm->count * 2 : 1;
        protobuf_field *grown = realloc(pm->field, room * sizeof *grown);
        if (!grown) return aa_fail(fr->err, AA_ENOMEM, "protobuf schema");
        pm->field = grown;
    }
    pm->field[pm->count++] = *field;
    return AA_OK;
}

static aa_status
add_index(file_reader *fr, uint32_t **list, size_t *count, uint32_t value)
{
    uint32_t *grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown) return aa_fail(fr->err, AA_ENOMEM, "protobuf schema");
    *list = grown;
    grown[(*count)++] = value;
    return AA_OK;
}

/* ---- fields ---- */

enum { PRESENCE_EXPLICIT = 1, PRESENCE_IMPLICIT, PRESENCE_REQUIRED };

static aa_status
take_feature(file_reader *fr, const protobuf_part *pa, void *arg)
{
    (void)fr;
    if (is_member(pa, 1, PROTOBUF_VARINT)) *(uint64_t *)arg = pa->value;
    return AA_OK;
}

/* FileOptions.features is 50, FieldOptions.features 21. *arg: FeatureSet.field_presence */
static aa_status
take_options(file_reader *fr, const protobuf_part *pa, void *arg)
{
    if (!is_member(pa, 50, PROTOBUF_BYTES) && !is_member(pa, 21, PROTOBUF_BYTES)) return AA_OK;
    return each_part(fr, pa->bytes, pa->len, take_feature, arg);
}

typedef struct {
    protobuf_field field;
    uint64_t       presence;
    bool           optional; /* proto3's word */
} field_reader;

static aa_status
take_field_part(file_reader *fr, const protobuf_part *pa, void *arg)
{
    field_reader   *re = arg;
    protobuf_field *pf = &re->field;
    if (is_member(pa, 1, PROTOBUF_BYTES)) pf->name = name_of(pa);
    if (is_member(pa, 3, PROTOBUF_VARINT)) pf->number = (uint32_t)pa->value;
    if (is_member(pa, 4, PROTOBUF_VARINT)) pf->repeated = pa->value == 3;
    if (is_member(pa, 5, PROTOBUF_VARINT)) pf->type = (uint32_t)pa->value;
    if (is_member(pa, 6, PROTOBUF_BYTES)) pf->type_name = name_of(pa);
    if (is_member(pa, 7, PROTOBUF_BYTES)) pf->fallback = name_of(pa);
    if (is_member(pa, 9, PROTOBUF_VARINT)) pf->oneof = (int)(pa->value & INT32_MAX);
    if (is_member(pa, 17, PROTOBUF_VARINT)) re->optional = pa->value != 0;
    if (is_member(pa, 8, PROTOBUF_BYTES))
        return each_part(fr, pa->bytes, pa->len, take_options, &re->presence);
    return AA_OK;
}

static aa_status
take_field(file_reader *fr, const protobuf_part *pa, uint32_t message)
{
    field_reader    re = {.field = {.oneof = -1, .of = PROTOBUF_NO_TYPE}};
    protobuf_field *pf = &re.field;
    aa_status       st = each_part(fr, pa->bytes, pa->len, take_field_part, &re);
    if (st != AA_OK) return st;
    if (pf->number == 0 || pf->name.len == 0) return fail_file(fr);
    if (re.optional) pf->oneof = -1; /* the oneof of one member that stands for the word */
    const bool single = !pf->repeated && !re.optional && pf->oneof < 0;
    const bool unsaid = re.presence == 0;
    pf->implicit = single && (fr->syntax == SYNTAX_PROTO3 ||
                              (fr->syntax == SYNTAX_EDITIONS &&
                               (unsaid ? fr->implicit : re.presence == PRESENCE_IMPLICIT)));
    return add_field(fr, message, pf);
}

/* ---- messages and enums ---- */

static aa_status take_message(file_reader *fr, const protobuf_part *pa, const char *scope,
                              uint32_t *out);

static aa_status
take_name(file_reader *fr, const protobuf_part *pa, void *arg)
{
    (void)fr;
    if (is_member(pa, 1, PROTOBUF_BYTES)) *(protobuf_name *)arg = name_of(pa);
    return AA_OK;
}

static aa_status
take_enum_value_part(file_reader *fr, const protobuf_part *pa, void *arg)
{
    protobuf_field *pf = arg;
    (void)fr;
    if (is_member(pa, 1, PROTOBUF_BYTES)) pf->name = name_of(pa);
    if (is_member(pa, 2, PROTOBUF_VARINT)) pf->number = (uint32_t)pa->value;
    return AA_OK;
}

static aa_status
take_enum_part(file_reader *fr, const protobuf_part *pa, void *arg)
{
    protobuf_field pf = {.oneof = -1, .of = PROTOBUF_NO_TYPE};
    if (!is_member(pa, 2, PROTOBUF_BYTES)) return AA_OK;
    aa_status st = each_part(fr, pa->bytes, pa->len, take_enum_value_part, &pf);
    return st == AA_OK ? add_field(fr, *(const uint32_t *)arg, &pf) : st;
}

static aa_status
take_enum(file_reader *fr, const protobuf_part *pa, const char *scope)
{
    protobuf_name name = {"", 0};
    uint32_t      type = 0;
    aa_status     st = each_part(fr, pa->bytes, pa->len, take_name, &name);
    if (st == AA_OK) st = add_message(fr, scope, name, &type);
    if (st != AA_OK) return st;
    fr->ps->message[type].is_enum = true;
    return each_part(fr, pa->bytes, pa->len, take_enum_part, &type);
}

static aa_status
take_map_entry(file_reader *fr, const protobuf_part *pa, void *arg)
{
    (void)fr;
    if (is_member(pa, 7, PROTOBUF_VARINT)) *(bool *)arg = pa->value != 0;
    return AA_OK;
}

typedef struct {
    char     scope[NAME_MAX_BYTES]; /* of what is in it */
    uint32_t type;
} message_reader;

static aa_status
take_message_part(file_reader *fr, const protobuf_part *pa, void *arg)
{
    message_reader *mr = arg;
    bool            entry = false;
    uint32_t        nested = 0;
    if (is_member(pa, 2, PROTOBUF_BYTES)) return take_field(fr, pa, mr->type);
    if (is_member(pa, 4, PROTOBUF_BYTES)) return take_enum(fr, pa, mr->scope);
    if (is_member(pa, 7, PROTOBUF_BYTES)) {
        aa_status st = each_part(fr, pa->bytes, pa->len, take_map_entry, &entry);
        fr->ps->message[mr->type].is_map_entry = entry;
        return st;
    }
    if (!is_member(pa, 3, PROTOBUF_BYTES)) return AA_OK;
    aa_status st = take_message(fr, pa, mr->scope, &nested);
    if (st != AA_OK) return st;
    protobuf_message *pm = &fr->ps->message[mr->type];
    return add_index(fr, &pm->nested, &pm->nested_count, nested);
}

/* Recursive as deep as PROTOBUF_SCHEMA_DEPTH. */
static aa_status
take_message(file_reader *fr, const protobuf_part *pa, const char *scope, uint32_t *out)
{
    protobuf_name  name = {"", 0};
    message_reader mr = {.type = 0};
    if (fr->depth == PROTOBUF_SCHEMA_DEPTH)
        return aa_fail(fr->err, AA_EPARSE, "messages nested deeper than %d", PROTOBUF_SCHEMA_DEPTH);
    aa_status st = each_part(fr, pa->bytes, pa->len, take_name, &name);
    if (st == AA_OK) st = add_message(fr, scope, name, &mr.type);
    if (st != AA_OK) return st;
    *out = mr.type;
    snprintf(mr.scope, sizeof mr.scope, "%s", fr->ps->message[mr.type].name);
    fr->depth++;
    st = each_part(fr, pa->bytes, pa->len, take_message_part, &mr);
    fr->depth--;
    return st;
}

/* ---- files ---- */

typedef struct {
    char     package[NAME_MAX_BYTES];
    uint64_t presence;
} file_head;

static aa_status
take_file_head(file_reader *fr, const protobuf_part *pa, void *arg)
{
    file_head *fh = arg;
    if (is_member(pa, 2, PROTOBUF_BYTES)) {
        if (pa->len >= sizeof fh->package || memchr(pa->bytes, '\0', pa->len)) return fail_file(fr);
        memcpy(fh->package, pa->bytes, pa->len);
        fh->package[pa->len] = '\0';
    }
    if (is_member(pa, 12, PROTOBUF_BYTES)) {
        if (pa->len == 6 && memcmp(pa->bytes, "proto3", 6) == 0) fr->syntax = SYNTAX_PROTO3;
        if (pa->len == 8 && memcmp(pa->bytes, "editions", 8) == 0) fr->syntax = SYNTAX_EDITIONS;
    }
    if (is_member(pa, 8, PROTOBUF_BYTES))
        return each_part(fr, pa->bytes, pa->len, take_options, &fh->presence);
    return AA_OK;
}

static aa_status
take_file_part(file_reader *fr, const protobuf_part *pa, void *arg)
{
    const file_head *fh = arg;
    uint32_t         type = 0;
    if (is_member(pa, 5, PROTOBUF_BYTES)) return take_enum(fr, pa, fh->package);
    if (!is_member(pa, 4, PROTOBUF_BYTES)) return AA_OK;
    aa_status st = take_message(fr, pa, fh->package, &type);
    return st == AA_OK ? add_index(fr, &fr->ps->top, &fr->ps->top_count, type) : st;
}

static aa_status
take_file(file_reader *fr, const void *bytes, size_t len)
{
    file_head fh = {.presence = 0};
    fr->syntax = SYNTAX_PROTO2;
    fr->ps->top_count = 0;
    aa_status st = each_part(fr, bytes, len, take_file_head, &fh);
    fr->implicit = fh.presence == PRESENCE_IMPLICIT;
    return st == AA_OK ? each_part(fr, bytes, len, take_file_part, &fh) : st;
}

/* ---- types of other files, and of google.protobuf ---- */

static uint32_t
find_full(const protobuf_schema *ps, const char *name, size_t len)
{
    for (size_t i = 0; i < ps->count; i++)
        if (strlen(ps->message[i].name) == len && memcmp(ps->message[i].name, name, len) == 0)
            return (uint32_t)i;
    return PROTOBUF_NO_TYPE;
}

/* A name without a dot before it is looked for in the message's scope, then further out. */
static uint32_t
resolve_name(const protobuf_schema *ps, const char *scope, protobuf_name name)
{
    char   full[2 * NAME_MAX_BYTES];
    size_t scope_len = strlen(scope);
    if (name.len > 0 && name.text[0] == '.') return find_full(ps, name.text + 1, name.len - 1);
    for (;;) {
        const int      n = snprintf(full, sizeof full, "%.*s%s%.*s", (int)scope_len, scope,
                               scope_len > 0 ? "." : "", (int)name.len, name.text);
        const uint32_t type =
            n > 0 && (size_t)n < sizeof full ? find_full(ps, full, (size_t)n) : PROTOBUF_NO_TYPE;
        if (type != PROTOBUF_NO_TYPE || scope_len == 0) return type;
        while (scope_len > 0 && scope[scope_len - 1] != '.')
            scope_len--;
        if (scope_len > 0) scope_len--;
    }
}

static aa_status
add_well_known(file_reader *fr)
{
    static const struct {
        const char *message, *field;
        uint32_t    number, type;
    } known[] = {
        {"Timestamp", "seconds", 1, PROTOBUF_INT64},
        {"Timestamp", "nanos", 2, PROTOBUF_INT32},
        {"DoubleValue", "value", 1, PROTOBUF_DOUBLE},
        {"FloatValue", "value", 1, PROTOBUF_FLOAT},
        {"Int64Value", "value", 1, PROTOBUF_INT64},
        {"UInt64Value", "value", 1, PROTOBUF_UINT64},
        {"Int32Value", "value", 1, PROTOBUF_INT32},
        {"UInt32Value", "value", 1, PROTOBUF_UINT32},
        {"BoolValue", "value", 1, PROTOBUF_BOOL},
        {"StringValue", "value", 1, PROTOBUF_STRING},
        {"BytesValue", "value", 1, PROTOBUF_TYPE_BYTES},
    };
    static const char package[] = "google.protobuf";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const protobuf_name name = {known[i].message, strlen(known[i].message)};
        protobuf_field      pf = {.name = {known[i].field, strlen(known[i].field)},
                                  .number = known[i].number,
                                  .type = known[i].type,
                                  .of = PROTOBUF_NO_TYPE,
                                  .oneof = -1,
                                  .implicit = true};
        char                full[64];
        const int           n = snprintf(full, sizeof full, "%s.%s", package, known[i].message);
        uint32_t            type = find_full(fr->ps, full, (size_t)n);
        aa_status           st = AA_OK;
        if (type == PROTOBUF_NO_TYPE) st = add_message(fr, package, name, &type);
        if (st != AA_OK || !fr->ps->message) return st;
        protobuf_message *pm = &fr->ps->message[type];
        pm->is_timestamp = i < 2;
        pm->is_wrapper = i >= 2;
        if (protobuf_schema_field(pm, pf.name.text, pf.name.len)) continue;
        st = add_field(fr, type, &pf);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

static void
resolve_fields(protobuf_schema *ps)
{
    for (size_t i = 0; i < ps->count; i++)
        for (size_t k = 0; k < ps->message[i].count; k++) {
            protobuf_field *pf = &ps->message[i].field[k];
            if (pf->type_name.len == 0 || pf->type_name.len > NAME_MAX_BYTES) continue;
            pf->of = resolve_name(ps, ps->message[i].name, pf->type_name);
            if (pf->type == 0 && pf->of != PROTOBUF_NO_TYPE)
                pf->type = ps->message[pf->of].is_enum ? PROTOBUF_ENUM : PROTOBUF_MESSAGE;
            if (pf->type == PROTOBUF_MESSAGE || pf->type == PROTOBUF_TYPE_GROUP)
                pf->implicit = false;
            if (pf->of != PROTOBUF_NO_TYPE &&
                ps->message[pf->of].is_enum != (pf->type == PROTOBUF_ENUM))
                pf->of = PROTOBUF_NO_TYPE;
        }
}

/* The files one after the other in a block that stays. */
static aa_status
keep_files(file_reader *fr, const protobuf_file *files, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (files[i].len > PROTOBUF_SCHEMA_BYTES - total)
            return aa_fail(fr->err, AA_EPARSE, "more than %d bytes", PROTOBUF_SCHEMA_BYTES);
        total += files[i].len;
    }
    fr->ps->bytes = malloc(total + 1);
    if (!fr->ps->bytes) return aa_fail(fr->err, AA_ENOMEM, "protobuf schema");
    aa_status      st = AA_OK;
    unsigned char *to = fr->ps->bytes;
    for (size_t i = 0; st == AA_OK && i < count; i++) {
        if (files[i].len > 0) memcpy(to, files[i].bytes, files[i].len);
        st = take_file(fr, to, files[i].len);
        to += files[i].len;
    }
    return st;
}

aa_status
protobuf_schema_new(protobuf_schema **out, const protobuf_file *files, size_t count, aa_err *err)
{
    protobuf_schema *ps = calloc(1, sizeof *ps);
    file_reader      fr = {.ps = ps, .err = err};
    if (!ps) return aa_fail(err, AA_ENOMEM, "protobuf schema");
    aa_status st = keep_files(&fr, files, count);
    if (st == AA_OK) st = add_well_known(&fr);
    if (st != AA_OK) {
        protobuf_schema_free(&ps);
        return st;
    }
    resolve_fields(ps);
    *out = ps;
    return AA_OK;
}

aa_status
protobuf_schema_of_set(protobuf_schema **out, const void *bytes, size_t len, aa_err *err)
{
    protobuf_cursor cu = {bytes, (const unsigned char *)bytes + len};
    size_t          count = 0;
    protobuf_file  *files = calloc(FILES_MAX, sizeof *files);
    if (!files) return aa_fail(err, AA_ENOMEM, "protobuf schema");
    aa_status st = AA_OK;
    while (st == AA_OK && cu.at < cu.end) {
        protobuf_part pa;
        if (!protobuf_take_part(&cu, &pa) || !is_member(&pa, 1, PROTOBUF_BYTES))
            st = aa_fail(err, AA_EPARSE, "not a descriptor set (protoc --descriptor_set_out)");
        else if (count == FILES_MAX)
            st = aa_fail(err, AA_EPARSE, "more than %d files", FILES_MAX);
        else
            files[count++] = (protobuf_file){pa.bytes, pa.len};
    }
    if (st == AA_OK && count == 0) st = aa_fail(err, AA_EPARSE, "a descriptor set without a file");
    if (st == AA_OK) st = protobuf_schema_new(out, files, count, err);
    free(files);
    return st;
}

void
protobuf_schema_free(protobuf_schema **ps_p)
{
    protobuf_schema *ps = *ps_p;
    if (!ps) return;
    for (size_t i = 0; i < ps->count; i++) {
        free(ps->message[i].name);
        free(ps->message[i].field);
        free(ps->message[i].nested);
    }
    free(ps->message);
    free(ps->top);
    free(ps->bytes);
    free(ps);
    *ps_p = NULL;
}

/* ---- looking up ---- */

uint32_t
protobuf_schema_find(const protobuf_schema *ps, const char *name)
{
    const size_t   len = strlen(name);
    const uint32_t full = find_full(ps, name, len);
    uint32_t       found = PROTOBUF_NO_TYPE;
    if (full != PROTOBUF_NO_TYPE) return ps->message[full].is_enum ? PROTOBUF_NO_TYPE : full;
    for (size_t i = 0; i < ps->count; i++) {
        const char *dot = strrchr(ps->message[i].name, '.');
        if (ps->message[i].is_enum || !dot || strcmp(dot + 1, name) != 0) continue;
        if (found != PROTOBUF_NO_TYPE) return PROTOBUF_NO_TYPE;
        found = (uint32_t)i;
    }
    return found;
}

uint32_t
protobuf_schema_at(const protobuf_schema *ps, const uint32_t *index, size_t count)
{
    if (count == 0 || index[0] >= ps->top_count) return PROTOBUF_NO_TYPE;
    uint32_t type = ps->top[index[0]];
    for (size_t i = 1; i < count; i++) {
        const protobuf_message *pm = &ps->message[type];
        if (index[i] >= pm->nested_count) return PROTOBUF_NO_TYPE;
        type = pm->nested[index[i]];
    }
    return type;
}

const protobuf_field *
protobuf_schema_field(const protobuf_message *pm, const char *name, size_t len)
{
    for (size_t i = 0; i < pm->count; i++)
        if (pm->field[i].name.len == len && memcmp(pm->field[i].name.text, name, len) == 0)
            return &pm->field[i];
    return NULL;
}
