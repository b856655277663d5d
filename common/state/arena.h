/* common/state/arena - memory of large tables, in huge pages where the system has them.
 *
 * A process that saves its state forks (common/state/snapshot), and a fork has to copy the page
 * tables: with pages of 4 KiB that takes tens of milliseconds for a gigabyte, with pages of 2 MiB
 * less than one. What is written to while the child lives is copied in small pages, so afterwards
 * aa_arena_tidy makes huge ones of them again, a piece at a time. Random access gains as well.
 *
 * Blocks are given out and never taken back; all memory goes at once.
 */
#ifndef AA_COMMON_STATE_ARENA_H
#define AA_COMMON_STATE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct aa_arena aa_arena;

/** NULL: no memory. */
aa_arena *aa_arena_new(void);
void      aa_arena_free(aa_arena **ar_p);
/** Zeroed, aligned to 64 bytes; NULL: no memory. */
void *aa_arena_alloc(aa_arena *ar, size_t bytes);
/** Make the next 2 MiB huge again (some milliseconds at most). False: that was the last piece, or
 *  the system cannot. @pre no child of a fork uses the memory, or it is copied for nothing */
bool aa_arena_tidy(aa_arena *ar);

#endif
