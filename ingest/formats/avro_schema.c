#include "ingest/formats/avro_schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 512, DECIMAL_SCALE_MAX = 64 };

typedef struct {
    avro_schema *as;
    aa_err      *err;
    int          depth;
} schema_parser;

static const char *const primitives[] = {"null",  "boolean", "int",   "long",
                                         "float", "double",  "bytes", "string"};

static aa_status parse_type(schema_parser *ps, const json_t *js, const char *space, uint32_t *out);

static avro_type *
type_at(schema_parser *ps, uint32_t type)
{
    return &ps->as->type[type];
}

static aa_status
add_type(schema_parser *ps, avro_kind kind, uint32_t *out)
{
    avro_schema *as = ps->as;
    if (as->count == AVRO_SCHEMA_TYPES)
        return aa_fail(ps->err, AA_EPARSE, "more than %d types", AVRO_SCHEMA_TYPES);
    if ((as->count & (as->count - 1)) == 0) { /* 0 or a power of two: it is full */
        const size_t room = as->count > 0 ? as->count * 2 : 1;
        avro_type   *type = realloc(as->type, room * sizeof *type);
        if (!type) return aa_fail(ps->err, AA_ENOMEM, "Avro schema");
        as->type = type;
    }
    *out = (uint32_t)as->count;
    as->type[as->count++] = (avro_type){.kind = kind, .item = AVRO_NO_TYPE};
    return AA_OK;
}

/* ---- names ---- */

/* The name within its namespace; one with dots has its own. */
static aa_status
full_name(schema_parser *ps, const char *name, const char *space, char out[NAME_MAX_BYTES])
{
    const bool own = strchr(name, '.') != NULL || !*space;
    const int  n = snprintf(out, NAME_MAX_BYTES, "%s%s%s", own ? "" : space, own ? "" : ".", name);
    if (n <= 0 || n >= NAME_MAX_BYTES)
        return aa_fail(ps->err, AA_EPARSE, "a name is empty, or longer than %d bytes",
                       NAME_MAX_BYTES - 1);
    return AA_OK;
}

static uint32_t
find_named(const schema_parser *ps, const char *name)
{
    for (size_t i = 0; i < ps->as->count; i++)
        if (ps->as->type[i].name && strcmp(ps->as->type[i].name, name) == 0) return (uint32_t)i;
    return AVRO_NO_TYPE;
}

static int
primitive_of(const char *name)
{
    for (int i = 0; i < (int)(sizeof primitives / sizeof *primitives); i++)
        if (strcmp(name, primitives[i]) == 0) return i;
    return -1;
}

static aa_status
parse_reference(schema_parser *ps, const char *name, const char *space, uint32_t *out)
{
    char      full[NAME_MAX_BYTES];
    const int primitive = primitive_of(name);
    if (primitive >= 0) return add_type(ps, (avro_kind)primitive, out);
    aa_status st = full_name(ps, name, space, full);
    if (st != AA_OK) return st;
    *out = find_named(ps, full);
    if (*out == AVRO_NO_TYPE) *out = find_named(ps, name);
    if (*out != AVRO_NO_TYPE) return AA_OK;
    return aa_fail(ps->err, AA_EPARSE, "no type \"%.100s\"", full);
}

/* name and namespace of js, which defines the type; within: the namespace of what is in it */
static aa_status
name_type(schema_parser *ps, const json_t *js, const char *space, uint32_t type,
          char within[NAME_MAX_BYTES])
{
    const char *name = json_string_value(json_object_get(js, "name"));
    const char *own = json_string_value(json_object_get(js, "namespace"));
    if (!name) return aa_fail(ps->err, AA_EPARSE, "a named type without a name");
    aa_status st = full_name(ps, name, own ? own : space, within);
    if (st != AA_OK) return st;
    if (find_named(ps, within) != AVRO_NO_TYPE)
        return aa_fail(ps->err, AA_EPARSE, "\"%.100s\" is defined twice", within);
    char *copy = malloc(strlen(within) + 1);
    if (!copy) return aa_fail(ps->err, AA_ENOMEM, "Avro schema");
    memcpy(copy, within, strlen(within) + 1);
    type_at(ps, type)->name = copy;
    char *dot = strrchr(within, '.');
    *(dot ? dot : within) = '\0';
    return AA_OK;
}

