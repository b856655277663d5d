#include "common/model/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/service/enough.h"

#define LIBRARY "libopenblas.so.0"
enum {
    LIBRARY_BYTES = 64 << 20, /* of address space, those that it needs among them: 40 MiB */
    BUFFER_BYTES = 144 << 20  /* of each thread that computes: 128 MiB where it is largest */
};

/* Written once, by whoever is first. */
static struct {
    pthread_once_t once;
    aa_blas        functions;
    char           why[256]; /* it is not there */
} loaded = {.once = PTHREAD_ONCE_INIT};

static void
load_library(void)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    void *sgemm = library ? dlsym(library, "cblas_sgemm") : NULL;
    if (sgemm)
        memcpy(&loaded.functions.sgemm, &sgemm, sizeof sgemm);
    else
        snprintf(loaded.why, sizeof loaded.why, "%s", dlerror());
}

aa_status
aa_blas_open(size_t callers, aa_err *err)
{
    aa_status st = aa_enough_space(LIBRARY_BYTES + callers * BUFFER_BYTES, "OpenBLAS", err);
    if (st != AA_OK) return st;
    pthread_once(&loaded.once, load_library);
    return loaded.functions.sgemm ? AA_OK : aa_fail(err, AA_EIO, "OpenBLAS: %s", loaded.why);
}

const aa_blas *
aa_blas_get(void)
{
    pthread_once(&loaded.once, load_library);
    AA_REQUIRE(loaded.functions.sgemm);
    return &loaded.functions;
}
