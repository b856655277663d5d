/* tests/fuzz/fuzz - what every fuzz target shares: the names that libFuzzer calls and offers, and
 * files for parsers that read files.
 *
 * A target is a function of the input alone: the same bytes do the same again, or what was found
 * could not be shown once more by tests/fuzz/replay.c. */
#ifndef AA_TESTS_FUZZ_FUZZ_H
#define AA_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/status.h"

/** Runs one input; ends the process when something is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** libFuzzer's own mutations; replay.c has one that is never called. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/** Now and then, by the seed, begin anew from this valid input, which takes the place of seed files.
 *  @return the length of the next input */
static inline size_t
fuzz_anew(uint8_t *data, size_t size, size_t max_size, unsigned seed, const char *valid, size_t len)
{
    if ((size > 1 && seed % 16) || len > max_size) return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, valid, len);
    return len;
}

/* Bytes taken off the front of an input. */
typedef struct {
    const uint8_t *at;
    size_t         left;
} fuzz_bytes;

/** The next byte; 0 when there is none. */
static inline uint8_t
fuzz_byte(fuzz_bytes *in)
{
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

/** The next len bytes, or as many as there are (*got). */
static inline const uint8_t *
fuzz_take(fuzz_bytes *in, size_t len, size_t *got)
{
    const uint8_t *from = in->at;
    *got = len < in->left ? len : in->left;
    in->at += *got;
    in->left -= *got;
    return from;
}

/** A new folder, in memory where the machine has /dev/shm; fuzz_folder_remove removes it. */
static inline void
fuzz_folder_make(char path[64])
{
    snprintf(path, 64, "%s/aa-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    AA_REQUIRE(mkdtemp(path) != NULL);
}

/** folder/name with these bytes. */
static inline void
fuzz_file_write(const char *folder, const char *name, const void *data, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    AA_REQUIRE(f && (len == 0 || fwrite(data, 1, len, f) == len));
    AA_REQUIRE(fclose(f) == 0);
}

static inline void
fuzz_file_remove(const char *folder, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path); /* it need not be there */
}

#endif
