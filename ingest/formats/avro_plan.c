#include "ingest/formats/avro_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned char byte;

#define PASS_OVER UINT32_MAX
enum { DECIMAL_BYTES = 32, DECIMAL_DIGITS = 128, SCRATCH_BYTES = DECIMAL_DIGITS + 8 };

/* A writer's type at a place that paths lead to. */
typedef struct {
    uint32_t         type;
    const path_node *pn;
    uint32_t        *child; /* (child_count) owned: RECORD: by field, UNION: by branch; ARRAY, MAP:
                               by the path node's child; numbers of nodes, or PASS_OVER */
    size_t           child_count;
    uint64_t         absent;             /* RECORD: values that its schema does not have */
    size_t           given, given_count; /* RECORD: values of defaults, in the plan's list */
} avro_node;

/* A default. */
typedef struct {
    int    value;
    picked as;
} avro_given;

struct avro_plan {
    const avro_schema *as, *reader; /* borrowed; reader may be NULL */
    const path_tree   *pt;          /* borrowed */
    avro_node         *node;        /* (count) owned */
    size_t             count;
    avro_given        *given; /* (given_count) owned */
    size_t             given_count;
    uint32_t           root;
    char              *scratch; /* (value_count,SCRATCH_BYTES) owned: texts that are made here */
    picked            *value;   /* (value_count) the caller's, while it is read */
    const byte        *at, *end;
    const char        *wrong;
    int                depth;
};

/* ---- making a plan ---- */

typedef struct {
    avro_plan *ap;
    aa_err    *err;
} planner;

static aa_status make_node(planner *pl, uint32_t type, uint32_t reader, const path_node *pn,
                           uint32_t *out);

/* The reader's type at this place: of a union the branch of the writer's kind. */
static uint32_t
reader_of_kind(const avro_plan *ap, uint32_t reader, avro_kind kind)
{
    if (reader == AVRO_NO_TYPE) return reader;
    const avro_type *ty = &ap->reader->type[reader];
    if (ty->kind == kind) return reader;
    if (ty->kind != AVRO_UNION) return AVRO_NO_TYPE;
    for (size_t i = 0; i < ty->count; i++)
        if (ap->reader->type[ty->part[i].type].kind == kind) return ty->part[i].type;
    return AVRO_NO_TYPE;
}

static const avro_part *
find_part(const avro_type *ty, const char *name, size_t len)
{
    for (size_t i = 0; i < ty->count; i++)
        if (strlen(ty->part[i].name) == len && memcmp(ty->part[i].name, name, len) == 0)
            return &ty->part[i];
    return NULL;
}

static aa_status
reserve_node(planner *pl, uint32_t type, const path_node *pn, size_t children, uint32_t *out)
{
    avro_plan *ap = pl->ap;
    if (ap->count == AVRO_PLAN_NODES)
        return aa_fail(pl->err, AA_EPARSE, "the paths meet the schema in more than %d places",
                       AVRO_PLAN_NODES);
    if ((ap->count & (ap->count - 1)) == 0) {
        const size_t room = ap->count > 0 ? ap->count * 2 : 1;
        avro_node   *node = realloc(ap->node, room * sizeof *node);
        if (!node) return aa_fail(pl->err, AA_ENOMEM, "Avro plan");
        ap->node = node;
    }
    *out = (uint32_t)ap->count;
    avro_node *nd = &ap->node[ap->count++];
    *nd = (avro_node){.type = type, .pn = pn, .child_count = children};
    nd->child = malloc((children + 1) * sizeof *nd->child);
    if (!nd->child) return aa_fail(pl->err, AA_ENOMEM, "Avro plan");
    for (size_t i = 0; i < children; i++)
        nd->child[i] = PASS_OVER;
    return AA_OK;
}

/* ---- defaults ---- */

static picked
picked_of(const json_t *js)
{
    picked va = {.kind = PICKED_NULL};
    if (json_is_string(js)) {
        va.kind = PICKED_TEXT;
        va.text = json_string_value(js);
        va.len = json_string_length(js);
    } else if (json_is_integer(js)) {
        va = picked_signed(json_integer_value(js));
    } else if (json_is_real(js)) {
        va.kind = PICKED_REAL;
        va.real = json_real_value(js);
    } else if (json_is_boolean(js)) {
        va.kind = PICKED_BOOL;
        va.truth = json_is_true(js);
    } else if (json_is_object(js) || json_is_array(js)) {
        va.kind = PICKED_NESTED;
    }
    return va;
}

