/* The checkpoint reader. Digests would stop a fuzzer at the first byte it changes, so every input
 * is offered twice: as it is, and with its digests made right, which leaves lengths, counts, names
 * and padding for the reader to judge. */
#include "common/state/checkpoint.h"
#include "tests/checkpoint_repair.h"
#include "tests/fuzz/fuzz.h"

/* Read all that an accepted file claims to hold. */
static void
offer(const uint8_t *data, size_t size)
{
    aa_ckpt_reader *r = NULL;
    aa_ckpt_info    info;
    aa_err          err = AA_ERR_INIT;
    if (aa_ckpt_open_bytes(&r, data, size, &err) != AA_OK) {
        AA_REQUIRE(err.code == AA_EPARSE && err.text[0] && !r);
        return;
    }
    aa_ckpt_info_get(r, &info);
    AA_REQUIRE(info.file_bytes == size && info.section_count <= AA_CKPT_MAX_SECTIONS);
    for (size_t i = 0; i < info.section_count; i++) {
        const char *name;
        const void *bytes;
        size_t      len, got_len;
        uint64_t    digest;
        aa_ckpt_section_at(r, i, &name, &len, &digest);
        AA_REQUIRE(aa_ckpt_get(r, name, &bytes, &got_len, &err) == AA_OK && got_len == len);
        AA_REQUIRE(ckpt_digest(bytes, len) == digest);
    }
    aa_ckpt_close(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    offer(data, size);
    uint8_t *right = aligned_alloc(64, (size + 64) / 64 * 64);
    if (!right) return 0;
    memcpy(right, data, size);
    repair_checkpoint(right, size);
    offer(right, size);
    free(right);
    return 0;
}

/* Now and then begin anew from a valid file of a few sections,
 * which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if ((size > 1 && seed % 16) || max_size < 2048) return LLVMFuzzerMutate(data, size, max_size);
    size_t at = sizeof(ckpt_head), count = seed / 16 % 4;
    memset(data, 0, 2048);
    memcpy(data + offsetof(ckpt_head, process), "learner", 7);
    for (size_t i = 0; i < count; i++) {
        ckpt_section section = {
            .name = {'s', (char)('a' + i)}, .len_bytes = (seed >> (8 + 4 * i)) % 200, .index = i};
        memcpy(data + at, &section, sizeof section);
        at += sizeof section + section.len_bytes + ckpt_padding(section.len_bytes) + 8;
    }
    ckpt_end end = {.section_count = count, .file_bytes = at + sizeof end};
    memcpy(data + at, &end, sizeof end);
    repair_checkpoint(data, at + sizeof end);
    return at + sizeof end;
}
