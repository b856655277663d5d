/* common/state/checkpoint_format - the bytes of a checkpoint file, shared by its writer and its
 * reader.
 *
 *   ckpt_head, then per section:
 *     ckpt_section, bytes, zeros up to 8 bytes before a multiple of 64, XXH3-64 of the bytes
 *   then ckpt_end.
 *
 * Everything starts at a multiple of 64, so mapped sections can be read as arrays. Numbers are
 * little-endian, as x86-64 has them; another byte order sees a wrong format version. Each head has
 * a digest of its own, so that a damaged length is never followed; ckpt_end.digest covers every
 * byte of the file before it, padding included.
 */
#ifndef AA_COMMON_STATE_CHECKPOINT_FORMAT_H
#define AA_COMMON_STATE_CHECKPOINT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include <xxhash.h>

#include "common/state/checkpoint.h"

#define CKPT_ALIGN     64u
#define CKPT_MAGIC     "AACKPT\x1a\n"
#define CKPT_END_MAGIC "AACKEND\n"

typedef struct {
    char     magic[8];
    uint32_t format_version, lane;
    uint64_t epoch, config_digest;
    char     process[32];
    char     pipeline[AA_CONF_STR];
    uint64_t zero[7];
    uint64_t digest; /* of all above */
} ckpt_head;

typedef struct {
    char     name[AA_CKPT_NAME_BYTES];
    uint64_t len_bytes;
    uint64_t index;  /* 0, 1, 2, ... */
    uint64_t digest; /* of all above */
} ckpt_section;

typedef struct {
    char     magic[8];
    uint64_t section_count, file_bytes;
    uint64_t zero[4];
    uint64_t digest; /* of the whole file up to here */
} ckpt_end;

_Static_assert(sizeof(ckpt_head) == 384, "layout");
_Static_assert(sizeof(ckpt_section) == 64, "layout");
_Static_assert(sizeof(ckpt_end) == 64, "layout");

/* The checksum of bytes in a checkpoint. The writer has its running form (checkpoint.c). Another
 * checksum needs another AA_CKPT_FORMAT_VERSION. */
static inline uint64_t
ckpt_digest(const void *data, size_t len_bytes)
{
    return XXH3_64bits(data, len_bytes);
}

/* Zeros between a section's bytes and their digest. */
static inline size_t
ckpt_padding(uint64_t len_bytes)
{
    return (size_t)((CKPT_ALIGN - (len_bytes + sizeof(uint64_t)) % CKPT_ALIGN) % CKPT_ALIGN);
}

#endif