/* The values below pn in a default. Recursive as deep as a path. */
static aa_status
add_given(planner *pl, const path_node *pn, const json_t *js)
{
    avro_plan *ap = pl->ap;
    if (pn->value < 0) {
        aa_status st = AA_OK;
        for (size_t i = 0; st == AA_OK && i < pn->count; i++) {
            const path_node *child = &pn->child[i];
            const json_t    *in =
                json_is_array(js)
                       ? json_array_get(js, child->index >= 0 ? (size_t)child->index : SIZE_MAX)
                       : json_object_get(js, child->name);
            if (in) st = add_given(pl, child, in);
        }
        return st;
    }
    avro_given *given = realloc(ap->given, (ap->given_count + 1) * sizeof *given);
    if (!given) return aa_fail(pl->err, AA_ENOMEM, "Avro plan");
    ap->given = given;
    given[ap->given_count++] = (avro_given){pn->value, picked_of(js)};
    return AA_OK;
}

/* ---- nodes by kind ---- */

/* The writer's field that a path's step means. @param rf  the reader's field of that name, or NULL */
static const avro_part *
find_field(const avro_type *ty, const path_node *step, const avro_part *rf)
{
    const avro_part *part = find_part(ty, step->name, step->len);
    for (size_t i = 0; !part && rf && i < json_array_size(rf->aliases); i++) {
        const char *alias = json_string_value(json_array_get(rf->aliases, i));
        if (alias) part = find_part(ty, alias, strlen(alias));
    }
    return part;
}

/* With `fields` what the writer has, without what it has not: a record's defaults stand together. */
static aa_status
plan_step(planner *pl, uint32_t node, uint32_t reader, const path_node *step, bool fields)
{
    avro_plan       *ap = pl->ap;
    const avro_type *ty = &ap->as->type[ap->node[node].type];
    const avro_part *rf =
        reader == AVRO_NO_TYPE ? NULL : find_part(&ap->reader->type[reader], step->name, step->len);
    const avro_part *part = find_field(ty, step, rf);
    uint32_t         child = PASS_OVER;
    if (fields != (part != NULL)) return AA_OK;
    if (part) {
        aa_status st = make_node(pl, part->type, rf ? rf->type : AVRO_NO_TYPE, step, &child);
        if (st == AA_OK) ap->node[node].child[part - ty->part] = child;
        return st;
    }
    if (rf && rf->fallback) return add_given(pl, step, rf->fallback);
    ap->node[node].absent |= step->below;
    return AA_OK;
}

static aa_status
plan_record(planner *pl, uint32_t node, uint32_t reader, const path_node *pn)
{
    avro_plan   *ap = pl->ap;
    aa_status    st = AA_OK;
    const size_t given = ap->given_count;
    reader = reader_of_kind(ap, reader, AVRO_RECORD);
    for (size_t i = 0; st == AA_OK && i < pn->count; i++)
        st = plan_step(pl, node, reader, &pn->child[i], false);
    ap->node[node].given = given;
    ap->node[node].given_count = ap->given_count - given;
    for (size_t i = 0; st == AA_OK && i < pn->count; i++)
        st = plan_step(pl, node, reader, &pn->child[i], true);
    return st;
}

static aa_status
plan_union(planner *pl, uint32_t node, uint32_t reader, const path_node *pn)
{
    avro_plan *ap = pl->ap;
    aa_status  st = AA_OK;
    for (size_t i = 0; st == AA_OK && i < ap->node[node].child_count; i++) {
        const uint32_t branch = ap->as->type[ap->node[node].type].part[i].type;
        uint32_t       child = PASS_OVER;
        st = make_node(pl, branch, reader, pn, &child);
        ap->node[node].child[i] = child;
    }
    return st;
}

static aa_status
plan_items(planner *pl, uint32_t node, uint32_t reader, const path_node *pn)
{
    avro_plan       *ap = pl->ap;
    aa_status        st = AA_OK;
    const avro_type *ty = &ap->as->type[ap->node[node].type];
    const uint32_t   own = reader_of_kind(ap, reader, ty->kind);
    const uint32_t   item = own == AVRO_NO_TYPE ? own : ap->reader->type[own].item;
    for (size_t i = 0; st == AA_OK && i < pn->count; i++) {
        uint32_t child = PASS_OVER;
        st = make_node(pl, ty->item, item, &pn->child[i], &child);
        ap->node[node].child[i] = child;
    }
    return st;
}

