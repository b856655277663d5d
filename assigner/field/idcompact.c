#include "assigner/field/idcompact.h"

#include <stdlib.h>
#include <string.h>

#include "common/messages/batch.h"

aa_status
idcompact_init(idcompact *tbl, aa_err *err)
{
    *tbl = (idcompact){.memory = aa_arena_new(), .free_head = IDINDEX_NONE};
    if (!tbl->memory) return aa_fail(err, AA_ENOMEM, "table of IDs");
    return idindex_init(&tbl->ix, err);
}

void
idcompact_fini(idcompact *tbl)
{
    idindex_fini(&tbl->ix);
    if (tbl->memory) aa_arena_free(&tbl->memory);
    free(tbl->segment);
    free(tbl->beside);
    *tbl = (idcompact){0};
}

/* ---- keys ---- */

uint32_t
idcompact_find(const idcompact *tbl, uint64_t key)
{
    const uint64_t hash = idindex_hash(key);
    const uint32_t tag = (uint32_t)(hash >> 32);
    for (uint64_t i = idindex_seek(&tbl->ix, tag);; i++) {
        const uint64_t cell = tbl->ix.cell[i];
        if (cell == 0 || idindex_tag(cell) != tag) return IDINDEX_NONE;
        const uint32_t handle = idindex_handle(cell);
        if (idcompact_at(tbl, handle)->rest == (uint32_t)hash) return handle;
    }
}

uint32_t
idcompact_guess(const idcompact *tbl, uint64_t key)
{
    const uint32_t tag = (uint32_t)(idindex_hash(key) >> 32);
    const uint64_t cell = tbl->ix.cell[idindex_seek(&tbl->ix, tag)];
    return cell != 0 && idindex_tag(cell) == tag ? idindex_handle(cell) : IDINDEX_NONE;
}

void
idcompact_prefetch(const idcompact *tbl, uint64_t key)
{
    idindex_prefetch(&tbl->ix, (uint32_t)(idindex_hash(key) >> 32));
}

/* ---- handles ---- */

static aa_status
add_segment(idcompact *tbl, aa_err *err)
{
    const size_t n = tbl->segment_count;
    id_packed  **segment = realloc(tbl->segment, (n + 1) * sizeof(id_packed *));
    if (!segment) return aa_fail(err, AA_ENOMEM, "%zu segments of IDs", n + 1);
    tbl->segment = segment;
    segment[n] = aa_arena_alloc(tbl->memory, IDCOMPACT_SEGMENT * sizeof **segment);
    if (!segment[n]) return aa_fail(err, AA_ENOMEM, "segment of %u IDs", IDCOMPACT_SEGMENT);
    tbl->segment_count = n + 1;
    return AA_OK;
}

static aa_status
take_handle(idcompact *tbl, uint32_t *handle, aa_err *err)
{
    if (tbl->free_head != IDINDEX_NONE) {
        *handle = tbl->free_head;
        tbl->free_head = idcompact_at(tbl, *handle)->rest;
        return AA_OK;
    }
    if (tbl->end == IDINDEX_NONE - 1)
        return aa_fail(err, AA_ENOMEM, "%u IDs in one field", tbl->end);
    if (tbl->end == tbl->segment_count * IDCOMPACT_SEGMENT) {
        aa_status st = add_segment(tbl, err);
        if (st != AA_OK) return st;
    }
    *handle = tbl->end++;
    return AA_OK;
}

static void
give_handle(idcompact *tbl, uint32_t handle)
{
    *idcompact_at(tbl, handle) = (id_packed){.rest = tbl->free_head};
    tbl->free_head = handle;
}

aa_status
idcompact_insert(idcompact *tbl, uint64_t key, uint32_t *handle, aa_err *err)
{
    const uint64_t hash = idindex_hash(key);
    const id_view  fresh = {.position = 1, .slot = AA_NO_SLOT};
    aa_status      st = take_handle(tbl, handle, err);
    if (st != AA_OK) return st;
    st = idindex_put(&tbl->ix, (uint32_t)(hash >> 32), *handle, err);
    if (st != AA_OK) {
        give_handle(tbl, *handle);
        return st;
    }
    id_packed *e = idcompact_at(tbl, *handle);
    *e = (id_packed){.rest = (uint32_t)hash};
    idpack_put(e, &fresh, 0);
    return AA_OK;
}

