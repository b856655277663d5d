#define _DEFAULT_SOURCE /* madvise, anonymous maps */
#include "assigner/field/idindex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_CELLS  1024u
#define MOVE_PER_PUT 12u
#define SPARE        64u /* cells behind the last home that are always ready */
#define STEP_BYTES   ((size_t)2 << 20)
#define ALL_TAGS     (UINT64_C(1) << 32)
/* 2^32 cells at full load; where addresses are scarce a half, and so on */
#define MOST_BYTES (UINT64_C(6) << 33)

/* ---- memory ---- */

/* `cells` cells and some spare ones can be written. */
static aa_status
make_ready(idindex *ix, uint64_t cells, aa_err *err)
{
    if (cells + SPARE <= ix->ready) return AA_OK;
    uint64_t bytes = (cells + 2 * (uint64_t)SPARE) * sizeof *ix->cell;
    /* pages at first, so that a small index is small; then huge ones */
    const uint64_t step = bytes < STEP_BYTES ? 4096 : STEP_BYTES;
    bytes = (bytes + step - 1) / step * step;
    if (bytes > ix->reserved || mprotect(ix->cell, bytes, PROT_READ | PROT_WRITE) != 0)
        return aa_fail(err, AA_ENOMEM, "index of %llu IDs: %s", (unsigned long long)ix->count,
                       bytes > ix->reserved ? "no addresses left" : strerror(errno));
    ix->ready = bytes / sizeof *ix->cell;
    return AA_OK;
}