/* Recursive as deep as a path, twice with unions. */
static aa_status
make_node(planner *pl, uint32_t type, uint32_t reader, const path_node *pn, uint32_t *out)
{
    avro_plan       *ap = pl->ap;
    const avro_type *ty = &ap->as->type[type];
    const bool       within = pn->value < 0, is_union = ty->kind == AVRO_UNION;
    const bool       record = within && ty->kind == AVRO_RECORD;
    const bool       items = within && (ty->kind == AVRO_ARRAY || ty->kind == AVRO_MAP);
    const size_t     children = is_union || record ? ty->count : items ? pn->count : 0;
    aa_status        st = reserve_node(pl, type, pn, children, out);
    if (st == AA_OK && is_union) return plan_union(pl, *out, reader, pn);
    if (st == AA_OK && record) return plan_record(pl, *out, reader, pn);
    return st == AA_OK && items ? plan_items(pl, *out, reader, pn) : st;
}

aa_status
avro_plan_new(avro_plan **out, const avro_schema *writer, const avro_schema *reader,
              const path_tree *pt, aa_err *err)
{
    avro_plan *ap = calloc(1, sizeof *ap);
    if (!ap) return aa_fail(err, AA_ENOMEM, "Avro plan");
    planner pl = {ap, err};
    ap->as = writer;
    ap->reader = reader;
    ap->pt = pt;
    ap->scratch = malloc(pt->value_count * SCRATCH_BYTES + 1);
    aa_status st = ap->scratch ? AA_OK : aa_fail(err, AA_ENOMEM, "Avro plan");
    if (st == AA_OK)
        st = make_node(&pl, writer->root, reader ? reader->root : AVRO_NO_TYPE, &pt->root,
                       &ap->root);
    if (st != AA_OK) {
        avro_plan_free(&ap);
        return st;
    }
    *out = ap;
    return AA_OK;
}

void
avro_plan_free(avro_plan **ap_p)
{
    avro_plan *ap = *ap_p;
    if (!ap) return;
    for (size_t i = 0; i < ap->count; i++)
        free(ap->node[i].child);
    free(ap->node);
    free(ap->given);
    free(ap->scratch);
    free(ap);
    *ap_p = NULL;
}

/* ---- bytes: these move ap->at behind what they read, and return false with ap->wrong set ---- */

static bool
is_broken(avro_plan *ap, const char *what)
{
    ap->wrong = what;
    return false;
}

static bool
take_long(avro_plan *ap, int64_t *out)
{
    uint64_t z = 0;
    for (unsigned shift = 0; shift < 64 && ap->at < ap->end; shift += 7) {
        const byte c = *ap->at++;
        z |= (uint64_t)(c & 0x7F) << shift;
        if (c >= 0x80) continue;
        *out = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
        return true;
    }
    return is_broken(ap, ap->at < ap->end ? "a number of more than 64 bits" : "it ends too early");
}

/* *from: so many bytes. */
static bool
take_bytes(avro_plan *ap, size_t len, const byte **from)
{
    if ((size_t)(ap->end - ap->at) < len) return is_broken(ap, "it ends too early");
    *from = ap->at;
    ap->at += len;
    return true;
}

static bool
take_counted(avro_plan *ap, const byte **from, size_t *len)
{
    int64_t n;
    if (!take_long(ap, &n)) return false;
    if (n < 0) return is_broken(ap, "a negative length");
    if ((uint64_t)n > (uint64_t)(ap->end - ap->at)) return is_broken(ap, "it ends too early");
    *len = (size_t)n;
    return take_bytes(ap, *len, from);
}

/* The number of a union's branch or an enum's symbol. */
static bool
take_choice(avro_plan *ap, const avro_type *ty, size_t *choice)
{
    int64_t n;
    if (!take_long(ap, &n)) return false;
    if (n < 0 || (uint64_t)n >= ty->count)
        return is_broken(ap, ty->kind == AVRO_UNION ? "a branch that the union does not have"
                                                    : "a symbol that the enum does not have");
    *choice = (size_t)n;
    return true;
}

