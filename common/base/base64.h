/* common/base/base64 - bytes as text and back (RFC 4648, with padding). */
#ifndef AA_COMMON_BASE_BASE64_H
#define AA_COMMON_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/** Characters of n bytes, without an end. */
size_t aa_base64_length(size_t n);
/** out: aa_base64_length(n) characters, no end. */
void aa_base64_put(char *out, const void *bytes, size_t n);
/** out: room for len / 4 * 3 bytes; *n of them are written. False: text is not the one way to write
 *  some bytes. */
bool aa_base64_get(void *out, size_t *n, const char *text, size_t len);

#endif