aa_status
idindex_init(idindex *ix, aa_err *err)
{
    *ix = (idindex){.size = FIRST_CELLS, .next = FIRST_CELLS, .frontier = ALL_TAGS};
    for (ix->reserved = MOST_BYTES; ix->reserved >= STEP_BYTES; ix->reserved /= 2) {
        ix->map = mmap(NULL, ix->reserved + STEP_BYTES, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (ix->map == MAP_FAILED) continue;
        char *start = (char *)ix->map;
        start += (STEP_BYTES - (uintptr_t)start % STEP_BYTES) % STEP_BYTES;
        ix->cell = (uint64_t *)(void *)start;
        (void)madvise(start, ix->reserved, MADV_HUGEPAGE); /* small pages will do */
        return make_ready(ix, ix->size, err);
    }
    ix->map = NULL;
    return aa_fail(err, AA_ENOMEM, "addresses for an index of IDs");
}

void
idindex_fini(idindex *ix)
{
    if (ix->map) munmap(ix->map, ix->reserved + STEP_BYTES);
    *ix = (idindex){0};
}

size_t
idindex_bytes(const idindex *ix)
{
    return ix->ready * sizeof *ix->cell;
}

/* ---- cells ---- */

/* Before the first cell with a greater tag; the cells from there to the next gap make room. */
static aa_status
place_cell(idindex *ix, uint64_t cell, aa_err *err)
{
    const uint32_t tag = idindex_tag(cell);
    uint64_t       i = idindex_home(ix, tag);
    while (ix->cell[i] != 0 && idindex_tag(ix->cell[i]) <= tag)
        i++;
    uint64_t gap = i;
    while (ix->cell[gap] != 0)
        gap++;
    aa_status st = make_ready(ix, gap + 1, err); /* so that a run always ends at an empty cell */
    if (st != AA_OK) return st;
    memmove(&ix->cell[i + 1], &ix->cell[i], (gap - i) * sizeof *ix->cell);
    ix->cell[i] = cell;
    if (ix->end <= gap) ix->end = gap + 1;
    if (tag < ix->frontier && ix->from <= gap) ix->from = gap + 1;
    return AA_OK;
}

/* Cells first .. first+count-1 go; those behind them that are not at home move up. */
static void
take_out(idindex *ix, uint64_t first, uint64_t count)
{
    uint64_t to = first;
    memset(&ix->cell[first], 0, count * sizeof *ix->cell);
    for (uint64_t i = first + count; ix->cell[i] != 0; i++) {
        const uint64_t cell = ix->cell[i], least = idindex_home(ix, idindex_tag(cell));
        if (least == i) return;
        if (to < least) to = least;
        ix->cell[i] = 0;
        ix->cell[to++] = cell;
    }
}

/* ---- growth ---- */

#define FEW 64u

/* All cells of the greatest tag below the frontier go to their new home: one, but for chance. */
static aa_status
move_last(idindex *ix, uint64_t *moved, aa_err *err)
{
    while (ix->from > 0 &&
           (ix->cell[ix->from - 1] == 0 || idindex_tag(ix->cell[ix->from - 1]) >= ix->frontier))
        ix->from--;
    if (ix->from == 0) {
        ix->size = ix->next;
        ix->frontier = ALL_TAGS;
        return AA_OK;
    }
    const uint32_t tag = idindex_tag(ix->cell[ix->from - 1]);
    uint64_t       first = ix->from - 1, few[FEW], *cells = few;
    while (first > 0 && ix->cell[first - 1] != 0 && idindex_tag(ix->cell[first - 1]) == tag)
        first--;
    const uint64_t count = ix->from - first;
    if (count > FEW) cells = malloc(count * sizeof *cells);
    if (!cells) return aa_fail(err, AA_ENOMEM, "%llu IDs alike", (unsigned long long)count);
    memcpy(cells, &ix->cell[first], count * sizeof *cells);
    take_out(ix, first, count);
    ix->frontier = tag;
    ix->from = first;
    aa_status st = AA_OK;
    for (uint64_t n = 0; st == AA_OK && n < count; n++)
        st = place_cell(ix, cells[n], err);
    if (cells != few) free(cells);
    *moved += count;
    return st;
}

/* Begins to grow when it is full, and goes on with it. An eighth more of the homes means that each
 * put has to move eight cells; it moves some more. */
static aa_status
grow(idindex *ix, aa_err *err)
{
    aa_status st = AA_OK;
    if (ix->next == ix->size && ix->count >= ix->size / 100 * 85) {
        const uint64_t next = (ix->size + ix->size / 8) / IDINDEX_LINE * IDINDEX_LINE;
        st = make_ready(ix, next, err);
        if (st != AA_OK) return st;
        ix->next = next;
        ix->from = ix->end;
    }
    for (uint64_t moved = 0; st == AA_OK && moved < MOVE_PER_PUT && ix->next != ix->size;)
        st = move_last(ix, &moved, err);
    return st;
}

aa_status
idindex_put(idindex *ix, uint32_t tag, uint32_t handle, aa_err *err)
{
    aa_status st = grow(ix, err);
    if (st == AA_OK) st = place_cell(ix, (uint64_t)tag << 32 | (handle + 1), err);
    if (st == AA_OK) ix->count++;
    return st;
}

void
idindex_remove(idindex *ix, uint32_t tag, uint32_t handle)
{
    uint64_t i = idindex_seek(ix, tag);
    while (ix->cell[i] != ((uint64_t)tag << 32 | (handle + 1))) {
        AA_REQUIRE(ix->cell[i] != 0 && idindex_tag(ix->cell[i]) == tag);
        i++;
    }
    take_out(ix, i, 1);
    ix->count--;
}

void
idindex_check(const idindex *ix)
{
    uint64_t count = 0, gap = UINT64_MAX; /* the last empty cell */
    uint32_t last = 0;
    for (uint64_t i = 0; i < ix->ready; i++) {
        if (ix->cell[i] == 0) {
            gap = i;
            continue;
        }
        const uint32_t tag = idindex_tag(ix->cell[i]);
        const uint64_t at = idindex_home(ix, tag);
        AA_REQUIRE(tag >= last && at <= i && (gap == UINT64_MAX || gap < at));
        AA_REQUIRE(i < ix->end && (tag >= ix->frontier || i < ix->from || ix->next == ix->size));
        last = tag;
        count++;
    }
    AA_REQUIRE(count == ix->count && ix->cell[ix->ready - 1] == 0);
}
