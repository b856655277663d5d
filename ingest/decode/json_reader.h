/* ingest/decode/json_reader - reads one JSON object and keeps the values that were asked for.
 *
 * Everything else is passed over: it has to be JSON by its syntax, but what it holds is not looked
 * at. So a number of any size, a lone surrogate, a name that stands twice or bytes that are not
 * UTF-8 matter only in a value that is read. Memory is what json_reader_new takes, however large
 * the message; nesting is bounded by JSON_READER_DEPTH. No allocation while reading.
 *
 * Values are asked for by paths (ingest/decode/path). A member of the object itself whose name is a
 * whole path, dots and all, is found too.
 */
#ifndef AA_INGEST_DECODE_JSON_READER_H
#define AA_INGEST_DECODE_JSON_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "ingest/decode/picked.h"

#define JSON_READER_DEPTH  65536 /* objects and arrays within each other */
#define JSON_READER_DIGITS 1024  /* longer numerals are NaN */

typedef struct json_reader json_reader;

/** @param paths     (count) of the values to keep, all different; copied
 *  @param max_text  bytes of a string that are kept. @errors AA_ECONFIG a path; AA_ENOMEM */
aa_status json_reader_new(json_reader **out, const char *const *paths, size_t count,
                          size_t max_text, aa_err *err) __attribute__((warn_unused_result));
/** The same of members at the top, by their names as they stand. */
aa_status json_reader_names(json_reader **out, const char *const *names, size_t count,
                            size_t max_text, aa_err *err) __attribute__((warn_unused_result));
void      json_reader_free(json_reader **jr_p);

/** Read a message: one object, with blanks and a byte order mark before it and blanks behind.
 *  @return NULL; or what is wrong, in words: no JSON object, or what is to be kept stands twice. Then
 *          *at is the byte */
const char *json_reader_read(json_reader *jr, const void *buf, size_t len, size_t *at);
/** Value number i of the last message. */
const picked *json_reader_value_of(const json_reader *jr, size_t i);

/** Bytes before the first that is neither blank nor of a byte order mark at the front. */
size_t json_reader_blanks(const void *buf, size_t len);

#endif
