/* common/base/hash - IDs to 64-bit keys, and digests of state (XXH3-64). */
#ifndef AA_COMMON_BASE_HASH_H
#define AA_COMMON_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/** Key of an ID given as text. Never 0. */
uint64_t aa_id_key(const void *text, size_t len_bytes);
/** Key of an integer ID: that of its decimal text, so 42 and "42" are the same ID. */
uint64_t aa_id_key_number(int64_t number);

/** Running digest: fold len_bytes of data into d. Start from 0. */
uint64_t aa_digest(uint64_t d, const void *data, size_t len_bytes);

#endif
