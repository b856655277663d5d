#include "learner/rows/collect.h"

#include <stdlib.h>
#include <string.h>

aa_status
collect_reserve(collect *co, size_t W, size_t cap, aa_err *err)
{
    AA_REQUIRE(co->count == 0 && cap < UINT32_MAX / 4);
    if (cap <= co->cap && W == co->W) return AA_OK;
    size_t places = 16;
    while (places < 2 * cap)
        places *= 2;
    collect_fini(co);
    co->slot = malloc(cap * sizeof *co->slot);
    co->g = malloc(cap * W * sizeof *co->g);
    co->place = calloc(places, sizeof *co->place);
    if (!co->slot || !co->g || !co->place) {
        collect_fini(co);
        return aa_fail(err, AA_ENOMEM, "gradients of %zu rows", cap);
    }
    co->W = W;
    co->cap = cap;
    co->mask = places - 1;
    return AA_OK;
}

void
collect_fini(collect *co)
{
    if (!co) return;
    free(co->slot);
    free(co->g);
    free(co->place);
    *co = (collect){0};
}

/* Where slot is, or the empty place where it would be. Multiplicative hashing, linear probing. */
static uint32_t *
find_cell(const collect *co, uint32_t slot)
{
    size_t h = (slot * 0x9E3779B1u >> 7) & co->mask;
    while (co->place[h] != 0 && co->slot[co->place[h] - 1] != slot)
        h = (h + 1) & co->mask;
    return &co->place[h];
}

float *
collect_at(collect *co, uint32_t slot)
{
    uint32_t *place = find_cell(co, slot);
    if (*place == 0) {
        AA_REQUIRE(co->count < co->cap);
        co->slot[co->count] = slot;
        memset(co->g + co->count * co->W, 0, co->W * sizeof *co->g);
        *place = (uint32_t)++co->count;
    }
    return co->g + (size_t)(*place - 1) * co->W;
}

void
collect_clear(collect *co)
{
    /* backwards: whoever was probed past is still there, so each slot is found */
    for (; co->count > 0; co->count--)
        *find_cell(co, co->slot[co->count - 1]) = 0;
}
