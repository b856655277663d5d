#include "ingest/formats/protobuf_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/formats/protobuf_wire.h"

#define NO_NODE UINT32_MAX
enum { DIGITS_BYTES = 24, KEY_BYTES = 24 };

/* Where a field's value, or one of its elements, goes. */
typedef struct {
    const path_node *pn;
    uint32_t node; /* a message to go into; NO_NODE: the value is picked, or there is none */
} place;

/* A field that matters at a node: a path leads to it, or it ends what a oneof had before. */
typedef struct {
    const protobuf_field *pf;
    uint64_t              clears; /* values of the other members of its oneof */
    const path_node      *pn;     /* NULL: it only clears */
    place                *place;  /* (place_count) owned; of a single field one */
    size_t                place_count;
    picked                before; /* single: what it is when it is not in the message */
    int64_t               met;    /* repeated: elements of this message so far */
} plan_entry;

typedef struct {
    const protobuf_message *pm;
    const path_node        *pn;
    plan_entry             *entry; /* (count) owned */
    size_t                  count;
    uint64_t                absent; /* values that its schema does not have */
    uint64_t                met;    /* number of the last message in which it was met */
} plan_node;

struct protobuf_plan {
    const protobuf_schema *ps;   /* borrowed */
    const path_tree       *pt;   /* borrowed */
    plan_node             *node; /* (count) owned */
    size_t                 count;
    char                  *digits; /* (value_count,DIGITS_BYTES) owned */
    uint64_t               no_zero, messages;
    picked                *value; /* the caller's, while it is read */
};

/* ---- values ---- */

static double
real_of_bits(uint64_t bits, uint32_t type)
{
    const uint32_t half = (uint32_t)bits;
    float          narrow;
    double         wide;
    memcpy(&narrow, &half, sizeof narrow);
    memcpy(&wide, &bits, sizeof wide);
    return type == PROTOBUF_FLOAT ? (double)narrow : wide;
}

