/* common/base/utf8 - is it text? */
#ifndef AA_COMMON_BASE_UTF8_H
#define AA_COMMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Bytes of the UTF-8 character at the front of text (len); 0 if there is none. */
static inline size_t
aa_utf8_bytes(const void *text, size_t len)
{
    const unsigned char *s = text;
    size_t               more;
    if (len == 0) return 0;
    if (s[0] < 0x80) return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF)
        more = 1;
    else if (s[0] >= 0xE0 && s[0] <= 0xEF)
        more = 2;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4)
        more = 3;
    else
        return 0;
    if (more >= len) return 0;
    for (size_t i = 1; i <= more; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0; /* overlong */
    if (s[0] == 0xED && s[1] > 0x9F) return 0; /* surrogate */
    if (s[0] == 0xF0 && s[1] < 0x90) return 0; /* overlong */
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0; /* above U+10FFFF */
    return more + 1;
}

/** Bytes of the byte order mark at the front of a file's text: 3, or 0 without one. Every reader of
 *  text files skips it there; further on it is text like any other. */
static inline size_t
aa_utf8_mark(const void *text, size_t len)
{
    return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/** UTF-8 throughout, and nothing in it that YAML and terminals take for control: U+0080..9F but
 *  U+0085, U+FFFE, U+FFFF. ASCII's control characters are the caller's to judge. */
static inline bool
aa_utf8_is_text(const void *text, size_t len)
{
    const unsigned char *s = text;
    for (size_t n; len > 0; s += n, len -= n) {
        n = aa_utf8_bytes(s, len);
        if (n == 0) return false;
        if (n == 2 && s[0] == 0xC2 && s[1] < 0xA0 && s[1] != 0x85) return false;
        if (n == 3 && s[0] == 0xEF && s[1] == 0xBF && s[2] >= 0xBE) return false;
    }
    return true;
}

#endif
