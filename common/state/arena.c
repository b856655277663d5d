#define _DEFAULT_SOURCE /* madvise, anonymous maps */
#include "common/state/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/state/hugepage.h"

#define ALIGN      ((size_t)64)
#define MOST_BYTES ((size_t)64 << 20) /* of a region that grows by habit */

/* With AddressSanitizer every block is one of its own, so that it sees what oversteps. */
#if defined(__has_feature) /* clang, which builds the fuzz targets */
#if __has_feature(address_sanitizer)
#define SINGLE_BLOCKS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SINGLE_BLOCKS
#endif
#ifdef SINGLE_BLOCKS
enum { WHOLE_REGIONS = 0 };
#else
enum { WHOLE_REGIONS = 1 };
#endif

typedef struct {
    char  *map; /* owned, (map_bytes) */
    size_t map_bytes;
    char  *start; /* aligned to HUGEPAGE_BYTES */
    size_t used, bytes;
} region;

struct aa_arena {
    region *region; /* (count) owned */
    size_t  count;
    size_t  tidy_region, tidy_at; /* next piece to tidy */
};

aa_arena *
aa_arena_new(void)
{
    return calloc(1, sizeof(aa_arena));
}

void
aa_arena_free(aa_arena **ar_p)
{
    aa_arena *ar = *ar_p;
    if (!ar) return;
    for (size_t i = 0; i < ar->count; i++) {
        if (ar->region[i].map_bytes > 0)
            munmap(ar->region[i].map, ar->region[i].map_bytes);
        else
            free(ar->region[i].map);
    }
    free(ar->region);
    free(ar);
    *ar_p = NULL;
}

static bool
map_region(region *rg, size_t bytes)
{
    rg->map = hugepage_map(bytes, PROT_READ | PROT_WRITE, &rg->start);
    rg->map_bytes = hugepage_map_bytes(bytes);
    rg->bytes = bytes;
    return rg->map != NULL;
}

/* A region for at least so many bytes; NULL: no memory. */
static region *
add_region(aa_arena *ar, size_t least)
{
    const size_t last_bytes = ar->count > 0 ? ar->region[ar->count - 1].bytes : 0;
    region      *grown = realloc(ar->region, (ar->count + 1) * sizeof *grown);
    region       rg = {0};
    if (!grown) return NULL;
    ar->region = grown;
    if (WHOLE_REGIONS) {
        size_t bytes = last_bytes > 0 ? last_bytes * 2 : HUGEPAGE_BYTES;
        if (bytes > MOST_BYTES) bytes = MOST_BYTES;
        if (bytes < least) bytes = (least + HUGEPAGE_BYTES - 1) / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
        if (!map_region(&rg, bytes)) return NULL;
    } else {
        rg.map = aligned_alloc(ALIGN, least);
        if (!rg.map) return NULL;
        memset(rg.map, 0, least);
        rg.start = rg.map;
        rg.bytes = least;
    }
    ar->region[ar->count] = rg;
    return &ar->region[ar->count++];
}

void *
aa_arena_alloc(aa_arena *ar, size_t bytes)
{
    if (bytes == 0 || bytes > SIZE_MAX / 4) return NULL;
    const size_t need = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    region      *rg = ar->count > 0 ? &ar->region[ar->count - 1] : add_region(ar, need);
    if (rg && rg->bytes - rg->used < need) rg = add_region(ar, need);
    if (!rg) return NULL;
    void *block = rg->start + rg->used;
    rg->used += need;
    return block;
}

bool
aa_arena_tidy(aa_arena *ar)
{
    if (ar->tidy_region < ar->count && ar->region[ar->tidy_region].map_bytes > 0) {
        const region *rg = &ar->region[ar->tidy_region];
        if (ar->tidy_at < rg->used && !hugepage_collapse(rg->start + ar->tidy_at))
            ar->tidy_region = ar->count;
        ar->tidy_at += HUGEPAGE_BYTES;
        if (ar->tidy_at >= rg->used) {
            ar->tidy_at = 0;
            ar->tidy_region++;
        }
    }
    if (ar->tidy_region < ar->count && ar->region[ar->tidy_region].map_bytes > 0) return true;
    ar->tidy_region = ar->tidy_at = 0;
    return false;
}
