/* common/links/link_zap - who may connect to a link with CURVE keys. Private to common/links/link.
 *
 * CURVE alone proves that the server is who it says it is. Clients are checked by a handler that
 * libzmq asks over inproc (ZeroMQ RFC 27, ZAP). A binding socket's ZAP domain holds the public key
 * that clients must have proven, so the handler itself has no state. It is a thread, since libzmq
 * asks it while the process may be busy; it shares nothing but bytes.
 */
#ifndef AA_COMMON_LINKS_LINK_ZAP_H
#define AA_COMMON_LINKS_LINK_ZAP_H

#include "common/base/status.h"

typedef struct link_zap link_zap;

/** Bind the handler in this zmq context, and start its thread. */
aa_status link_zap_start(link_zap **out, void *zmq_context, aa_err *err)
    __attribute__((warn_unused_result));
/** Wait for its end, which zmq_ctx_shutdown brings about. NULL-safe. */
void link_zap_join(link_zap **zap_p);

#endif
