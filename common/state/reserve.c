#define _DEFAULT_SOURCE /* madvise, anonymous maps */
#include "common/state/reserve.h"

#include <errno.h>
#include <string.h>

#include "common/state/hugepage.h"

#define PAGE_BYTES ((size_t)4096)

static size_t
round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

aa_status
aa_reserve_init(aa_reserve *rs, size_t most_bytes, aa_err *err)
{
    *rs = (aa_reserve){0};
    for (size_t bytes = round_up(most_bytes, HUGEPAGE_BYTES); bytes >= HUGEPAGE_BYTES; bytes /= 2) {
        rs->map = hugepage_map(bytes, PROT_NONE, &rs->start);
        if (!rs->map) continue;
        rs->reserved = bytes;
        return AA_OK;
    }
    return aa_fail(err, AA_ENOMEM, "addresses for %zu bytes", most_bytes);
}

void
aa_reserve_fini(aa_reserve *rs)
{
    if (rs->map) munmap(rs->map, hugepage_map_bytes(rs->reserved));
    *rs = (aa_reserve){0};
}

aa_status
aa_reserve_grow(aa_reserve *rs, size_t bytes, aa_err *err)
{
    if (bytes <= rs->ready) return AA_OK;
    if (bytes > rs->reserved)
        return aa_fail(err, AA_ENOMEM, "%zu bytes, of %zu reserved addresses", bytes, rs->reserved);
    bytes = round_up(bytes + bytes / 64, PAGE_BYTES);
    if (bytes > rs->reserved) bytes = rs->reserved;
    if (mprotect(rs->start, bytes, PROT_READ | PROT_WRITE) != 0)
        return aa_fail(err, AA_ENOMEM, "%zu bytes: %s", bytes, strerror(errno));
    /* small pages, where they are enough for a huge one by now; what is new becomes one at once */
    const size_t at = rs->ready / HUGEPAGE_BYTES * HUGEPAGE_BYTES;
    if (at < rs->ready && at + HUGEPAGE_BYTES <= bytes) (void)hugepage_collapse(rs->start + at);
    rs->ready = bytes;
    return AA_OK;
}

bool
aa_reserve_tidy(aa_reserve *rs)
{
    if (rs->tidy_at + HUGEPAGE_BYTES <= rs->ready && hugepage_collapse(rs->start + rs->tidy_at)) {
        rs->tidy_at += HUGEPAGE_BYTES;
        if (rs->tidy_at + HUGEPAGE_BYTES <= rs->ready) return true;
    }
    rs->tidy_at = 0;
    return false;
}
