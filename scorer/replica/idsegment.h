/* scorer/replica/idsegment - some hundred IDs of a map (scorer/replica/idmap): hash -> words.
 *
 * An entry is what is left of its hash, one word (shared reading) or three (own row), and the ID's
 * signals. Entries of
 * a kind stand side by side, without gaps, in order of their bin; a bin is a few bits of the hash.
 * So nothing is stored twice: the segment's number and the bin are the lower bits of the hash, the
 * entry holds all the others, and a match is exact.
 *
 *   hash = rest | bin | number of the segment (depth bits)
 *
 * The rest takes 48 bits in a map of 2048 segments (some 400,000 IDs) or more, else 64.
 * One updater changes entries under the segment's sequence lock; readers try again when it did.
 * A segment's room never changes: the map puts a copy in its place.
 */
#ifndef AA_SCORER_REPLICA_IDSEGMENT_H
#define AA_SCORER_REPLICA_IDSEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scorer/replica/idcode.h"
#include "scorer/replica/reclaim.h"
#include "scorer/replica/seqlock.h"

enum { IDSEGMENT_SHARED, IDSEGMENT_OWN, IDSEGMENT_KINDS };
enum { IDSEGMENT_BIN_BITS = 5, IDSEGMENT_BINS = 1 << IDSEGMENT_BIN_BITS };
enum { IDSEGMENT_MOST = 60000 }; /* entries of a kind */

typedef struct {
    reclaim_node node;
    seqlock      lock;
    uint8_t      depth;
    bool         narrow;    /* 48 bits of the rest are enough */
    bool         wide_ends; /* more than 255 entries of a kind */
    uint16_t     cap[IDSEGMENT_KINDS];
    uint16_t     data[]; /* of atomics: where each bin ends, then the entries: see idsegment.c */
} idsegment;

/* An entry as it is written and read. */
typedef struct {
    uint64_t hash;
    int      kind;
    uint32_t word[IDCODE_OWN_WORDS];
    uint16_t signal; /* common/model/signal */
} identry;

/** Empty, for cap[kind] entries of each kind. NULL: out of memory. */
idsegment *idsegment_new(unsigned depth, const size_t cap[IDSEGMENT_KINDS]);
size_t     idsegment_bytes(const idsegment *sg);

/** The entry of this hash. @thread a reader inside the reclaim; updater */
bool idsegment_get(idsegment *sg, uint64_t hash, identry *en);
void idsegment_prefetch(const idsegment *sg);
/** Where its entries of a kind would be: fetch that. */
void idsegment_prefetch_bin(idsegment *sg, uint64_t hash);

/* ---- @thread updater ---- */
size_t idsegment_count(const idsegment *sg, int kind);
/** Put en in the place of what has its hash. False: no room, nothing changed. */
bool idsegment_put(idsegment *sg, const identry *en);
/** False: it is not there. */
bool idsegment_remove(idsegment *sg, uint64_t hash);
/** Entries of one tag get another. */
void idsegment_retag(idsegment *sg, uint32_t tag, uint32_t becomes);

typedef void (*idsegment_visit)(void *arg, const identry *en);
/** Every entry; number is the segment's. */
void idsegment_each(idsegment *sg, uint64_t number, idsegment_visit visit, void *arg);
/** All entries of `from` into `to`, which is empty, of the same depth and not yet seen by readers.
 *  @pre there is room */
void idsegment_copy(idsegment *to, idsegment *from);
/** Those whose hash has this bit at from's depth; to is one deeper. */
void idsegment_copy_half(idsegment *to, idsegment *from, unsigned half);

#endif