static int64_t
unzigzag(uint64_t z)
{
    return (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
}

/* The wire type that a type's single values have. */
static uint32_t
wire_of(uint32_t type)
{
    switch (type) {
    case PROTOBUF_DOUBLE:
    case PROTOBUF_TYPE_FIXED64:
    case PROTOBUF_SFIXED64: return PROTOBUF_FIXED64;
    case PROTOBUF_FLOAT:
    case PROTOBUF_TYPE_FIXED32:
    case PROTOBUF_SFIXED32: return PROTOBUF_FIXED32;
    case PROTOBUF_STRING:
    case PROTOBUF_MESSAGE:
    case PROTOBUF_TYPE_BYTES: return PROTOBUF_BYTES;
    case PROTOBUF_TYPE_GROUP: return PROTOBUF_GROUP;
    default: return PROTOBUF_VARINT;
    }
}

static void
set_symbol(const protobuf_schema *ps, const protobuf_field *pf, int32_t number, picked *va)
{
    *va = picked_signed(number);
    if (pf->of == PROTOBUF_NO_TYPE) return;
    const protobuf_message *pe = &ps->message[pf->of];
    for (size_t i = 0; i < pe->count; i++) {
        if (pe->field[i].number != (uint32_t)number) continue;
        *va = (picked){
            .kind = PICKED_TEXT, .text = pe->field[i].name.text, .len = pe->field[i].name.len};
        return;
    }
}

/* A number as the wire has it. digits: where those of a large one are written */
static void
set_number(const protobuf_schema *ps, const protobuf_field *pf, uint64_t bits, char *digits,
           picked *va)
{
    switch (pf->type) {
    case PROTOBUF_DOUBLE:
    case PROTOBUF_FLOAT:
        *va = (picked){.kind = PICKED_REAL, .real = real_of_bits(bits, pf->type)};
        return;
    case PROTOBUF_INT32:
    case PROTOBUF_SFIXED32: *va = picked_signed((int32_t)(uint32_t)bits); return;
    case PROTOBUF_INT64:
    case PROTOBUF_SFIXED64: *va = picked_signed((int64_t)bits); return;
    case PROTOBUF_SINT32: *va = picked_signed((int32_t)unzigzag(bits & UINT32_MAX)); return;
    case PROTOBUF_SINT64: *va = picked_signed(unzigzag(bits)); return;
    case PROTOBUF_UINT32:
    case PROTOBUF_TYPE_FIXED32: *va = picked_integer(false, bits & UINT32_MAX); return;
    case PROTOBUF_BOOL: *va = (picked){.kind = PICKED_BOOL, .truth = bits != 0}; return;
    case PROTOBUF_ENUM: set_symbol(ps, pf, (int32_t)(uint32_t)bits, va); return;
    default: break;
    }
    *va = picked_integer(false, bits);
    if (bits <= INT64_MAX) return;
    va->len = (size_t)snprintf(digits, DIGITS_BYTES, "%llu", (unsigned long long)bits);
    va->text = digits;
}

/* Seconds and nanoseconds: as microseconds, which reach further than any event. */
static bool
set_timestamp(const unsigned char *bytes, size_t len, picked *va)
{
    protobuf_cursor cu = {bytes, bytes + len};
    int64_t         seconds = 0, nanos = 0;
    while (cu.at < cu.end) {
        protobuf_part pa;
        if (!protobuf_take_part(&cu, &pa)) return false;
        if (pa.wire == PROTOBUF_VARINT && pa.number == 1) seconds = (int64_t)pa.value;
        if (pa.wire == PROTOBUF_VARINT && pa.number == 2) nanos = (int32_t)(uint32_t)pa.value;
    }
    const int64_t most = INT64_MAX / 2000000;
    if (seconds > most || seconds < -most) seconds = seconds > 0 ? most : -most;
    *va = picked_signed(seconds * 1000000 + nanos / 1000);
    va->kind = PICKED_TIME;
    va->unit_ns = 1000;
    return true;
}

/* ---- making a plan ---- */

static aa_status make_plan_node(protobuf_plan *pp, uint32_t message, const path_node *pn,
                                uint32_t *out, aa_err *err);

static bool
is_map(const protobuf_schema *ps, const protobuf_field *pf)
{
    return pf->repeated && pf->type == PROTOBUF_MESSAGE && pf->of != PROTOBUF_NO_TYPE &&
           ps->message[pf->of].is_map_entry;
}

static const protobuf_field *
field_numbered(const protobuf_message *pm, uint32_t number)
{
    for (size_t i = 0; i < pm->count; i++)
        if (pm->field[i].number == number) return &pm->field[i];
    return NULL;
}

static aa_status
make_place(protobuf_plan *pp, const protobuf_field *pf, const path_node *pn, place *out,
           aa_err *err)
{
    *out = (place){pn, NO_NODE};
    if (pn->value >= 0 || pf->type != PROTOBUF_MESSAGE || pf->of == PROTOBUF_NO_TYPE) return AA_OK;
    return make_plan_node(pp, pf->of, pn, &out->node, err);
}

static picked
default_of(const protobuf_plan *pp, const protobuf_field *pf, const path_node *pn)
{
    picked     va = {.kind = PICKED_ABSENT};
    char       text[64];
    const bool text_type = pf->type == PROTOBUF_STRING || pf->type == PROTOBUF_TYPE_BYTES;
    if (pn->value < 0 || pf->repeated) return va;
    if (pf->fallback.text && !pf->implicit) {
        const size_t len = pf->fallback.len < sizeof text - 1 ? pf->fallback.len : sizeof text - 1;
        memcpy(text, pf->fallback.text, len);
        text[len] = '\0';
        if (text_type || pf->type == PROTOBUF_ENUM)
            return (picked){
                .kind = PICKED_TEXT, .text = pf->fallback.text, .len = pf->fallback.len};
        if (pf->type == PROTOBUF_BOOL)
            return (picked){.kind = PICKED_BOOL, .truth = strcmp(text, "true") == 0};
        if (pf->type == PROTOBUF_DOUBLE || pf->type == PROTOBUF_FLOAT)
            return (picked){.kind = PICKED_REAL, .real = strtod(text, NULL)};
        va = picked_integer(text[0] == '-', strtoull(text + (text[0] == '-'), NULL, 10));
        va.text = pf->fallback.text;
        va.len = pf->fallback.len;
        return va;
    }
    if (!pf->implicit || pp->no_zero >> pn->value & 1) return va;
    if (text_type)
        return (picked){.kind = pf->type == PROTOBUF_STRING ? PICKED_TEXT : PICKED_BYTES,
                        .text = ""};
    set_number(pp->ps, pf, 0, NULL, &va);
    return va;
}

static aa_status
add_entry(protobuf_plan *pp, uint32_t node, const plan_entry *en, aa_err *err)
{
    plan_node  *nd = &pp->node[node];
    plan_entry *grown = realloc(nd->entry, (nd->count + 1) * sizeof *grown);
    if (!grown) return aa_fail(err, AA_ENOMEM, "protobuf plan");
    nd->entry = grown;
    grown[nd->count++] = *en;
    return AA_OK;
}

/* The places of a field that a path's step names; a map's are its values. */
static aa_status
fill_places(protobuf_plan *pp, plan_entry *en, aa_err *err)
{
    const bool            map = is_map(pp->ps, en->pf);
    const protobuf_field *of = map ? field_numbered(&pp->ps->message[en->pf->of], 2) : en->pf;
    const bool            many = en->pf->repeated && en->pn->value < 0;
    aa_status             st = AA_OK;
    en->place_count = many ? en->pn->count : 1;
    en->place = calloc(en->place_count + 1, sizeof *en->place);
    if (!en->place) return aa_fail(err, AA_ENOMEM, "protobuf plan");
    for (size_t i = 0; st == AA_OK && i < en->place_count; i++) {
        en->place[i] = (place){many ? &en->pn->child[i] : en->pn, NO_NODE};
        if (of) st = make_place(pp, of, en->place[i].pn, &en->place[i], err);
    }
    return st;
}

static aa_status
plan_field(protobuf_plan *pp, uint32_t node, const path_node *step, aa_err *err)
{
    const protobuf_field *pf = protobuf_schema_field(pp->node[node].pm, step->name, step->len);
    if (!pf) {
        pp->node[node].absent |= step->below;
        return AA_OK;
    }
    plan_entry en = {.pf = pf, .pn = step};
    aa_status  st = fill_places(pp, &en, err);
    en.before = default_of(pp, pf, step);
    if (st == AA_OK) st = add_entry(pp, node, &en, err);
    if (st != AA_OK) free(en.place);
    return st;
}

static plan_entry *
find_entry(const plan_node *nd, uint32_t number)
{
    for (size_t i = 0; i < nd->count; i++)
        if (nd->entry[i].pf->number == number) return &nd->entry[i];
    return NULL;
}

/* Each member of a oneof that a path leads into ends the others. */
static aa_status
plan_oneofs(protobuf_plan *pp, uint32_t node, aa_err *err)
{
    const protobuf_message *pm = pp->node[node].pm;
    const size_t            wanted = pp->node[node].count;
    for (size_t w = 0; w < wanted; w++) {
        const plan_entry en = pp->node[node].entry[w];
        if (en.pf->oneof < 0) continue;
        for (size_t i = 0; i < pm->count; i++) {
            const protobuf_field *other = &pm->field[i];
            if (other->oneof != en.pf->oneof || other == en.pf) continue;
            plan_entry      *of = find_entry(&pp->node[node], other->number);
            const plan_entry only = {.pf = other, .clears = en.pn->below};
            aa_status        st = AA_OK;
            if (of)
                of->clears |= en.pn->below;
            else
                st = add_entry(pp, node, &only, err);
            if (st != AA_OK) return st;
        }
    }
    return AA_OK;
}

/* Recursive as deep as a path. */
static aa_status
make_plan_node(protobuf_plan *pp, uint32_t message, const path_node *pn, uint32_t *out, aa_err *err)
{
    plan_node *node = realloc(pp->node, (pp->count + 1) * sizeof *node);
    if (!node) return aa_fail(err, AA_ENOMEM, "protobuf plan");
    const uint32_t at = (uint32_t)pp->count++;
    pp->node = node;
    node[at] = (plan_node){.pm = &pp->ps->message[message], .pn = pn};
    *out = at;
    aa_status st = AA_OK;
    for (size_t i = 0; st == AA_OK && i < pn->count; i++)
        st = plan_field(pp, at, &pn->child[i], err);
    return st == AA_OK ? plan_oneofs(pp, at, err) : st;
}

aa_status
protobuf_plan_new(protobuf_plan **out, const protobuf_schema *ps, uint32_t message,
                  const path_tree *pt, uint64_t no_zero, aa_err *err)
{
    uint32_t       root;
    protobuf_plan *pp = calloc(1, sizeof *pp);
    if (!pp) return aa_fail(err, AA_ENOMEM, "protobuf plan");
    AA_REQUIRE(message < ps->count);
    pp->ps = ps;
    pp->pt = pt;
    pp->no_zero = no_zero;
    pp->digits = malloc(pt->value_count * DIGITS_BYTES + 1);
    aa_status st = pp->digits ? AA_OK : aa_fail(err, AA_ENOMEM, "protobuf plan");
    if (st == AA_OK) st = make_plan_node(pp, message, &pt->root, &root, err);
    if (st != AA_OK) {
        protobuf_plan_free(&pp);
        return st;
    }
    *out = pp;
    return AA_OK;
}

void
protobuf_plan_free(protobuf_plan **pp_p)
{
    protobuf_plan *pp = *pp_p;
    if (!pp) return;
    for (size_t i = 0; i < pp->count; i++) {
        for (size_t k = 0; k < pp->node[i].count; k++)
            free(pp->node[i].entry[k].place);
        free(pp->node[i].entry);
    }
    free(pp->node);
    free(pp->digits);
    free(pp);
    *pp_p = NULL;
}

/* ---- reading: false: the bytes are no such message ---- */

static bool read_message(protobuf_plan *pp, uint32_t node, const unsigned char *bytes, size_t len);

static void
clear_values(protobuf_plan *pp, uint64_t below)
{
    for (size_t i = 0; i < pp->pt->value_count; i++)
        if (below >> i & 1) pp->value[i] = (picked){.kind = PICKED_ABSENT};
    for (size_t i = 0; i < pp->count; i++)
        if ((pp->node[i].pn->below & ~below) == 0) pp->node[i].met = 0;
}

/* A path goes on within this, but here is nothing to go into. */
static void
stop_values(protobuf_plan *pp, const path_node *pn, picked_kind kind)
{
    for (size_t i = 0; i < pp->pt->value_count; i++)
        if (pn->below >> i & 1) pp->value[i] = (picked){.stop = pn, .stop_kind = kind};
}

static bool
pick_message(protobuf_plan *pp, const protobuf_field *pf, const protobuf_part *pa, picked *va,
             char *digits)
{
    const protobuf_message *pm = pf->of == PROTOBUF_NO_TYPE ? NULL : &pp->ps->message[pf->of];
    va->kind = PICKED_NESTED;
    if (!pm) return true;
    if (pm->is_timestamp) return set_timestamp(pa->bytes, pa->len, va);
    if (!pm->is_wrapper || pm->count == 0) return true;
    protobuf_cursor       cu = {pa->bytes, pa->bytes + pa->len};
    const protobuf_field *in = &pm->field[0];
    protobuf_part         part = {.value = 0, .bytes = pa->bytes};
    uint32_t              wire = wire_of(in->type);
    while (cu.at < cu.end) {
        protobuf_part next = {0};
        if (!protobuf_take_part(&cu, &next)) return false;
        if (next.number == in->number && next.wire == wire) part = next;
    }
    if (wire == PROTOBUF_BYTES)
        *va = (picked){.kind = in->type == PROTOBUF_STRING ? PICKED_TEXT : PICKED_BYTES,
                       .text = (const char *)part.bytes,
                       .len = part.len};
    else
        set_number(pp->ps, in, part.value, digits, va);
    return true;
}

/* One value, or one element, of a field at its place. @pre its wire type is the field's */
static bool
read_place(protobuf_plan *pp, const protobuf_field *pf, const place *pl, const protobuf_part *pa)
{
    if (pl->node != NO_NODE) return read_message(pp, pl->node, pa->bytes, pa->len);
    if (pl->pn->value < 0) {
        stop_values(pp, pl->pn,
                    pf->type == PROTOBUF_MESSAGE      ? PICKED_NESTED
                    : pf->type == PROTOBUF_STRING     ? PICKED_TEXT
                    : pf->type == PROTOBUF_TYPE_BYTES ? PICKED_BYTES
                                                      : PICKED_INTEGER);
        return true;
    }
    picked *va = &pp->value[pl->pn->value];
    char   *digits = pp->digits + (size_t)pl->pn->value * DIGITS_BYTES;
    switch (pf->type) {
    case PROTOBUF_STRING:
    case PROTOBUF_TYPE_BYTES:
        *va = (picked){.kind = pf->type == PROTOBUF_STRING ? PICKED_TEXT : PICKED_BYTES,
                       .text = (const char *)pa->bytes,
                       .len = pa->len};
        return true;
    case PROTOBUF_MESSAGE: return pick_message(pp, pf, pa, va, digits);
    case PROTOBUF_TYPE_GROUP: va->kind = PICKED_NESTED; return true;
    default: set_number(pp->ps, pf, pa->value, digits, va); return true;
    }
}

/* The key as text: map<string,...>, or digits. false: it is no entry. */
static bool
take_key(const protobuf_schema *ps, const protobuf_message *entry, const protobuf_part *pa,
         char digits[KEY_BYTES], protobuf_name *key, protobuf_part *value)
{
    const protobuf_field *pf = field_numbered(entry, 1);
    const protobuf_field *of = field_numbered(entry, 2);
    protobuf_cursor       cu = {pa->bytes, pa->bytes + pa->len};
    uint64_t              number = 0;
    *key = (protobuf_name){"", 0};
    *value = (protobuf_part){.number = 2, .wire = of ? wire_of(of->type) : 0, .bytes = pa->bytes};
    if (!pf || !of) return false;
    while (cu.at < cu.end) {
        protobuf_part part = {0};
        if (!protobuf_take_part(&cu, &part)) return false;
        if (part.number == 2 && part.wire == value->wire) *value = part;
        if (part.number != 1 || part.wire != wire_of(pf->type)) continue;
        *key = (protobuf_name){(const char *)part.bytes, part.len};
        number = part.value;
    }
    if (pf->type == PROTOBUF_STRING) return true;
    picked va = {0};
    set_number(ps, pf, number, digits, &va);
    const int n = va.kind == PICKED_BOOL
                      ? snprintf(digits, KEY_BYTES, "%s", va.truth ? "true" : "false")
                      : snprintf(digits, KEY_BYTES, "%s%llu", va.negative ? "-" : "",
                                 (unsigned long long)va.magnitude);
    *key = (protobuf_name){digits, (size_t)n};
    return true;
}

static bool
read_map_entry(protobuf_plan *pp, const plan_entry *en, const protobuf_part *pa)
{
    const protobuf_message *entry = &pp->ps->message[en->pf->of];
    char                    digits[KEY_BYTES];
    protobuf_name           key;
    protobuf_part           value;
    if (!take_key(pp->ps, entry, pa, digits, &key, &value)) return false;
    const path_node *child = path_child(en->pn, key.text, key.len);
    if (!child) return true;
    clear_values(pp, child->below);
    return read_place(pp, field_numbered(entry, 2), &en->place[child - en->pn->child], &value);
}

static bool
read_element(protobuf_plan *pp, plan_entry *en, const protobuf_part *pa)
{
    const path_node *child = path_element(en->pn, en->met++);
    return !child || read_place(pp, en->pf, &en->place[child - en->pn->child], pa);
}

/* Numbers of a repeated field in one part. */
static bool
read_packed(protobuf_plan *pp, plan_entry *en, const protobuf_part *pa)
{
    const uint32_t  wire = wire_of(en->pf->type);
    protobuf_cursor cu = {pa->bytes, pa->bytes + pa->len};
    while (cu.at < cu.end) {
        protobuf_part one = {.number = pa->number, .wire = wire};
        const bool    whole =
            wire == PROTOBUF_VARINT
                   ? protobuf_take_varint(&cu, &one.value)
                   : protobuf_take_fixed(&cu, wire == PROTOBUF_FIXED64 ? 8 : 4, &one.value);
        if (!whole || !read_element(pp, en, &one)) return false;
    }
    return true;
}

static bool
read_entry(protobuf_plan *pp, plan_entry *en, const protobuf_part *pa)
{
    const uint32_t wire = wire_of(en->pf->type);
    const bool packed = en->pf->repeated && pa->wire == PROTOBUF_BYTES && wire != PROTOBUF_BYTES;
    if (pa->wire != wire && !packed) return true; /* an unknown member */
    if (en->clears) clear_values(pp, en->clears);
    if (!en->pn) return true;
    if (!en->pf->repeated) return read_place(pp, en->pf, &en->place[0], pa);
    if (en->pn->value >= 0) {
        pp->value[en->pn->value].kind = PICKED_NESTED;
        return true;
    }
    if (is_map(pp->ps, en->pf)) return read_map_entry(pp, en, pa);
    return packed ? read_packed(pp, en, pa) : read_element(pp, en, pa);
}

/* Behind a group's begin. */
static bool
pass_group(protobuf_cursor *cu)
{
    int depth = 1;
    while (depth > 0) {
        protobuf_part pa;
        if (cu->at >= cu->end || !protobuf_take_part(cu, &pa)) return false;
        if (pa.wire == PROTOBUF_GROUP && ++depth > PROTOBUF_PLAN_GROUPS) return false;
        if (pa.wire == PROTOBUF_GROUP_END) depth--;
    }
    return true;
}

/* In this message for the first time: what is not in it has its default. */
static void
meet_node(protobuf_plan *pp, plan_node *nd)
{
    if (nd->met == pp->messages) return;
    nd->met = pp->messages;
    for (size_t i = 0; nd->absent && i < pp->pt->value_count; i++)
        if (nd->absent >> i & 1) pp->value[i].flaw = "the message's schema has no such field";
    for (size_t i = 0; i < nd->count; i++) {
        plan_entry *en = &nd->entry[i];
        en->met = 0;
        if (en->pn && en->pn->value >= 0) pp->value[en->pn->value] = en->before;
    }
}

static bool
read_message(protobuf_plan *pp, uint32_t node, const unsigned char *bytes, size_t len)
{
    plan_node      *nd = &pp->node[node];
    protobuf_cursor cu = {bytes, bytes + len};
    meet_node(pp, nd);
    while (cu.at < cu.end) {
        protobuf_part pa;
        if (!protobuf_take_part(&cu, &pa) || pa.wire == PROTOBUF_GROUP_END) return false;
        if (pa.wire == PROTOBUF_GROUP && !pass_group(&cu)) return false;
        plan_entry *en = find_entry(nd, pa.number);
        if (en && !read_entry(pp, en, &pa)) return false;
    }
    return true;
}

const char *
protobuf_plan_read(protobuf_plan *pp, const void *buf, size_t len, picked *value)
{
    pp->value = value;
    pp->messages++;
    for (size_t i = 0; i < pp->pt->value_count; i++)
        value[i] = (picked){.kind = PICKED_ABSENT};
    return read_message(pp, 0, buf, len) ? NULL : "the bytes are no such message";
}
