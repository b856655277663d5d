/* scorer/keyset - a set of keys that is filled for one request and asked for each candidate.
 *
 * Open addressing with at most half of the places taken. Its memory is kept for the next request.
 */
#ifndef AA_SCORER_KEYSET_H
#define AA_SCORER_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *place; /* (cap) 0: free */
    size_t    cap;
    size_t    mask;  /* places in use, less one; 0: the set is empty */
    uint64_t  salt;  /* whoever picks the IDs cannot make them collide */
    unsigned  shift; /* of a mixed key, to its place */
} keyset;

/** Empty it, with room for n keys. False: out of memory; it is empty. */
bool keyset_begin(keyset *ks, size_t n);
/** @param key  not 0. @pre fewer than n are in */
void keyset_add(keyset *ks, uint64_t key);
void keyset_fini(keyset *ks);

static inline size_t
keyset_place(const keyset *ks, uint64_t key)
{
    return (size_t)(((key ^ ks->salt) * ks->salt) >> ks->shift);
}

static inline bool
keyset_has(const keyset *ks, uint64_t key)
{
    if (!ks->mask) return false;
    size_t i = keyset_place(ks, key);
    while (ks->place[i] && ks->place[i] != key)
        i = (i + 1) & ks->mask;
    return ks->place[i] != 0;
}

#endif