/* The head of an array's or a map's next block. *bytes: its length, -1: not told; *count 0: no more
 */
static bool
take_block(avro_plan *ap, uint64_t *count, int64_t *bytes)
{
    int64_t n;
    *bytes = -1;
    if (!take_long(ap, &n)) return false;
    *count = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    if (n >= 0) return true;
    if (!take_long(ap, bytes)) return false;
    return *bytes >= 0 || is_broken(ap, "a negative length");
}

/* ---- what nobody asked for ---- */

static bool pass_type(avro_plan *ap, uint32_t type);

static bool
pass_items(avro_plan *ap, const avro_type *ty)
{
    const bool empty = ty->kind == AVRO_ARRAY && ap->as->type[ty->item].empty;
    for (;;) {
        uint64_t    count;
        int64_t     bytes;
        const byte *from;
        size_t      len;
        if (!take_block(ap, &count, &bytes)) return false;
        if (count == 0) return true;
        if (bytes >= 0) {
            if (!take_bytes(ap, (size_t)bytes, &from)) return false;
            continue;
        }
        for (; count > 0 && !empty; count--) { /* each takes bytes: it ends with the message */
            if (ty->kind == AVRO_MAP && !take_counted(ap, &from, &len)) return false;
            if (!pass_type(ap, ty->item)) return false;
        }
    }
}

static bool
pass_within(avro_plan *ap, const avro_type *ty)
{
    size_t choice;
    if (ap->depth == AVRO_PLAN_DEPTH) return is_broken(ap, "nested too deep");
    ap->depth++;
    bool whole = true;
    if (ty->kind == AVRO_UNION)
        whole = take_choice(ap, ty, &choice) && pass_type(ap, ty->part[choice].type);
    else if (ty->kind == AVRO_RECORD)
        for (size_t i = 0; whole && i < ty->count; i++)
            whole = pass_type(ap, ty->part[i].type);
    else
        whole = pass_items(ap, ty);
    ap->depth--;
    return whole;
}

/* Recursive as deep as AVRO_PLAN_DEPTH. */
static bool
pass_type(avro_plan *ap, uint32_t type)
{
    const avro_type *ty = &ap->as->type[type];
    const byte      *from;
    size_t           len;
    int64_t          n;
    if (ty->empty) return true;
    switch (ty->kind) {
    case AVRO_NULL: return true;
    case AVRO_BOOLEAN: return take_bytes(ap, 1, &from);
    case AVRO_INT:
    case AVRO_LONG: return take_long(ap, &n);
    case AVRO_FLOAT: return take_bytes(ap, 4, &from);
    case AVRO_DOUBLE: return take_bytes(ap, 8, &from);
    case AVRO_BYTES:
    case AVRO_STRING: return take_counted(ap, &from, &len);
    case AVRO_ENUM: return take_choice(ap, ty, &len);
    case AVRO_FIXED: return take_bytes(ap, ty->size, &from);
    case AVRO_RECORD:
    case AVRO_ARRAY:
    case AVRO_MAP:
    case AVRO_UNION: break;
    }
    return pass_within(ap, ty);
}

/* ---- values ---- */

static double
real_of_bytes(const byte *from, size_t len)
{
    uint64_t bits = 0;
    float    narrow;
    double   wide;
    for (size_t i = 0; i < len; i++)
        bits |= (uint64_t)from[i] << 8 * i;
    if (len == sizeof wide) {
        memcpy(&wide, &bits, sizeof wide);
        return wide;
    }
    const uint32_t half = (uint32_t)bits;
    memcpy(&narrow, &half, sizeof narrow);
    return (double)narrow;
}

/* The digits of a big-endian number (len), the last first; it is 0 afterwards. @return how many */
static size_t
digits_of(byte *number, size_t len, char out[DECIMAL_DIGITS])
{
    size_t n = 0;
    bool   more = true;
    while (more) {
        unsigned rest = 0;
        more = false;
        for (size_t i = 0; i < len; i++) {
            const unsigned part = rest << 8 | number[i];
            number[i] = (byte)(part / 10);
            rest = part % 10;
            more = more || number[i] > 0;
        }
        out[n++] = (char)('0' + rest);
    }
    return n;
}