void
idcompact_remove(idcompact *tbl, uint64_t key, uint32_t handle)
{
    const uint64_t hash = idindex_hash(key);
    AA_REQUIRE(handle < tbl->end && idcompact_at(tbl, handle)->rest == (uint32_t)hash);
    idindex_remove(&tbl->ix, (uint32_t)(hash >> 32), handle);
    give_handle(tbl, handle);
}

/* ---- entries ---- */

static uint32_t *
beside(const idcompact *tbl, uint32_t slot)
{
    return &tbl->beside[slot >> IDCOMPACT_SEGMENT_BITS][slot & (IDCOMPACT_SEGMENT - 1)];
}

static aa_status
make_beside(idcompact *tbl, uint32_t slot, aa_err *err)
{
    const size_t need = ((size_t)slot >> IDCOMPACT_SEGMENT_BITS) + 1;
    if (need <= tbl->beside_count) return AA_OK;
    uint32_t **grown = realloc(tbl->beside, need * sizeof(uint32_t *));
    if (!grown) return aa_fail(err, AA_ENOMEM, "%zu segments of slots", need);
    tbl->beside = grown;
    for (; tbl->beside_count < need; tbl->beside_count++) {
        uint32_t **at = &grown[tbl->beside_count];
        *at = aa_arena_alloc(tbl->memory, IDCOMPACT_SEGMENT * sizeof **at);
        if (!*at) return aa_fail(err, AA_ENOMEM, "segment of %u slots", IDCOMPACT_SEGMENT);
    }
    return AA_OK;
}

void
idcompact_get(const idcompact *tbl, uint32_t handle, uint64_t now, id_view *v)
{
    const id_packed *e = idcompact_at(tbl, handle);
    idpack_get(e, now, v);
    v->slot = idpack_holds(e) ? e->leans : AA_NO_SLOT;
    idpack_get_leans(idpack_holds(e) ? *beside(tbl, e->leans) : e->leans, v);
}

aa_status
idcompact_put(idcompact *tbl, uint32_t handle, const id_view *v, uint64_t bits, aa_err *err)
{
    id_packed *e = idcompact_at(tbl, handle);
    /* other bits than idpack_put's, which are used up */
    const uint32_t leans = idpack_leans(v, idindex_hash(bits) >> 32);
    if (v->slot != AA_NO_SLOT) {
        aa_status st = make_beside(tbl, v->slot, err);
        if (st != AA_OK) return st;
        *beside(tbl, v->slot) = leans;
    }
    idpack_put(e, v, bits);
    e->leans = v->slot != AA_NO_SLOT ? v->slot : leans;
    return AA_OK;
}

/* ---- walks ---- */

bool
idcompact_after(const idcompact *tbl, uint64_t *hash, uint64_t *key, uint32_t *handle)
{
    uint64_t best = 0;
    for (uint64_t i = idindex_seek(&tbl->ix, (uint32_t)(*hash >> 32)); i < tbl->ix.end; i++) {
        const uint64_t cell = tbl->ix.cell[i];
        if (cell == 0) continue;
        if (best != 0 && idindex_tag(cell) != best >> 32) break;
        /* cells of one tag are in the order in which they came, not in that of their rests */
        const uint32_t candidate = idindex_handle(cell);
        const uint64_t at = (uint64_t)idindex_tag(cell) << 32 | idcompact_at(tbl, candidate)->rest;
        if (at <= *hash || (best != 0 && at >= best)) continue;
        best = at;
        *handle = candidate;
    }
    if (best == 0) return false;
    *hash = best;
    *key = idindex_key(best);
    return true;
}

void
idcompact_age(idcompact *tbl, uint64_t now, uint32_t n)
{
    if (n > tbl->end) n = tbl->end;
    for (; n > 0; n--) {
        if (tbl->age_next >= tbl->end) tbl->age_next = 0;
        idpack_age(idcompact_at(tbl, tbl->age_next++), now);
    }
}

size_t
idcompact_bytes(const idcompact *tbl)
{
    return sizeof *tbl + idindex_bytes(&tbl->ix) +
           tbl->segment_count * IDCOMPACT_SEGMENT * sizeof(id_packed) +
           tbl->beside_count * IDCOMPACT_SEGMENT * sizeof(uint32_t);
}
