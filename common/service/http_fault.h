/* common/service/http_fault - is it a request that RFC 9112 allows?
 *
 * Two readers of one request, a balancer and this server, must not find two bodies or two hosts in
 * it. libmicrohttpd lets pass what is refused here.
 */
#ifndef AA_COMMON_SERVICE_HTTP_FAULT_H
#define AA_COMMON_SERVICE_HTTP_FAULT_H

struct MHD_Connection;

/** What is wrong with the headers of a request of this version, a constant; NULL: nothing. */
const char *aa_http_fault(struct MHD_Connection *conn, const char *version);

#endif
