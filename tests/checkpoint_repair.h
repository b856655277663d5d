/* tests/checkpoint_repair - make a damaged checkpoint file's digests right, so that a fuzzer gets
 * past them and meets the checks behind. */
#ifndef AA_TESTS_CHECKPOINT_REPAIR_H
#define AA_TESTS_CHECKPOINT_REPAIR_H

#include <stdint.h>
#include <string.h>

#include "common/state/checkpoint_format.h"

static inline void
repair_digest(uint8_t *digest_at, const uint8_t *from, size_t len)
{
    uint64_t digest = ckpt_digest(from, len);
    memcpy(digest_at, &digest, sizeof digest);
}

/* Magic numbers, version and digests, along the lengths that are there. */
static inline void
repair_checkpoint(uint8_t *data, size_t size)
{
    const uint32_t version = AA_CKPT_FORMAT_VERSION;
    if (size < sizeof(ckpt_head) + sizeof(ckpt_end)) return;
    memcpy(data, CKPT_MAGIC, 8);
    memcpy(data + offsetof(ckpt_head, format_version), &version, sizeof version);
    repair_digest(data + offsetof(ckpt_head, digest), data, offsetof(ckpt_head, digest));
    size_t at = sizeof(ckpt_head), stop = size - sizeof(ckpt_end);
    while (stop - at >= sizeof(ckpt_section)) {
        uint8_t     *h = data + at;
        ckpt_section section;
        repair_digest(h + offsetof(ckpt_section, digest), h, offsetof(ckpt_section, digest));
        memcpy(&section, h, sizeof section);
        at += sizeof section;
        size_t padding = ckpt_padding(section.len_bytes);
        if (section.len_bytes > stop - at || stop - at - section.len_bytes < padding + 8) break;
        size_t len = (size_t)section.len_bytes;
        repair_digest(data + at + len + padding, data + at, len);
        at += len + padding + 8;
    }
    memcpy(data + stop, CKPT_END_MAGIC, 8);
    repair_digest(data + size - 8, data, size - 8);
}

#endif
