#define _DEFAULT_SOURCE /* madvise, anonymous maps */
#include "common/state/reserve.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; EINVAL before */
#endif

#define PAGE_BYTES ((size_t)4096)
#define HUGE_BYTES ((size_t)2 << 20)

static size_t
round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

aa_status
aa_reserve_init(aa_reserve *rs, size_t most_bytes, aa_err *err)
{
    *rs = (aa_reserve){0};
    for (size_t bytes = round_up(most_bytes, HUGE_BYTES); bytes >= HUGE_BYTES; bytes /= 2) {
        void *map = mmap(NULL, bytes + HUGE_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED) continue;
        const size_t skip = (HUGE_BYTES - (uintptr_t)map % HUGE_BYTES) % HUGE_BYTES;
        *rs = (aa_reserve){.start = (char *)map + skip, .map = map, .reserved = bytes};
        (void)madvise(rs->start, bytes, MADV_HUGEPAGE); /* small pages will do */
        return AA_OK;
    }
    return aa_fail(err, AA_ENOMEM, "addresses for %zu bytes", most_bytes);
}

void
aa_reserve_fini(aa_reserve *rs)
{
    if (rs->map) munmap(rs->map, rs->reserved + HUGE_BYTES);
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
    const size_t at = rs->ready / HUGE_BYTES * HUGE_BYTES;
    if (at < rs->ready && at + HUGE_BYTES <= bytes)
        (void)madvise(rs->start + at, HUGE_BYTES, MADV_COLLAPSE);
    rs->ready = bytes;
    return AA_OK;
}

bool
aa_reserve_tidy(aa_reserve *rs)
{
    /* EAGAIN, EBUSY: not now; it is no more than slower */
    if (rs->tidy_at + HUGE_BYTES <= rs->ready &&
        (madvise(rs->start + rs->tidy_at, HUGE_BYTES, MADV_COLLAPSE) == 0 || errno != EINVAL)) {
        rs->tidy_at += HUGE_BYTES;
        if (rs->tidy_at + HUGE_BYTES <= rs->ready) return true;
    }
    rs->tidy_at = 0;
    return false;
}
