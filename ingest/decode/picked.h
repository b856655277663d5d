/* ingest/decode/picked - one value that was picked out of a message, as the message has it.
 *
 * Every format gives its values in this form. What they mean (an ID, a label, a time) is decided in
 * one place for all formats: decode_values. */
#ifndef AA_INGEST_DECODE_PICKED_H
#define AA_INGEST_DECODE_PICKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct path_node;

typedef enum {
    PICKED_ABSENT,
    PICKED_NULL,
    PICKED_BOOL,
    PICKED_TEXT,    /* an enum's symbol too */
    PICKED_NO_TEXT, /* a string, but not of Unicode: see flaw */
    PICKED_BYTES,
    PICKED_INTEGER, /* -2^63 .. 2^64 - 1; in JSON written without fraction and exponent */
    PICKED_REAL,    /* any other number; infinite beyond double's range */
    PICKED_DECIMAL, /* a number with exact digits: text, and real near it */
    PICKED_TIME,    /* a count of unit_ns since 1970: negative, magnitude */
    PICKED_NESTED   /* an object, a record, an array */
} picked_kind;

typedef struct {
    picked_kind kind;
    bool        truth;     /* BOOL */
    bool        negative;  /* INTEGER, TIME: -magnitude */
    uint64_t    magnitude; /* INTEGER, TIME */
    double      real;      /* INTEGER, REAL and DECIMAL, correctly rounded */
    const char *text;      /* TEXT: UTF-8, may hold NUL; BYTES; valid until the next message, which
                              has to stay as long. JSON's INTEGER and REAL, DECIMAL: the numeral;
                              NULL: it has none */
    size_t      len;       /* of text. Above the reader's max_text only the length is true */
    const char *flaw;      /* NO_TEXT, ABSENT: in words; NULL: nothing to say */
    int64_t     unit_ns;   /* TIME */

    const struct path_node *stop; /* ABSENT: the path led to this, which holds nothing within it */
    picked_kind             stop_kind;
} picked;

/** An INTEGER without a numeral. */
static inline picked
picked_integer(bool negative, uint64_t magnitude)
{
    return (picked){.kind = PICKED_INTEGER,
                    .negative = negative,
                    .magnitude = magnitude,
                    .real = negative ? -(double)magnitude : (double)magnitude};
}

static inline picked
picked_signed(int64_t n)
{
    return picked_integer(n < 0, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/** "text", "a number" and the like, for messages. */
const char *picked_words(picked_kind kind);

#endif
