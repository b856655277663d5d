#include "common/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
aa_status_name(aa_status s)
{
    switch (s) {
#define X(name, retriable, help)                                                                   \
    case name: return #name;
        AA_STATUS_MAP(X)
#undef X
    }
    return "AA_?";
}

int
aa_status_retriable(aa_status s)
{
    switch (s) {
#define X(name, retriable, help)                                                                   \
    case name: return retriable;
        AA_STATUS_MAP(X)
#undef X
    }
    return 0;
}

int
aa_status_exit_code(aa_status s)
{
    switch (s) {
    case AA_OK: return AA_EXIT_DONE;
    case AA_ECONFIG: return AA_EXIT_USAGE;
    case AA_ENOMEM: return AA_EXIT_MEMORY;
    default: return AA_EXIT_FAILED;
    }
}

/* What was wanted says little to who does not know that there was no memory for it. */
static void
say_memory(char *text, size_t size)
{
    static const char words[] = "out of memory";
    const size_t      shift = sizeof words + 1; /* and ": " for the end of the string */
    size_t            len = strlen(text);

    if (strncmp(text, words, sizeof words - 1) == 0) return;
    if (len > size - 1 - shift) len = size - 1 - shift;
    memmove(text + shift, text, len);
    text[shift + len] = '\0';
    memcpy(text, words, sizeof words - 1);
    memcpy(text + sizeof words - 1, ": ", 2);
}

#undef aa_fail
aa_status
aa_fail(aa_err *err, aa_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        if (code == AA_ENOMEM) say_memory(err->text, sizeof err->text);
    }
    return code;
}

_Noreturn void
aa_bug(const char *expr, const char *file, int line)
{
    fprintf(stderr, "lvl=fatal id=BUG at=%s:%d msg=\"%s\"\n", file, line, expr);
    abort();
}
