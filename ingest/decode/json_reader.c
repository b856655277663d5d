/* Grammar: RFC 8259. The functions named take_* and pass_* move jr->at behind what they read and
 * return false, with jr->wrong set, when it is not there. */
#include "ingest/decode/json_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"

typedef unsigned char byte;

typedef struct {
    char  *name; /* (len) owned */
    size_t len;
    char  *text; /* (max_text) owned: a string with escapes, made plain */
} member;

struct json_reader {
    member            *mb;    /* (count) owned */
    json_reader_value *value; /* (count) owned */
    size_t             count, max_text, max_name;
    char              *name;                             /* (max_name) owned: a name with escapes */
    byte               in_object[JSON_READER_DEPTH / 8]; /* a bit per open bracket: { or [ */
    const byte        *at, *end;
    const char        *wrong;
    char               words[80]; /* wrong may point here */
};

aa_status
json_reader_new(json_reader **out, const char *const *names, size_t count, size_t max_text,
                aa_err *err)
{
    json_reader *jr = calloc(1, sizeof *jr);
    if (!jr) return aa_fail(err, AA_ENOMEM, "JSON reader");
    jr->max_text = max_text;
    jr->max_name = 1;
    jr->mb = calloc(count + 1, sizeof *jr->mb);
    jr->value = calloc(count + 1, sizeof *jr->value);
    bool whole = jr->mb && jr->value;
    for (; whole && jr->count < count; jr->count++) {
        member *mb = &jr->mb[jr->count];
        mb->len = strlen(names[jr->count]);
        mb->name = malloc(mb->len + 1);
        mb->text = malloc(max_text + 1);
        if (mb->name) memcpy(mb->name, names[jr->count], mb->len + 1);
        if (mb->len > jr->max_name) jr->max_name = mb->len;
        whole = mb->name && mb->text;
    }
    if (whole) jr->name = malloc(jr->max_name);
    if (!jr->name) {
        json_reader_free(&jr);
        return aa_fail(err, AA_ENOMEM, "JSON reader of %zu members", count);
    }
    *out = jr;
    return AA_OK;
}

void
json_reader_free(json_reader **jr_p)
{
    json_reader *jr = *jr_p;
    if (!jr) return;
    for (size_t i = 0; jr->mb && i < jr->count; i++) {
        free(jr->mb[i].name);
        free(jr->mb[i].text);
    }
    free(jr->mb);
    free(jr->value);
    free(jr->name);
    free(jr);
    *jr_p = NULL;
}

static bool
is_wrong(json_reader *jr, const char *what)
{
    jr->wrong = what;
    return false;
}

