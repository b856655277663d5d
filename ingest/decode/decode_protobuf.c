/* Interaction messages. protobuf-c allocates from an arena that is emptied per message: no malloc
 * and no free on the hot path, and a hostile message cannot ask for more than the arena holds. */
#include "ingest/decode/decode_internal.h"

#include "schemas/event.pb-c.h"

static void *
arena_alloc(void *data, size_t size)
{
    decode_arena *arena = data;
    void         *p = arena->mem + arena->used;

    if (size > arena->cap - arena->used) {
        arena->exhausted = true;
        return NULL;
    }
    arena->used += (size + 15) & ~(size_t)15;
    if (arena->used > arena->cap) arena->used = arena->cap;
    return p;
}

static void
arena_free(void *data, void *p)
{
    (void)data, (void)p;
}

static void
text_id(decode_id *id, const ProtobufCBinaryData *bytes)
{
    id->kind = DECODE_TEXT_ID;
    id->text = bytes->data;
    id->len = bytes->len;
}

static void
number_id(decode_id *id, int64_t number)
{
    id->kind = DECODE_NUMBER_ID;
    id->number = number;
}

decode_reason
decode_protobuf(decode *dc, const void *buf, size_t len, decode_raw *raw)
{
    ProtobufCAllocator       allocator = {arena_alloc, arena_free, &dc->arena};
    Autoassign__Interaction *ia;
    size_t                   F = dc->cfg->field_count;

    dc->arena.used = 0;
    dc->arena.exhausted = false;
    ia = autoassign__interaction__unpack(&allocator, len, buf);
    if (!ia && dc->arena.exhausted)
        return decode_fail(dc, DECODE_TOO_LARGE, "protobuf of %zu bytes", len);
    if (!ia) return decode_fail(dc, DECODE_MALFORMED, "not an Interaction (%zu bytes)", len);

    for (size_t f = 0; f < F; f++)
        raw->id[f].kind = DECODE_NO_ID;
    if (ia->user_case == AUTOASSIGN__INTERACTION__USER_USER_ID) text_id(&raw->id[0], &ia->user_id);
    if (ia->user_case == AUTOASSIGN__INTERACTION__USER_USER_NUMBER)
        number_id(&raw->id[0], ia->user_number);
    if (ia->item_case == AUTOASSIGN__INTERACTION__ITEM_ITEM_ID) text_id(&raw->id[1], &ia->item_id);
    if (ia->item_case == AUTOASSIGN__INTERACTION__ITEM_ITEM_NUMBER)
        number_id(&raw->id[1], ia->item_number);
    for (size_t f = 2; f < F && f - 2 < ia->n_context; f++)
        text_id(&raw->id[f], &ia->context[f - 2]);
    raw->label = ia->label;
    raw->time_ms = ia->timestamp_ms;
    return DECODE_OK;
}
