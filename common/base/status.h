/* common/base/status - the one error type of the pipeline.
 *
 * Every function that can fail returns an aa_status. Codes say what the caller
 * can do about it; aa_err says what happened, in words, with the values in it.
 */
#ifndef AA_COMMON_BASE_STATUS_H
#define AA_COMMON_BASE_STATUS_H

#include <stddef.h>

/* name, retriable?, what the caller does */
#define AA_STATUS_MAP(X)                                                                           \
    X(AA_OK, 0, "ok")                                                                              \
    X(AA_EAGAIN, 1, "nothing now, poll again")                                                     \
    X(AA_EFULL, 1, "downstream queue full, poll then retry")                                       \
    X(AA_EPARSE, 0, "bad record, count it and send to the dead letter topic")                      \
    X(AA_ECONFIG, 0, "bad configuration, exit 2")                                                  \
    X(AA_EIO, 1, "broker, socket or file trouble, back off")                                       \
    X(AA_ENOMEM, 0, "out of memory, exit 3")                                                       \
    X(AA_EDIVERGED, 0, "the model is not finite any more, exit 1")                                 \
    X(AA_EBUG, 0, "invariant broken, abort")

typedef enum {
#define X(name, retriable, help) name,
    AA_STATUS_MAP(X)
#undef X
} aa_status;

/* Caller-owned text buffer for one error. Zero-initialise with AA_ERR_INIT. */
typedef struct {
    aa_status code;
    char      text[256];
} aa_err;
#define AA_ERR_INIT                                                                                \
    {                                                                                              \
        AA_OK, ""                                                                                  \
    }

const char *aa_status_name(aa_status s);
int         aa_status_retriable(aa_status s);

/* Exit codes of every program; operators' scripts rely on them. */
enum { AA_EXIT_DONE = 0, AA_EXIT_FAILED = 1, AA_EXIT_USAGE = 2, AA_EXIT_MEMORY = 3 };
/* What a program that ends with s exits with. */
int aa_status_exit_code(aa_status s);

/* Fill err (may be NULL), return code, so that `return aa_fail(...)` reads as one step. */
aa_status aa_fail(aa_err *err, aa_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ /* it sees one file at a time: what is returned is code, which is not AA_OK */
#define aa_fail(err, code, ...) ((void)aa_fail(err, code, __VA_ARGS__), (code))
#endif

/* Programming errors only, never I/O or data. Active in every build. */
#define AA_REQUIRE(expr) ((expr) ? (void)0 : aa_bug(#expr, __FILE__, __LINE__))
_Noreturn void aa_bug(const char *expr, const char *file, int line);

#endif
