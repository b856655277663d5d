/* Grammar: RFC 8259. The functions named take_* and pass_* move jr->at behind what they read and
 * return false, with jr->wrong set, when it is not there. */
#include "ingest/decode/json_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "ingest/decode/path.h"

typedef unsigned char byte;

struct json_reader {
    path_tree  *pt;      /* owned */
    picked     *value;   /* (count) owned */
    char       *text;    /* (count,max_text) owned: strings with escapes, made plain */
    uint32_t   *met;     /* (node_count) owned: the last message in which a node was met */
    uint32_t    message; /* number of this one */
    size_t      count, max_text, max_name;
    char       *name;                             /* (max_name) owned: a name with escapes */
    byte        in_object[JSON_READER_DEPTH / 8]; /* a bit per open bracket: { or [ */
    const byte *at, *end;
    const char *wrong;
    char        words[80]; /* wrong may point here */
};

static aa_status
reserve_reader(json_reader *jr, aa_err *err)
{
    jr->max_name = 1;
    for (size_t i = 0; i < jr->count; i++)
        if (strlen(jr->pt->text[i]) > jr->max_name) jr->max_name = strlen(jr->pt->text[i]);
    jr->value = calloc(jr->count + 1, sizeof *jr->value);
    jr->met = calloc(jr->pt->node_count, sizeof *jr->met);
    jr->text = malloc(jr->count * jr->max_text + 1);
    jr->name = malloc(jr->max_name);
    if (jr->value && jr->met && jr->text && jr->name) return AA_OK;
    return aa_fail(err, AA_ENOMEM, "JSON reader of %zu values", jr->count);
}

static aa_status
make_reader(json_reader **out, path_tree **pt_p, size_t max_text, aa_err *err)
{
    aa_status    st = AA_OK;
    json_reader *jr = calloc(1, sizeof *jr);
    if (jr) {
        jr->pt = *pt_p;
        *pt_p = NULL;
        jr->max_text = max_text;
        jr->count = jr->pt->value_count;
        st = reserve_reader(jr, err);
    } else {
        st = aa_fail(err, AA_ENOMEM, "JSON reader");
    }
    path_tree_free(pt_p);
    if (st != AA_OK)
        json_reader_free(&jr);
    else
        *out = jr;
    return st;
}

aa_status
json_reader_new(json_reader **out, const char *const *paths, size_t count, size_t max_text,
                aa_err *err)
{
    path_tree *pt = NULL;
    aa_status  st = path_tree_new(&pt, paths, count, err);
    if (st == AA_OK) st = path_tree_whole_names(pt, err);
    if (st == AA_OK) return make_reader(out, &pt, max_text, err);
    path_tree_free(&pt);
    return st;
}

aa_status
json_reader_names(json_reader **out, const char *const *names, size_t count, size_t max_text,
                  aa_err *err)
{
    path_tree *pt = NULL;
    aa_status  st = path_tree_names(&pt, names, count, err);
    return st == AA_OK ? make_reader(out, &pt, max_text, err) : st;
}