/* Two's complement (len, at most DECIMAL_BYTES) with scale digits behind the point, as text: 12.50 */
static size_t
write_decimal(const byte *from, size_t len, int scale, char out[SCRATCH_BYTES])
{
    byte       number[DECIMAL_BYTES] = {0};
    char       digits[DECIMAL_DIGITS];
    size_t     to = 0, n;
    const bool negative = len > 0 && from[0] >= 0x80;
    unsigned   carry = negative;
    for (size_t i = len; i-- > 0;) {
        const unsigned c = (negative ? (byte)~from[i] : from[i]) + carry;
        number[i] = (byte)c;
        carry = c >> 8;
    }
    n = digits_of(number, len, digits);
    while (n <= (size_t)scale)
        digits[n++] = '0';
    if (negative) out[to++] = '-';
    for (size_t i = n; i-- > 0;) {
        out[to++] = digits[i];
        if (i == (size_t)scale && scale > 0) out[to++] = '.';
    }
    out[to] = '\0';
    return to;
}

static size_t
write_uuid(const byte *from, char out[SCRATCH_BYTES])
{
    static const char hex[] = "0123456789abcdef";
    size_t            to = 0;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out[to++] = '-';
        out[to++] = hex[from[i] >> 4];
        out[to++] = hex[from[i] & 15];
    }
    return to;
}

static bool
set_bytes(avro_plan *ap, const avro_type *ty, int value, const byte *from, size_t len)
{
    picked *va = &ap->value[value];
    char   *scratch = ap->scratch + (size_t)value * SCRATCH_BYTES;
    va->kind = ty->kind == AVRO_STRING ? PICKED_TEXT : PICKED_BYTES;
    va->text = (const char *)from;
    va->len = len;
    if (ty->logical == AVRO_UUID) {
        va->kind = PICKED_TEXT;
        va->len = write_uuid(from, scratch);
        va->text = scratch;
    } else if (ty->logical == AVRO_DECIMAL) {
        if (len > DECIMAL_BYTES) return is_broken(ap, "a decimal of more than 32 bytes");
        va->kind = PICKED_DECIMAL;
        va->len = write_decimal(from, len, ty->scale, scratch);
        va->text = scratch;
        va->real = strtod(scratch, NULL);
    }
    return true;
}

static bool
pick_scalar(avro_plan *ap, const avro_type *ty, int value)
{
    picked     *va = &ap->value[value];
    const byte *from;
    size_t      len;
    int64_t     n;
    switch (ty->kind) {
    case AVRO_BOOLEAN:
        if (!take_bytes(ap, 1, &from)) return false;
        if (*from > 1) return is_broken(ap, "a boolean that is neither 0 nor 1");
        va->kind = PICKED_BOOL;
        va->truth = *from == 1;
        return true;
    case AVRO_INT:
    case AVRO_LONG:
        if (!take_long(ap, &n)) return false;
        *va = picked_signed(n);
        if (ty->logical != AVRO_TIME) return true;
        va->kind = PICKED_TIME;
        va->unit_ns = ty->unit_ns;
        return true;
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        len = ty->kind == AVRO_FLOAT ? 4 : 8;
        if (!take_bytes(ap, len, &from)) return false;
        va->kind = PICKED_REAL;
        va->text = NULL;
        va->real = real_of_bytes(from, len);
        return true;
    case AVRO_BYTES:
    case AVRO_STRING: return take_counted(ap, &from, &len) && set_bytes(ap, ty, value, from, len);
    case AVRO_FIXED:
        return take_bytes(ap, ty->size, &from) && set_bytes(ap, ty, value, from, ty->size);
    case AVRO_ENUM:
        if (!take_choice(ap, ty, &len)) return false;
        va->kind = PICKED_TEXT;
        va->text = ty->part[len].name;
        va->len = strlen(va->text);
        return true;
    default: va->kind = PICKED_NULL; return true;
    }
}

static bool read_node(avro_plan *ap, uint32_t node);