static bool
is_blank(byte c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
is_digit(byte c)
{
    return c >= '0' && c <= '9';
}

static void
pass_blanks(json_reader *jr)
{
    while (jr->at < jr->end && is_blank(*jr->at))
        jr->at++;
}

/* The byte at the front; 0 at the end (a NUL is no JSON either). */
static byte
front(const json_reader *jr)
{
    return jr->at < jr->end ? *jr->at : 0;
}

/* ---- strings ---- */

/* As it stands between its quotes. */
typedef struct {
    const byte *at;
    size_t      len;
    bool        escaped; /* it has a backslash */
} raw_string;

/* Four hexadecimal digits, or -1. */
static int32_t
hex4(const byte *s, const byte *end)
{
    int32_t value = 0;
    if (end - s < 4) return -1;
    for (int i = 0; i < 4; i++) {
        const byte c = s[i], letter = (byte)(c | 0x20);
        if (is_digit(c))
            value = value * 16 + (c - '0');
        else if (letter >= 'a' && letter <= 'f')
            value = value * 16 + (letter - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static bool
pass_escape(json_reader *jr)
{
    jr->at++; /* the backslash */
    const byte c = front(jr);
    if (c == 'u') {
        if (hex4(jr->at + 1, jr->end) < 0) return is_wrong(jr, "\\u without four digits");
        jr->at += 5;
        return true;
    }
    if (c == 0 || !strchr("\"\\/bfnrt", c)) return is_wrong(jr, "no such escape");
    jr->at++;
    return true;
}

static bool
take_string(json_reader *jr, raw_string *out)
{
    if (front(jr) != '"') return is_wrong(jr, "a string is missing");
    *out = (raw_string){.at = ++jr->at};
    while (jr->at < jr->end) {
        const byte c = *jr->at;
        if (c == '"') {
            out->len = (size_t)(jr->at++ - out->at);
            return true;
        }
        if (c < 0x20) return is_wrong(jr, "a control character in a string");
        if (c != '\\') {
            jr->at++;
            continue;
        }
        out->escaped = true;
        if (!pass_escape(jr)) return false;
    }
    return is_wrong(jr, "a string has no end");
}

/* Bytes that were written somewhere, as far as they fit. */
typedef struct {
    char  *out; /* (cap) */
    size_t len, cap;
} plain;

static void
put_byte(plain *pl, uint32_t c)
{
    if (pl->len < pl->cap) pl->out[pl->len] = (char)c;
    pl->len++;
}

static void
put_utf8(plain *pl, uint32_t c)
{
    if (c < 0x80) {
        put_byte(pl, c);
        return;
    }
    if (c < 0x800) {
        put_byte(pl, 0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            put_byte(pl, 0xE0 | c >> 12);
        } else {
            put_byte(pl, 0xF0 | c >> 18);
            put_byte(pl, 0x80 | (c >> 12 & 0x3F));
        }
        put_byte(pl, 0x80 | (c >> 6 & 0x3F));
    }
    put_byte(pl, 0x80 | (c & 0x3F));
}

/* \uXXXX at s, with its second half where there is one. @return bytes read; 0: a lone surrogate */
static size_t
unescape_unicode(plain *pl, const byte *s, const byte *end)
{
    const uint32_t c = (uint32_t)hex4(s + 2, end);
    if (c < 0xD800 || c > 0xDFFF) {
        put_utf8(pl, c);
        return 6;
    }
    const int32_t low = end - s >= 12 && s[6] == '\\' && s[7] == 'u' ? hex4(s + 8, end) : -1;
    if (c > 0xDBFF || low < 0xDC00 || low > 0xDFFF) return 0;
    put_utf8(pl, 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)low - 0xDC00));
    return 12;
}

/* @return NULL, or why it is no text; @pre take_string took it */
static const char *
unescape(plain *pl, const raw_string *rs)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const byte       *end = rs->at + rs->len;
    for (const byte *s = rs->at; s < end;) {
        size_t n = 2;
        if (*s != '\\') {
            n = aa_utf8_bytes(s, (size_t)(end - s));
            if (n == 0) return "not UTF-8";
            for (size_t i = 0; i < n; i++)
                put_byte(pl, s[i]);
        } else if (s[1] == 'u') {
            n = unescape_unicode(pl, s, end);
            if (n == 0) return "half of a surrogate pair";
        } else {
            put_byte(pl, (byte)to[strchr(from, s[1]) - from]);
        }
        s += n;
    }
    return NULL;
}

static bool
is_utf8(const byte *s, size_t len)
{
    for (size_t n; len > 0; s += n, len -= n) {
        n = aa_utf8_bytes(s, len);
        if (n == 0) return false;
    }
    return true;
}

static bool
take_text(json_reader *jr, size_t i)
{
    json_reader_value *va = &jr->value[i];
    raw_string         rs;
    if (!take_string(jr, &rs)) return false;
    va->kind = JSON_READER_TEXT;
    va->text = (const char *)rs.at;
    va->len = rs.len;
    if (rs.escaped) {
        plain pl = {.out = jr->mb[i].text, .cap = jr->max_text};
        va->flaw = unescape(&pl, &rs);
        va->text = pl.out;
        va->len = pl.len;
    } else if (!is_utf8(rs.at, rs.len)) {
        va->flaw = "not UTF-8";
    }
    if (va->flaw) va->kind = JSON_READER_NO_TEXT;
    return true;
}

/* ---- numbers ---- */

static size_t
pass_digits(json_reader *jr)
{
    const byte *from = jr->at;
    while (jr->at < jr->end && is_digit(*jr->at))
        jr->at++;
    return (size_t)(jr->at - from);
}

/* *whole: without fraction and exponent */
static bool
pass_number(json_reader *jr, bool *whole)
{
    *whole = true;
    if (front(jr) == '-') jr->at++;
    const bool zero = front(jr) == '0';
    size_t     digits = pass_digits(jr);
    if (digits == 0) return is_wrong(jr, "a value is missing");
    if (zero && digits > 1) return is_wrong(jr, "a number begins with 0");
    if (front(jr) == '.') {
        *whole = false;
        jr->at++;
        if (pass_digits(jr) == 0) return is_wrong(jr, "a number ends with its point");
    }
    if (front(jr) == 'e' || front(jr) == 'E') {
        *whole = false;
        jr->at++;
        if (front(jr) == '+' || front(jr) == '-') jr->at++;
        if (pass_digits(jr) == 0) return is_wrong(jr, "an exponent without digits");
    }
    return true;
}

/* The digits' value; false: more than 64 bits. */
static bool
magnitude_of(const byte *s, const byte *end, uint64_t *out)
{
    *out = 0;
    for (; s < end; s++) {
        const uint64_t digit = (uint64_t)(*s - '0');
        if (*out > (UINT64_MAX - digit) / 10) return false;
        *out = *out * 10 + digit;
    }
    return true;
}

static double
real_of(const byte *s, size_t len)
{
    char numeral[JSON_READER_DIGITS + 1];
    if (len > JSON_READER_DIGITS) return (double)NAN;
    memcpy(numeral, s, len);
    numeral[len] = '\0';
    return strtod(numeral, NULL);
}

static bool
take_number(json_reader *jr, json_reader_value *va)
{
    const byte *from = jr->at;
    bool        whole;
    if (!pass_number(jr, &whole)) return false;
    va->negative = *from == '-';
    va->text = (const char *)from;
    va->len = (size_t)(jr->at - from);
    if (whole && magnitude_of(from + va->negative, jr->at, &va->magnitude) &&
        (!va->negative || va->magnitude <= (uint64_t)1 << 63)) {
        va->kind = JSON_READER_INTEGER;
        va->real = va->negative ? -(double)va->magnitude : (double)va->magnitude;
        return true;
    }
    va->kind = JSON_READER_REAL;
    va->real = real_of(from, va->len);
    return true;
}

/* ---- what nobody asked for ---- */

static bool
pass_word(json_reader *jr, const char *word)
{
    const size_t len = strlen(word);
    if ((size_t)(jr->end - jr->at) < len || memcmp(jr->at, word, len) != 0)
        return is_wrong(jr, "a value is missing");
    jr->at += len;
    return true;
}

/* A value that is neither an object nor an array. */
static bool
pass_scalar(json_reader *jr)
{
    raw_string rs;
    bool       whole;
    switch (front(jr)) {
    case '"': return take_string(jr, &rs);
    case 't': return pass_word(jr, "true");
    case 'f': return pass_word(jr, "false");
    case 'n': return pass_word(jr, "null");
    default: return pass_number(jr, &whole);
    }
}

/* A name and its colon. */
static bool
take_name(json_reader *jr, raw_string *name)
{
    if (!take_string(jr, name)) return false;
    pass_blanks(jr);
    if (front(jr) != ':') return is_wrong(jr, "a colon is missing");
    jr->at++;
    pass_blanks(jr);
    return true;
}

static bool
in_object(const json_reader *jr, size_t depth)
{
    return jr->in_object[(depth - 1) / 8] >> (depth - 1) % 8 & 1;
}

/* Behind { or [: *depth grows, unless the bracket closes at once. */
static bool
pass_opening(json_reader *jr, size_t *depth)
{
    const bool object = *jr->at++ == '{';
    const byte bit = (byte)(1u << *depth % 8);
    pass_blanks(jr);
    if (front(jr) == (object ? '}' : ']')) {
        jr->at++;
        return true;
    }
    if (*depth == JSON_READER_DEPTH) return is_wrong(jr, "nested too deep");
    if (object)
        jr->in_object[*depth / 8] |= bit;
    else
        jr->in_object[*depth / 8] &= (byte)~bit;
    ++*depth;
    return true;
}

/* After a value: close what closes. *depth > 0 then: a comma was passed, another value follows. */
static bool
pass_closings(json_reader *jr, size_t *depth)
{
    while (*depth > 0) {
        pass_blanks(jr);
        const byte c = front(jr);
        if (c == ',') {
            jr->at++;
            pass_blanks(jr);
            return true;
        }
        if (c != (in_object(jr, *depth) ? '}' : ']'))
            return is_wrong(jr, "a comma or a closing bracket is missing");
        jr->at++;
        --*depth;
    }
    return true;
}

/* Any value. Not recursive: the message's nesting is kept in jr->in_object. */
static bool
pass_value(json_reader *jr)
{
    size_t     depth = 0;
    raw_string name;
    do {
        if (depth > 0 && in_object(jr, depth) && !take_name(jr, &name)) return false;
        const byte c = front(jr);
        if (c != '{' && c != '[') {
            if (!pass_scalar(jr)) return false;
        } else {
            const size_t before = depth;
            if (!pass_opening(jr, &depth)) return false;
            if (depth > before) continue;
        }
        if (!pass_closings(jr, &depth)) return false;
    } while (depth > 0);
    return true;
}

/* ---- the object ---- */

/* Whose name it is; jr->count: nobody's. */
static size_t
find_member(json_reader *jr, const raw_string *rs)
{
    const char *name = (const char *)rs->at;
    size_t      len = rs->len, i = 0;
    if (rs->escaped) {
        plain pl = {.out = jr->name, .cap = jr->max_name};
        if (unescape(&pl, rs)) return jr->count;
        name = pl.out;
        len = pl.len;
    }
    while (i < jr->count && (jr->mb[i].len != len || memcmp(jr->mb[i].name, name, len) != 0))
        i++;
    return i;
}

static bool
take_value(json_reader *jr, size_t i)
{
    json_reader_value *va = &jr->value[i];
    switch (front(jr)) {
    case '"': return take_text(jr, i);
    case '{':
    case '[': va->kind = JSON_READER_NESTED; return pass_value(jr);
    case 'n': va->kind = JSON_READER_NULL; return pass_word(jr, "null");
    case 't':
    case 'f':
        va->kind = JSON_READER_BOOL;
        va->truth = front(jr) == 't';
        return pass_scalar(jr);
    default: return take_number(jr, va);
    }
}

static bool
take_member(json_reader *jr)
{
    raw_string name;
    if (!take_name(jr, &name)) return false;
    const size_t i = find_member(jr, &name);
    if (i == jr->count) return pass_value(jr);
    if (jr->value[i].kind != JSON_READER_ABSENT) {
        jr->at = name.at;
        snprintf(jr->words, sizeof jr->words, "%.60s stands twice", jr->mb[i].name);
        return is_wrong(jr, jr->words);
    }
    return take_value(jr, i);
}

static bool
take_object(json_reader *jr)
{
    if (front(jr) != '{') return is_wrong(jr, "not a JSON object");
    jr->at++;
    pass_blanks(jr);
    if (front(jr) == '}') {
        jr->at++;
        return true;
    }
    for (;;) {
        if (!take_member(jr)) return false;
        pass_blanks(jr);
        const byte c = front(jr);
        if (c != ',' && c != '}') return is_wrong(jr, "a comma or a closing bracket is missing");
        jr->at++;
        if (c == '}') return true;
        pass_blanks(jr);
    }
}

size_t
json_reader_blanks(const void *buf, size_t len)
{
    const byte *s = buf;
    size_t      n = aa_utf8_mark(s, len);
    while (n < len && is_blank(s[n]))
        n++;
    return n;
}

const char *
json_reader_read(json_reader *jr, const void *buf, size_t len, size_t *at)
{
    for (size_t i = 0; i < jr->count; i++)
        jr->value[i] = (json_reader_value){.kind = JSON_READER_ABSENT};
    jr->wrong = NULL;
    jr->at = (const byte *)buf + json_reader_blanks(buf, len);
    jr->end = (const byte *)buf + len;
    if (take_object(jr)) {
        pass_blanks(jr);
        if (jr->at < jr->end) jr->wrong = "something follows the object";
    }
    *at = (size_t)(jr->at - (const byte *)buf);
    return jr->wrong;
}

const json_reader_value *
json_reader_value_of(const json_reader *jr, size_t i)
{
    AA_REQUIRE(i < jr->count);
    return &jr->value[i];
}
