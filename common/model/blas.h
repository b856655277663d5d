/* common/model/blas - OpenBLAS, loaded when the program runs rather than by its start.
 *
 * Linked, it starts a thread per core before main(): where that is not allowed it ends the process
 * by SIGINT, and where there is too little address space for its buffers it waits for ever, deaf to
 * SIGTERM. Loaded by us it gets one thread, the caller's, and what it needs is tried first.
 */
#ifndef AA_COMMON_MODEL_BLAS_H
#define AA_COMMON_MODEL_BLAS_H

#include <stddef.h>

#include <cblas.h>
#undef I /* complex.h, by way of cblas.h */

#include "common/base/status.h"

typedef struct {
    __typeof__(cblas_sgemm) *sgemm;
} aa_blas;

/**
 * Load it, if that has not been done, and see whether `callers` threads can compute at a time.
 * Sets OPENBLAS_NUM_THREADS for this process: call it before other threads read the environment.
 * @errors AA_EIO it is not installed; AA_ENOMEM too little address space for it and its buffers
 */
aa_status aa_blas_open(size_t callers, aa_err *err) __attribute__((warn_unused_result));

/** Its functions; loads it if need be. A program that has not opened it and does not find it ends.
 *  @thread any */
const aa_blas *aa_blas_get(void);

#endif
