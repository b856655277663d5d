#include "common/links/link_zap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ZAP_ENDPOINT   "inproc://zeromq.zap.01"
#define ZAP_MAX_FRAMES 7
/* A request: version, request id, domain, address, identity, mechanism, credentials. */
enum { ZAP_VERSION, ZAP_REQUEST_ID, ZAP_DOMAIN, ZAP_MECHANISM = 5, ZAP_CREDENTIALS = 6 };

typedef struct {
    uint8_t bytes[256];
    size_t  len;
} frame;

struct link_zap {
    void     *sock;
    pthread_t thread;
};

/* Frames that do not fit are cut, and so match nothing. @errors 0 when the context has ended */
static size_t
recv_request(void *sock, frame f[ZAP_MAX_FRAMES])
{
    size_t n = 0;
    int    more = 1;
    size_t size = sizeof more;
    while (more) {
        frame  spare;
        frame *into = n < ZAP_MAX_FRAMES ? &f[n] : &spare;
        int    len = zmq_recv(sock, into->bytes, sizeof into->bytes, 0);
        if (len < 0 && errno == EINTR) continue;
        if (len < 0) return 0;
        into->len = (size_t)len < sizeof into->bytes ? (size_t)len : 0;
        n++;
        if (zmq_getsockopt(sock, ZMQ_RCVMORE, &more, &size) != 0) return 0;
    }
    return n;
}

static bool
frame_is(const frame *f, const char *text)
{
    return f->len == strlen(text) && memcmp(f->bytes, text, f->len) == 0;
}

/* The client proved to hold the secret of the public key in the credentials; is it the domain's? */
static bool
key_allowed(const frame *f, size_t n)
{
    char key[41];
    if (n != ZAP_MAX_FRAMES || !frame_is(&f[ZAP_VERSION], "1.0")) return false;
    if (!frame_is(&f[ZAP_MECHANISM], "CURVE") || f[ZAP_CREDENTIALS].len != 32) return false;
    if (!zmq_z85_encode(key, f[ZAP_CREDENTIALS].bytes, 32)) return false;
    return frame_is(&f[ZAP_DOMAIN], key);
}

static void
answer_zap(void *sock, const frame *request_id, bool ok)
{
    const char *status = ok ? "200" : "400", *text = ok ? "OK" : "this key may not connect";
    zmq_send(sock, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(sock, request_id->bytes, request_id->len, ZMQ_SNDMORE);
    zmq_send(sock, status, 3, ZMQ_SNDMORE);
    zmq_send(sock, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(sock, "", 0, ZMQ_SNDMORE); /* user id */
    zmq_send(sock, "", 0, 0);           /* metadata */
}

/* @thread the handler's own */
static void *
serve(void *arg)
{
    link_zap *zap = arg;
    frame     f[ZAP_MAX_FRAMES];
    for (;;) {
        memset(f, 0, sizeof f);
        size_t n = recv_request(zap->sock, f);
        if (n == 0) break;
        answer_zap(zap->sock, &f[ZAP_REQUEST_ID], key_allowed(f, n));
    }
    zmq_close(zap->sock);
    return NULL;
}

aa_status
link_zap_start(link_zap **out, void *zmq_context, aa_err *err)
{
    sigset_t  all, before;
    int       none = 0;
    link_zap *zap = calloc(1, sizeof *zap);
    if (!zap) return aa_fail(err, AA_ENOMEM, "out of memory for the ZAP handler");
    zap->sock = zmq_socket(zmq_context, ZMQ_REP);
    if (!zap->sock || zmq_setsockopt(zap->sock, ZMQ_LINGER, &none, sizeof none) != 0 ||
        zmq_bind(zap->sock, ZAP_ENDPOINT) != 0) {
        aa_fail(err, AA_EIO, "%s: %s", ZAP_ENDPOINT, zmq_strerror(errno));
        goto fail;
    }
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&zap->thread, NULL, serve, zap);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        aa_fail(err, AA_EIO, "ZAP handler's thread: %s", strerror(rc));
        goto fail;
    }
    *out = zap;
    return AA_OK;
fail:
    if (zap->sock) zmq_close(zap->sock);
    free(zap);
    return AA_EIO;
}

void
link_zap_join(link_zap **zap_p)
{
    link_zap *zap = *zap_p;
    if (!zap) return;
    pthread_join(zap->thread, NULL);
    free(zap);
    *zap_p = NULL;
}