/* A path goes on within this, but here is nothing to go into. */
static bool
read_stop(avro_plan *ap, const avro_node *nd)
{
    static const picked_kind kinds[] = {
        [AVRO_NULL] = PICKED_NULL,    [AVRO_BOOLEAN] = PICKED_BOOL, [AVRO_INT] = PICKED_INTEGER,
        [AVRO_LONG] = PICKED_INTEGER, [AVRO_FLOAT] = PICKED_REAL,   [AVRO_DOUBLE] = PICKED_REAL,
        [AVRO_BYTES] = PICKED_BYTES,  [AVRO_STRING] = PICKED_TEXT,  [AVRO_RECORD] = PICKED_NESTED,
        [AVRO_ENUM] = PICKED_TEXT,    [AVRO_ARRAY] = PICKED_NESTED, [AVRO_MAP] = PICKED_NESTED,
        [AVRO_UNION] = PICKED_NULL,   [AVRO_FIXED] = PICKED_BYTES};
    for (size_t i = 0; i < ap->pt->value_count; i++)
        if (nd->pn->below >> i & 1)
            ap->value[i] =
                (picked){.stop = nd->pn, .stop_kind = kinds[ap->as->type[nd->type].kind]};
    return pass_type(ap, nd->type);
}

static bool
read_record(avro_plan *ap, const avro_node *nd, const avro_type *ty)
{
    for (size_t i = 0; i < ap->pt->value_count; i++)
        if (nd->absent >> i & 1) ap->value[i].flaw = "the message's schema has no such field";
    for (size_t i = 0; i < nd->given_count; i++)
        ap->value[ap->given[nd->given + i].value] = ap->given[nd->given + i].as;
    for (size_t i = 0; i < ty->count; i++)
        if (!(nd->child[i] == PASS_OVER ? pass_type(ap, ty->part[i].type)
                                        : read_node(ap, nd->child[i])))
            return false;
    return true;
}

static bool
read_item(avro_plan *ap, const avro_node *nd, const avro_type *ty, int64_t index)
{
    const path_node *pn = nd->pn, *child;
    const byte      *key = NULL;
    size_t           len = 0;
    if (ty->kind == AVRO_MAP) {
        if (!take_counted(ap, &key, &len)) return false;
        child = path_child(pn, key, len);
    } else {
        child = path_element(pn, index);
    }
    return child ? read_node(ap, nd->child[child - pn->child]) : pass_type(ap, ty->item);
}

/* The index of an array's items counts on through its blocks. */
static bool
read_items(avro_plan *ap, const avro_node *nd, const avro_type *ty)
{
    const bool empty = ty->kind == AVRO_ARRAY && ap->as->type[ty->item].empty;
    if (empty) return read_stop(ap, nd); /* nothing to pick, however many there are */
    for (int64_t index = 0;;) {
        uint64_t count;
        int64_t  bytes;
        if (!take_block(ap, &count, &bytes)) return false;
        if (count == 0) return true;
        for (; count > 0; count--, index++)
            if (!read_item(ap, nd, ty, index)) return false;
    }
}

static bool
read_within(avro_plan *ap, const avro_node *nd, const avro_type *ty)
{
    size_t choice;
    switch (ty->kind) {
    case AVRO_RECORD: return read_record(ap, nd, ty);
    case AVRO_ARRAY:
    case AVRO_MAP: return read_items(ap, nd, ty);
    case AVRO_UNION: return take_choice(ap, ty, &choice) && read_node(ap, nd->child[choice]);
    default: return read_stop(ap, nd);
    }
}

/* Recursive as deep as a path, twice with unions. */
static bool
read_node(avro_plan *ap, uint32_t node)
{
    const avro_node *nd = &ap->node[node];
    const avro_type *ty = &ap->as->type[nd->type];
    const int        value = nd->pn->value;
    if (value < 0 || ty->kind == AVRO_UNION) return read_within(ap, nd, ty);
    if (ty->kind != AVRO_RECORD && ty->kind != AVRO_ARRAY && ty->kind != AVRO_MAP)
        return pick_scalar(ap, ty, value);
    ap->value[value].kind = PICKED_NESTED;
    return pass_type(ap, nd->type);
}

const char *
avro_plan_read(avro_plan *ap, const void *buf, size_t len, picked *value, size_t *at)
{
    ap->at = buf;
    ap->end = ap->at + len;
    ap->value = value;
    ap->wrong = NULL;
    ap->depth = 0;
    for (size_t i = 0; i < ap->pt->value_count; i++)
        value[i] = (picked){.kind = PICKED_ABSENT};
    if (read_node(ap, ap->root) && ap->at < ap->end) ap->wrong = "something follows the value";
    *at = (size_t)(ap->at - (const byte *)buf);
    return ap->wrong;
}