/* ---- what has parts ---- */

static aa_status
reserve_parts(schema_parser *ps, uint32_t type, size_t count)
{
    avro_type *ty = type_at(ps, type);
    ty->part = calloc(count + 1, sizeof *ty->part);
    if (!ty->part) return aa_fail(ps->err, AA_ENOMEM, "Avro schema");
    ty->count = count;
    for (size_t i = 0; i < count; i++)
        ty->part[i].type = AVRO_NO_TYPE;
    return AA_OK;
}

static aa_status
parse_field(schema_parser *ps, const json_t *js, const char *space, uint32_t record, size_t i)
{
    const json_t *aliases = json_object_get(js, "aliases");
    avro_part     part = {.name = json_string_value(json_object_get(js, "name")),
                          .aliases = json_is_array(aliases) ? aliases : NULL,
                          .fallback = json_object_get(js, "default")};
    if (!part.name) return aa_fail(ps->err, AA_EPARSE, "a field without a name");
    aa_status st = parse_type(ps, json_object_get(js, "type"), space, &part.type);
    if (st != AA_OK) return st;
    type_at(ps, record)->part[i] = part;
    return AA_OK;
}

static aa_status
parse_record(schema_parser *ps, const json_t *js, const char *space, uint32_t *out)
{
    char          within[NAME_MAX_BYTES];
    const json_t *fields = json_object_get(js, "fields");
    if (!json_is_array(fields)) return aa_fail(ps->err, AA_EPARSE, "a record without fields");
    aa_status st = add_type(ps, AVRO_RECORD, out);
    if (st == AA_OK) st = name_type(ps, js, space, *out, within);
    if (st == AA_OK) st = reserve_parts(ps, *out, json_array_size(fields));
    for (size_t i = 0; st == AA_OK && i < json_array_size(fields); i++)
        st = parse_field(ps, json_array_get(fields, i), within, *out, i);
    return st;
}

static aa_status
parse_enum(schema_parser *ps, const json_t *js, const char *space, uint32_t *out)
{
    char          within[NAME_MAX_BYTES];
    const json_t *symbols = json_object_get(js, "symbols");
    if (!json_is_array(symbols)) return aa_fail(ps->err, AA_EPARSE, "an enum without symbols");
    aa_status st = add_type(ps, AVRO_ENUM, out);
    if (st == AA_OK) st = name_type(ps, js, space, *out, within);
    if (st == AA_OK) st = reserve_parts(ps, *out, json_array_size(symbols));
    for (size_t i = 0; st == AA_OK && i < json_array_size(symbols); i++) {
        const char *name = json_string_value(json_array_get(symbols, i));
        if (!name) st = aa_fail(ps->err, AA_EPARSE, "a symbol that is no text");
        type_at(ps, *out)->part[i].name = name;
    }
    return st;
}

static aa_status
parse_union(schema_parser *ps, const json_t *js, const char *space, uint32_t *out)
{
    aa_status st = add_type(ps, AVRO_UNION, out);
    if (st == AA_OK) st = reserve_parts(ps, *out, json_array_size(js));
    for (size_t i = 0; st == AA_OK && i < json_array_size(js); i++) {
        uint32_t type = AVRO_NO_TYPE;
        st = parse_type(ps, json_array_get(js, i), space, &type);
        if (st == AA_OK && ps->as->type[type].kind == AVRO_UNION)
            st = aa_fail(ps->err, AA_EPARSE, "a union within a union");
        if (st == AA_OK) type_at(ps, *out)->part[i].type = type;
    }
    return st;
}

