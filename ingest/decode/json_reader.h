/* ingest/decode/json_reader - reads one JSON object and keeps the members that were asked for.
 *
 * Everything else is passed over: it has to be JSON by its syntax, but what it holds is not looked
 * at. So a number of any size, a lone surrogate, a name that stands twice or bytes that are not
 * UTF-8 matter only in a member that is read. Memory is what json_reader_new takes, however large
 * the message; nesting is bounded by JSON_READER_DEPTH. No allocation while reading.
 *
 * Only members of the object itself are found, not those of objects within it: which name means
 * what is decided in one place, find_member.
 */
#ifndef AA_INGEST_DECODE_JSON_READER_H
#define AA_INGEST_DECODE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

#define JSON_READER_DEPTH  65536 /* objects and arrays within each other */
#define JSON_READER_DIGITS 1024  /* longer numerals are NaN */

typedef enum {
    JSON_READER_ABSENT,
    JSON_READER_NULL,
    JSON_READER_BOOL,
    JSON_READER_TEXT,
    JSON_READER_NO_TEXT, /* a string, but not of Unicode: see flaw */
    JSON_READER_INTEGER, /* -2^63 .. 2^64 - 1, written without fraction and exponent */
    JSON_READER_REAL,    /* any other number; infinite beyond double's range */
    JSON_READER_NESTED   /* an object or an array */
} json_reader_kind;

typedef struct {
    json_reader_kind kind;
    bool             truth;     /* BOOL */
    bool             negative;  /* INTEGER: -magnitude */
    uint64_t         magnitude; /* INTEGER */
    double           real;      /* INTEGER and REAL, correctly rounded */
    const char      *text; /* TEXT: UTF-8, may hold NUL; valid until the next message, which has to
                                   stay as long. INTEGER and REAL: the numeral */
    size_t           len;  /* of text. Above max_text only the length is true */
    const char      *flaw; /* NO_TEXT: in words */
} json_reader_value;

typedef struct json_reader json_reader;

/** @param names     (count) of the members to keep, all different; copied
 *  @param max_text  bytes of a string that are kept. @errors AA_ENOMEM */
aa_status json_reader_new(json_reader **out, const char *const *names, size_t count,
                          size_t max_text, aa_err *err) __attribute__((warn_unused_result));
void      json_reader_free(json_reader **jr_p);

/** Read a message: one object, with blanks and a byte order mark before it and blanks behind.
 *  @return NULL; or what is wrong, in words: no JSON object, or a member to keep stands twice. Then
 *          *at is the byte */
const char *json_reader_read(json_reader *jr, const void *buf, size_t len, size_t *at);
/** Member number i of the last message. */
const json_reader_value *json_reader_value_of(const json_reader *jr, size_t i);

/** Bytes before the first that is neither blank nor of a byte order mark at the front. */
size_t json_reader_blanks(const void *buf, size_t len);

#endif
