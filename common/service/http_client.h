/* common/service/http_client - one request to an HTTP server, bounded in time and size. */
#ifndef AA_COMMON_SERVICE_HTTP_CLIENT_H
#define AA_COMMON_SERVICE_HTTP_CLIENT_H

#include <stddef.h>

#include "common/base/status.h"

#define AA_HTTP_REPLY_BYTES ((size_t)4 << 20)

#define AA_HTTP_HOST_BYTES 256
#define AA_HTTP_PORT_BYTES 16
/** HOST:PORT, [IPV6]:PORT, or either after http:// and before a slash. @errors AA_ECONFIG it is
 * none */
aa_status aa_http_address(const char *text, size_t len, char host[AA_HTTP_HOST_BYTES],
                          char port[AA_HTTP_PORT_BYTES], aa_err *err)
    __attribute__((warn_unused_result));

/**
 * The body of http://host:port/path.
 * @param text  malloc'd and terminated, the caller's
 * @errors AA_EIO nobody there, not 200, longer than AA_HTTP_REPLY_BYTES, or not within timeout_ms
 */
aa_status aa_http_get(char **text, const char *host, const char *port, const char *path,
                      int timeout_ms, aa_err *err) __attribute__((warn_unused_result));

/**
 * The same for any status but none, with a token ("": none) and, if body is not NULL, a JSON body
 * that is POSTed.
 */
aa_status aa_http_ask(char **text, int *status, const char *host, const char *port,
                      const char *path, const char *token, const char *body, int timeout_ms,
                      aa_err *err) __attribute__((warn_unused_result));

#endif
