/* common/state/hugepage - what arena and reserve have in common: maps that begin where a huge page
 * does, and pages made huge again. common/state/arena says why. Include after _DEFAULT_SOURCE.
 */
#ifndef AA_COMMON_STATE_HUGEPAGE_H
#define AA_COMMON_STATE_HUGEPAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; EINVAL before */
#endif

#define HUGEPAGE_BYTES ((size_t)2 << 20)

/* How much is mapped for so many bytes. */
static inline size_t
hugepage_map_bytes(size_t bytes)
{
    return bytes + HUGEPAGE_BYTES;
}

/* A map (owned) with room for so many bytes from *start on, which a huge page may begin at; NULL: no
 * memory. */
static inline char *
hugepage_map(size_t bytes, int prot, char **start)
{
    char *map = mmap(NULL, hugepage_map_bytes(bytes), prot,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) return NULL;
    *start = map + (HUGEPAGE_BYTES - (uintptr_t)map % HUGEPAGE_BYTES) % HUGEPAGE_BYTES;
    (void)madvise(*start, bytes, MADV_HUGEPAGE); /* small pages will do where there are none */
    return map;
}

/* One huge page of what is there. False: the system cannot. Not now (EAGAIN, EBUSY) is no failure:
 * it is no more than slower. */
static inline bool
hugepage_collapse(char *at)
{
    return madvise(at, HUGEPAGE_BYTES, MADV_COLLAPSE) == 0 || errno != EINVAL;
}

#endif