void
json_reader_free(json_reader **jr_p)
{
    json_reader *jr = *jr_p;
    if (!jr) return;
    path_tree_free(&jr->pt);
    free(jr->value);
    free(jr->met);
    free(jr->text);
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
    picked    *va = &jr->value[i];
    raw_string rs;
    if (!take_string(jr, &rs)) return false;
    va->kind = PICKED_TEXT;
    va->text = (const char *)rs.at;
    va->len = rs.len;
    if (rs.escaped) {
        plain pl = {.out = jr->text + i * jr->max_text, .cap = jr->max_text};
        va->flaw = unescape(&pl, &rs);
        va->text = pl.out;
        va->len = pl.len;
    } else if (!is_utf8(rs.at, rs.len)) {
        va->flaw = "not UTF-8";
    }
    if (va->flaw) va->kind = PICKED_NO_TEXT;
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
take_number(json_reader *jr, picked *va)
{
    const byte *from = jr->at;
    bool        whole;
    if (!pass_number(jr, &whole)) return false;
    va->negative = *from == '-';
    va->text = (const char *)from;
    va->len = (size_t)(jr->at - from);
    if (whole && magnitude_of(from + va->negative, jr->at, &va->magnitude) &&
        (!va->negative || va->magnitude <= (uint64_t)1 << 63)) {
        va->kind = PICKED_INTEGER;
        va->real = va->negative ? -(double)va->magnitude : (double)va->magnitude;
        return true;
    }
    va->kind = PICKED_REAL;
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

/* ---- what somebody asked for ---- */

/* Which of a node's children has this name; NULL: none. */
static const path_node *
find_member(json_reader *jr, const path_node *pn, const raw_string *rs)
{
    if (!rs->escaped) return path_child(pn, rs->at, rs->len);
    plain pl = {.out = jr->name, .cap = jr->max_name};
    if (unescape(&pl, rs) || pl.len > pl.cap) return NULL;
    return path_child(pn, pl.out, pl.len);
}

/* A value that ends a path. */
static bool
take_value(json_reader *jr, size_t i)
{
    picked *va = &jr->value[i];
    switch (front(jr)) {
    case '"': return take_text(jr, i);
    case '{':
    case '[': va->kind = PICKED_NESTED; return pass_value(jr);
    case 'n': va->kind = PICKED_NULL; return pass_word(jr, "null");
    case 't':
    case 'f':
        va->kind = PICKED_BOOL;
        va->truth = front(jr) == 't';
        return pass_scalar(jr);
    default: return take_number(jr, va);
    }
}

static picked_kind
kind_at_front(const json_reader *jr)
{
    switch (front(jr)) {
    case '"': return PICKED_TEXT;
    case 't':
    case 'f': return PICKED_BOOL;
    case 'n': return PICKED_NULL;
    default: return PICKED_INTEGER;
    }
}

/* A path goes on within this, but here is nothing to go into. */
static bool
take_stop(json_reader *jr, const path_node *pn)
{
    const picked_kind kind = kind_at_front(jr);
    for (size_t i = 0; i < jr->count; i++)
        if (pn->below >> i & 1 && jr->value[i].kind == PICKED_ABSENT)
            jr->value[i] = (picked){.stop = pn, .stop_kind = kind};
    return pass_scalar(jr);
}

static bool take_within(json_reader *jr, const path_node *pn);

/* What stands at a node; from: its first byte, for the message. */
static bool
take_node(json_reader *jr, const path_node *pn, const byte *from)
{
    if (jr->met[pn->id] == jr->message ||
        (pn->value >= 0 && jr->value[pn->value].kind != PICKED_ABSENT)) {
        jr->at = from;
        snprintf(jr->words, sizeof jr->words, "%.*s stands twice",
                 pn->text_len < 60 ? (int)pn->text_len : 60, pn->text);
        return is_wrong(jr, jr->words);
    }
    jr->met[pn->id] = jr->message;
    if (pn->value >= 0) return take_value(jr, (size_t)pn->value);
    const byte c = front(jr);
    return c == '{' || c == '[' ? take_within(jr, pn) : take_stop(jr, pn);
}

static bool
take_member(json_reader *jr, const path_node *pn)
{
    raw_string name;
    if (!take_name(jr, &name)) return false;
    const path_node *child = find_member(jr, pn, &name);
    return child ? take_node(jr, child, name.at) : pass_value(jr);
}

static bool
take_element(json_reader *jr, const path_node *pn, int64_t index)
{
    const path_node *child = path_element(pn, index);
    return child ? take_node(jr, child, jr->at) : pass_value(jr);
}

/* Object or array. Recursive as deep as the paths are: PATH_DEPTH. */
static bool
take_within(json_reader *jr, const path_node *pn)
{
    const bool object = *jr->at == '{';
    const byte close = object ? '}' : ']';
    jr->at++;
    pass_blanks(jr);
    if (front(jr) == close) {
        jr->at++;
        return true;
    }
    for (int64_t index = 0;; index++) {
        if (!(object ? take_member(jr, pn) : take_element(jr, pn, index))) return false;
        pass_blanks(jr);
        const byte c = front(jr);
        if (c != ',' && c != close) return is_wrong(jr, "a comma or a closing bracket is missing");
        jr->at++;
        if (c == close) return true;
        pass_blanks(jr);
    }
}

static bool
take_object(json_reader *jr)
{
    if (front(jr) != '{') return is_wrong(jr, "not a JSON object");
    return take_within(jr, &jr->pt->root);
}

/* A number that no node was met in. */
static void
count_message(json_reader *jr)
{
    if (++jr->message > 0) return;
    memset(jr->met, 0, jr->pt->node_count * sizeof *jr->met);
    jr->message = 1;
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
    for (size_t i = 0; i < jr->count; i++) {
        jr->value[i].kind = PICKED_ABSENT;
        jr->value[i].stop = NULL;
        jr->value[i].flaw = NULL;
    }
    count_message(jr);
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

const picked *
json_reader_value_of(const json_reader *jr, size_t i)
{
    AA_REQUIRE(i < jr->count);
    return &jr->value[i];
}
