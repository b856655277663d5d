/* common/model/kernel - one source, several instruction sets.
 *
 * A function marked AA_KERNEL is compiled for AVX-512, AVX2 and plain x86-64; the loader picks one
 * when the program starts. Its arithmetic must not depend on which: every element of a
 * vector is an output of its own, sums have an order written in the source, and -ffp-contract=off
 * forbids fused multiply-add. Sanitizers, C libraries without ifunc and clang (whose version 14
 * leaves the symbol that other files call undefined) get the plain version only.
 */
#ifndef AA_COMMON_MODEL_KERNEL_H
#define AA_COMMON_MODEL_KERNEL_H

#include <stddef.h> /* defines __GLIBC__ where it is */
#include <stdlib.h>

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) &&                            \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define AA_KERNEL __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define AA_KERNEL
#endif

#endif
