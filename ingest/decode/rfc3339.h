/* ingest/decode/rfc3339 - a time as text: 2026-03-01T12:00:00.25+01:00 (RFC 3339). */
#ifndef AA_INGEST_DECODE_RFC3339_H
#define AA_INGEST_DECODE_RFC3339_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Milliseconds since 1970; what is finer is cut off. T may be a blank or small, Z may be small;
 *  second 60 is the first of the next minute. false: it is no such time */
bool rfc3339_ms(const char *text, size_t len, int64_t *ms);

#endif
