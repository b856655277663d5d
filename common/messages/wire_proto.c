#include "common/messages/wire_proto.h"

#include <inttypes.h>
#include <math.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct wire_block {
    wire_block *older;
    alignas(max_align_t) uint8_t bytes[];
};

/* Structs, pointers and the parser's list of fields, beyond the data itself. */
#define ARENA_SLACK_BYTES ((size_t)4096)
/* The list costs about 40 bytes per field, and a field takes 2 bytes or more: honest messages have
 * few fields and stay far below, hostile ones are refused. */
#define ARENA_LIMIT_FACTOR 8

#define MAX_LANE 65535u

static bool
arena_add_block(wire_arena *ar, size_t size)
{
    if (size > ar->limit_bytes - ar->total_bytes) return false;
    wire_block *block = malloc(sizeof *block + size);
    if (!block) {
        ar->exhausted = true;
        return false;
    }
    block->older = ar->blocks;
    ar->blocks = block;
    ar->used = 0;
    ar->cap = size;
    ar->total_bytes += size;
    return true;
}

static void *
arena_alloc(void *data, size_t size)
{
    wire_arena  *ar = data;
    const size_t align = alignof(max_align_t);
    if (size > ar->limit_bytes) return NULL;
    size = (size + align - 1) / align * align;
    if (size > ar->cap - ar->used && !arena_add_block(ar, size + ARENA_SLACK_BYTES)) return NULL;
    void *p = ar->blocks->bytes + ar->used;
    ar->used += size;
    return p;
}

static void
arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

void
wire_arena_fini(wire_arena *ar)
{
    for (wire_block *block = ar->blocks; block;) {
        wire_block *older = block->older;
        free(block);
        block = older;
    }
    *ar = (wire_arena){0};
}

aa_status
wire_unpack(wire_arena *ar, ProtobufCMessage **msg, const char *name,
            const ProtobufCMessageDescriptor *descriptor, const void *buf, size_t len, aa_err *err)
{
    *ar = (wire_arena){.allocator = {arena_alloc, arena_free, ar}};
    if (len > AA_WIRE_MAX_BYTES)
        return aa_fail(err, AA_EPARSE, "%s: %zu bytes, more than %zu", name, len,
                       AA_WIRE_MAX_BYTES);
    ar->limit_bytes = ARENA_LIMIT_FACTOR * len + 16 * ARENA_SLACK_BYTES;
    arena_add_block(ar, len + ARENA_SLACK_BYTES);
    if (!ar->exhausted) *msg = protobuf_c_message_unpack(descriptor, &ar->allocator, len, buf);
    if (ar->exhausted) return aa_fail(err, AA_ENOMEM, "out of memory: %s of %zu bytes", name, len);
    if (!*msg) return aa_fail(err, AA_EPARSE, "%s: %zu bytes that do not parse", name, len);
    return AA_OK;
}

aa_status
wire_pack(aa_bytes *out, const ProtobufCMessage *msg, aa_err *err)
{
    size_t len = protobuf_c_message_get_packed_size(msg);
    if (len > AA_WIRE_MAX_BYTES)
        return aa_fail(err, AA_EPARSE, "message of %zu bytes, more than %zu: use smaller batches",
                       len, AA_WIRE_MAX_BYTES);
    if (len > out->cap || !out->data) {
        size_t   cap = len + len / 4 + 64;
        uint8_t *grown = realloc(out->data, cap);
        if (!grown) return aa_fail(err, AA_ENOMEM, "out of memory: message of %zu bytes", len);
        out->data = grown;
        out->cap = cap;
    }
    out->len = protobuf_c_message_pack(msg, out->data);
    AA_REQUIRE(out->len == len);
    return AA_OK;
}

Autoassign__Header
wire_header_of(const aa_header *hd)
{
    Autoassign__Header h = AUTOASSIGN__HEADER__INIT;
    h.run_id = hd->run_id;
    h.seq = hd->seq;
    h.lane = hd->lane;
    return h;
}

aa_header
wire_header_from(const Autoassign__Header *h)
{
    return (aa_header){.run_id = h->run_id, .seq = h->seq, .lane = h->lane};
}

aa_status
wire_check_header(const Autoassign__Header *h, aa_err *err)
{
    if (!h) return aa_fail(err, AA_EPARSE, "message without header");
    if (h->lane > MAX_LANE) return aa_fail(err, AA_EPARSE, "lane %" PRIu32, h->lane);
    return AA_OK;
}

aa_status
wire_check_finite(const char *name, const float *x, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return aa_fail(err, AA_EPARSE, "%s[%zu] is not finite", name, i);
    return AA_OK;
}

aa_status
wire_check_mix(const char *name, const float *x, size_t n, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!(x[i] >= 0.0f && x[i] < 1.0f))
            return aa_fail(err, AA_EPARSE, "%s[%zu]=%g is not in [0,1)", name, i, (double)x[i]);
    return AA_OK;
}

aa_status
wire_check_count(const char *name, size_t got, size_t want, aa_err *err)
{
    if (got == want) return AA_OK;
    return aa_fail(err, AA_EPARSE, "%s has %zu values instead of %zu", name, got, want);
}

void *
wire_unconst(const void *p)
{
    void *q;
    memcpy(&q, &p, sizeof q);
    return q;
}

void
wire_copy(void *dst, const void *src, size_t len_bytes)
{
    if (len_bytes) memcpy(dst, src, len_bytes);
}
