/* common/links/tcp_address - host names and IPv6 in tcp:// endpoints.
 *
 * libzmq speaks IPv6 only when it is told to, and then prefers it for names that have both kinds of
 * address; it binds to no host names at all. So an IPv6 address turns it on, a name does when it
 * has no IPv4 address, and a name to bind is looked up here.
 */
#ifndef AA_COMMON_LINKS_TCP_ADDRESS_H
#define AA_COMMON_LINKS_TCP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"

/** The endpoint as libzmq takes it, into out; *ipv6: it has to be told of IPv6. Others than tcp://
 *  are copied.
 *  @errors AA_ECONFIG an IPv6 address without brackets */
aa_status aa_tcp_address(const char *endpoint, bool bind, char *out, size_t size, bool *ipv6,
                         aa_err *err) __attribute__((warn_unused_result));

#endif