static aa_status
parse_fixed(schema_parser *ps, const json_t *js, const char *space, uint32_t *out)
{
    char             within[NAME_MAX_BYTES];
    const json_int_t size = json_integer_value(json_object_get(js, "size"));
    if (!json_is_integer(json_object_get(js, "size")) || size < 0 || size > INT32_MAX)
        return aa_fail(ps->err, AA_EPARSE, "a fixed without a size");
    aa_status st = add_type(ps, AVRO_FIXED, out);
    if (st == AA_OK) st = name_type(ps, js, space, *out, within);
    if (st == AA_OK) type_at(ps, *out)->size = (size_t)size;
    return st;
}

static aa_status
parse_items(schema_parser *ps, const json_t *js, const char *space, avro_kind kind, uint32_t *out)
{
    uint32_t  item = AVRO_NO_TYPE;
    aa_status st = add_type(ps, kind, out);
    if (st == AA_OK)
        st = parse_type(ps, json_object_get(js, kind == AVRO_MAP ? "values" : "items"), space,
                        &item);
    if (st == AA_OK) type_at(ps, *out)->item = item;
    return st;
}

/* ---- logical types: those that are unknown, or do not fit, are passed over, as Avro wants it ---- */

static bool
is_of(const avro_type *ty, avro_kind a, avro_kind b)
{
    return ty->kind == a || ty->kind == b;
}

static void
set_logical(avro_type *ty, const json_t *js)
{
    static const struct {
        const char *name;
        avro_kind   kind;
        int64_t     unit_ns;
    } times[] = {
        {"date", AVRO_INT, INT64_C(86400000000000)},    {"timestamp-millis", AVRO_LONG, 1000000},
        {"timestamp-micros", AVRO_LONG, 1000},          {"timestamp-nanos", AVRO_LONG, 1},
        {"local-timestamp-millis", AVRO_LONG, 1000000}, {"local-timestamp-micros", AVRO_LONG, 1000},
        {"local-timestamp-nanos", AVRO_LONG, 1},
    };
    const char *logical = json_string_value(json_object_get(js, "logicalType"));
    if (!logical) return;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (strcmp(logical, times[i].name) != 0 || ty->kind != times[i].kind) continue;
        ty->logical = AVRO_TIME;
        ty->unit_ns = times[i].unit_ns;
    }
    const json_int_t scale = json_integer_value(json_object_get(js, "scale"));
    if (strcmp(logical, "decimal") == 0 && is_of(ty, AVRO_BYTES, AVRO_FIXED) && scale >= 0 &&
        scale <= DECIMAL_SCALE_MAX) {
        ty->logical = AVRO_DECIMAL;
        ty->scale = (int)scale;
    }
    if (strcmp(logical, "uuid") == 0 && ty->kind == AVRO_FIXED && ty->size == 16)
        ty->logical = AVRO_UUID;
}

/* ---- any type ---- */

static aa_status
parse_object(schema_parser *ps, const json_t *js, const char *space, uint32_t *out)
{
    const json_t *type = json_object_get(js, "type");
    const char   *name = json_string_value(type);
    if (!name) return parse_type(ps, type, space, out);
    if (strcmp(name, "record") == 0 || strcmp(name, "error") == 0)
        return parse_record(ps, js, space, out);
    if (strcmp(name, "enum") == 0) return parse_enum(ps, js, space, out);
    if (strcmp(name, "array") == 0) return parse_items(ps, js, space, AVRO_ARRAY, out);
    if (strcmp(name, "map") == 0) return parse_items(ps, js, space, AVRO_MAP, out);
    const bool fixed = strcmp(name, "fixed") == 0;
    aa_status  st = fixed ? parse_fixed(ps, js, space, out) : parse_reference(ps, name, space, out);
    if (st == AA_OK && (fixed || primitive_of(name) >= 0)) set_logical(type_at(ps, *out), js);
    return st;
}

