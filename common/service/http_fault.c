#include "common/service/http_fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include <microhttpd.h>

typedef struct {
    const char *fault;                     /* of a single header; NULL: none */
    size_t      hosts, lengths, encodings; /* how many there are */
    const char *host, *length, *encoding;  /* the last one */
} headers;

/* RFC 9110, 5.6.2. A blank before the colon ("Content-Length : 5") is one reader's header and
 * another's nonsense. */
static bool
is_token(const char *name, size_t size)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < size; i++) {
        const char c = name[i], lower = (char)(c | 0x20);
        const bool letter = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr(others, c))) return false;
    }
    return size > 0;
}

/* RFC 9110, 5.5: NUL, CR and LF end a value for some readers. */
static bool
is_text(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (value[i] == '\0' || value[i] == '\r' || value[i] == '\n') return false;
    return true;
}

static enum MHD_Result
take_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_size,
            const char *value, size_t value_size)
{
    headers    *hs = arg;
    const char *text = value ? value : "";
    (void)kind;
    if (!is_token(name, name_size)) {
        hs->fault = "a header's name that is no token";
    } else if (!is_text(text, value_size)) {
        hs->fault = "a header with a control character";
    } else if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0) {
        hs->hosts++;
        hs->host = text;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
        hs->lengths++;
        hs->length = text;
    } else if (strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
        hs->encodings++;
        hs->encoding = text;
    }
    return MHD_YES;
}

/* Host and port, with nothing that a URL has before or behind them. Empty is allowed. */
static bool
is_host(const char *host)
{
    return host[strcspn(host, " \t/\\?#@<>\"{}^`|,")] == '\0';
}

const char *
aa_http_fault(struct MHD_Connection *conn, const char *version)
{
    const bool now = strcmp(version, MHD_HTTP_VERSION_1_0) != 0;
    headers    hs = {0};
    MHD_get_connection_values_n(conn, MHD_HEADER_KIND, take_header, &hs);
    if (hs.fault) return hs.fault;
    if (hs.hosts > 1) return "more than one Host";
    if (hs.hosts == 0 && now) return "no Host";
    if (hs.hosts == 1 && !is_host(hs.host)) return "a Host that is none";
    if (hs.lengths > 1) return "more than one Content-Length";
    if (hs.lengths > 0 && hs.encodings > 0) return "Content-Length beside Transfer-Encoding";
    if (hs.lengths > 0 && (!*hs.length || hs.length[strspn(hs.length, "0123456789")]))
        return "a Content-Length that is no number";
    if (hs.encodings > 0 && !now) return "Transfer-Encoding in HTTP/1.0";
    if (hs.encodings > 1 || (hs.encodings > 0 && strcasecmp(hs.encoding, "chunked") != 0))
        return "a Transfer-Encoding other than chunked";
    return NULL;
}