/* Recursive as deep as AVRO_SCHEMA_DEPTH. */
static aa_status
parse_type(schema_parser *ps, const json_t *js, const char *space, uint32_t *out)
{
    aa_status st;
    if (ps->depth == AVRO_SCHEMA_DEPTH)
        return aa_fail(ps->err, AA_EPARSE, "types nested deeper than %d", AVRO_SCHEMA_DEPTH);
    ps->depth++;
    if (json_is_string(js))
        st = parse_reference(ps, json_string_value(js), space, out);
    else if (json_is_array(js))
        st = parse_union(ps, js, space, out);
    else if (json_is_object(js))
        st = parse_object(ps, js, space, out);
    else
        st = aa_fail(ps->err, AA_EPARSE, "a type is missing");
    ps->depth--;
    return st;
}

/* ---- which types have no bytes ---- */

enum { NOT_LOOKED_AT, BEING_LOOKED_AT, LOOKED_AT };

/* A record is looked at once; one that is met while it is being looked at holds itself without end.
 * Recursive as deep as records are in records: AVRO_SCHEMA_TYPES. */
static aa_status
look_for_bytes(schema_parser *ps, uint32_t type, unsigned char *look)
{
    avro_type *ty = type_at(ps, type);
    if (look[type] == LOOKED_AT) return AA_OK;
    if (look[type] == BEING_LOOKED_AT)
        return aa_fail(ps->err, AA_EPARSE, "\"%.100s\" holds itself", ty->name);
    look[type] = BEING_LOOKED_AT;
    ty->empty = ty->kind == AVRO_NULL || (ty->kind == AVRO_FIXED && ty->size == 0);
    if (ty->kind == AVRO_RECORD) {
        ty->empty = true;
        for (size_t i = 0; i < ty->count; i++) {
            aa_status st = look_for_bytes(ps, ty->part[i].type, look);
            if (st != AA_OK) return st;
            ty->empty = ty->empty && ps->as->type[ty->part[i].type].empty;
        }
    }
    look[type] = LOOKED_AT;
    return AA_OK;
}

static aa_status
look_at_all(schema_parser *ps)
{
    aa_status      st = AA_OK;
    unsigned char *look = calloc(ps->as->count + 1, 1);
    if (!look) return aa_fail(ps->err, AA_ENOMEM, "Avro schema");
    for (size_t i = 0; st == AA_OK && i < ps->as->count; i++)
        st = look_for_bytes(ps, (uint32_t)i, look);
    free(look);
    return st;
}

static aa_status
parse_text(schema_parser *ps, const avro_text *text)
{
    json_error_t je;
    if (text->len > AVRO_SCHEMA_BYTES)
        return aa_fail(ps->err, AA_EPARSE, "longer than %d bytes", AVRO_SCHEMA_BYTES);
    json_t *js = json_loadb(text->text, text->len, JSON_DECODE_ANY, &je);
    if (!js) return aa_fail(ps->err, AA_EPARSE, "not JSON: line %d: %.80s", je.line, je.text);
    ps->as->text[ps->as->text_count++] = js;
    return parse_type(ps, js, "", &ps->as->root);
}

aa_status
avro_schema_new(avro_schema **out, const avro_text *texts, size_t count, aa_err *err)
{
    avro_schema  *as = calloc(1, sizeof *as);
    schema_parser ps = {.as = as, .err = err};
    if (!as) return aa_fail(err, AA_ENOMEM, "Avro schema");
    as->text = calloc(count + 1, sizeof(json_t *));
    aa_status st = as->text ? AA_OK : aa_fail(err, AA_ENOMEM, "Avro schema");
    for (size_t i = 0; st == AA_OK && i < count; i++)
        st = parse_text(&ps, &texts[i]);
    if (st == AA_OK) st = look_at_all(&ps);
    if (st != AA_OK) {
        avro_schema_free(&as);
        return st;
    }
    *out = as;
    return AA_OK;
}

void
avro_schema_free(avro_schema **as_p)
{
    avro_schema *as = *as_p;
    if (!as) return;
    for (size_t i = 0; i < as->count; i++) {
        free(as->type[i].name);
        free(as->type[i].part);
    }
    for (size_t i = 0; i < as->text_count; i++)
        json_decref(as->text[i]);
    free(as->type);
    free(as->text);
    free(as);
    *as_p = NULL;
}
