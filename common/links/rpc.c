#include "common/links/rpc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "common/links/ipc_address.h"
#include "common/links/tcp_address.h"

#define LINGER_MS  1000
#define MAX_FRAMES 8

/* A question arrives as
 *   peer, [route..., empty], body
 * where peer is ours, REQ sockets and proxies add the part in brackets, and it goes back as it
 * came. */
struct aa_rpc_server {
    void     *context, *socket;
    zmq_msg_t frame[MAX_FRAMES]; /* (frames) of the last question */
    size_t    frames;
    size_t    route; /* of these, how many a reply begins with */
    bool      owes;  /* a reply */
    int       wake_fd;
    char      endpoint[256];
};

struct aa_rpc_asker {
    size_t    frames;
    zmq_msg_t frame[MAX_FRAMES]; /* (frames) */
};

struct aa_rpc_client {
    void     *context, *socket;
    zmq_msg_t body;
};

/* ---- both ---- */

static aa_status
set_rpc_int(void *socket, int option, int value, aa_err *err)
{
    if (!zmq_setsockopt(socket, option, &value, sizeof value)) return AA_OK;
    return aa_fail(err, AA_EIO, "zmq option %d: %s", option, zmq_strerror(errno));
}

static aa_status
set_rpc_key(void *socket, int option, const char *key, aa_err *err)
{
    if (!key || !key[0]) return AA_OK;
    if (!zmq_setsockopt(socket, option, key, strlen(key))) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "CURVE key: %s", zmq_strerror(errno));
}

static aa_status
open_socket(void **context, void **socket, int type, aa_err *err)
{
    *context = zmq_ctx_new();
    if (!*context) return aa_fail(err, AA_EIO, "zmq context: %s", zmq_strerror(errno));
    *socket = zmq_socket(*context, type);
    if (!*socket) return aa_fail(err, AA_EIO, "zmq socket: %s", zmq_strerror(errno));
    return set_rpc_int(*socket, ZMQ_LINGER, LINGER_MS, err);
}

static void
close_socket(void *context, void *socket)
{
    if (socket) zmq_close(socket);
    while (context && zmq_ctx_term(context) && errno == EINTR)
        ;
}

/* ---- server ---- */

enum { ADDRESS_BYTES = 320 };

/* The endpoint as libzmq takes it, and the socket told of IPv6 if that is what it needs. */
static aa_status
set_address(void *socket, const char *endpoint, bool bind, char address[ADDRESS_BYTES], aa_err *err)
{
    bool      ipv6;
    aa_status st = aa_tcp_address(endpoint, bind, address, ADDRESS_BYTES, &ipv6, err);
    return st == AA_OK && ipv6 ? set_rpc_int(socket, ZMQ_IPV6, 1, err) : st;
}

aa_status
aa_rpc_listen(aa_rpc_server **out, const char *endpoint, const aa_link_keys *keys, size_t max_bytes,
              aa_err *err)
{
    char           address[ADDRESS_BYTES];
    aa_rpc_server *sv = calloc(1, sizeof *sv);
    if (!sv) return aa_fail(err, AA_ENOMEM, "rpc server");
    sv->wake_fd = -1;
    int64_t   limit = max_bytes ? (int64_t)max_bytes : -1;
    size_t    size = sizeof sv->endpoint;
    aa_status st = open_socket(&sv->context, &sv->socket, ZMQ_ROUTER, err);
    if (st != AA_OK) goto out;
    zmq_setsockopt(sv->socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit);
    if (keys && keys->public_key && keys->public_key[0]) {
        if ((st = set_rpc_int(sv->socket, ZMQ_CURVE_SERVER, 1, err)) != AA_OK) goto out;
        if ((st = set_rpc_key(sv->socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, err)) != AA_OK)
            goto out;
    }
    if ((st = aa_ipc_address_check(endpoint, err)) != AA_OK) goto out;
    if ((st = set_address(sv->socket, endpoint, true, address, err)) != AA_OK) goto out;
    if (zmq_bind(sv->socket, address)) {
        const bool text = errno == EINVAL || errno == EPROTONOSUPPORT || errno == ENOCOMPATPROTO;
        st = aa_fail(err, text ? AA_ECONFIG : AA_EIO, "cannot listen on %s: %s", endpoint,
                     zmq_strerror(errno));
        goto out;
    }
    if (zmq_getsockopt(sv->socket, ZMQ_LAST_ENDPOINT, sv->endpoint, &size)) {
        st = aa_fail(err, AA_EIO, "endpoint of %s: %s", endpoint, zmq_strerror(errno));
        goto out;
    }
    *out = sv;
    sv = NULL;
out:
    aa_rpc_close(&sv);
    return st;
}

const char *
aa_rpc_endpoint(const aa_rpc_server *sv)
{
    return sv->endpoint;
}

static void
drop_frames(aa_rpc_server *sv)
{
    for (size_t i = 0; i < sv->frames; i++)
        zmq_msg_close(&sv->frame[i]);
    sv->frames = 0;
    sv->route = 0;
}

void
aa_rpc_close(aa_rpc_server **sv_p)
{
    aa_rpc_server *sv = *sv_p;
    if (!sv) return;
    drop_frames(sv);
    close_socket(sv->context, sv->socket);
    free(sv);
    *sv_p = NULL;
}

static bool
more(void *socket)
{
    int    value = 0;
    size_t size = sizeof value;
    return !zmq_getsockopt(socket, ZMQ_RCVMORE, &value, &size) && value;
}

/* Read and drop the rest of a message; returns how many frames that were. */
static size_t
skip_rest(void *socket)
{
    size_t    frames = 0;
    zmq_msg_t rest;
    for (; more(socket); frames++) {
        zmq_msg_init(&rest);
        int got = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT);
        zmq_msg_close(&rest);
        if (got < 0) break;
    }
    return frames;
}

/* wake_fd: readable ends the waiting too; -1: none */
static aa_status
wait_for_answer(void *socket, int wake_fd, int timeout_ms, aa_err *err)
{
    zmq_pollitem_t item[2] = {{.socket = socket, .events = ZMQ_POLLIN},
                              {.fd = wake_fd, .events = ZMQ_POLLIN}};
    int            n = zmq_poll(item, wake_fd >= 0 ? 2 : 1, timeout_ms);
    if (n > 0) return item[0].revents ? AA_OK : AA_EAGAIN;
    if (n == 0 || errno == EINTR) return AA_EAGAIN;
    return aa_fail(err, AA_EIO, "zmq_poll: %s", zmq_strerror(errno));
}

static aa_status
recv_failed(aa_err *err)
{
    if (errno == EAGAIN || errno == EINTR) return AA_EAGAIN;
    return aa_fail(err, AA_EIO, "zmq_msg_recv: %s", zmq_strerror(errno));
}

aa_status
aa_rpc_recv(aa_rpc_server *sv, int timeout_ms, const void **buf, size_t *len, aa_err *err)
{
    *buf = NULL;
    *len = 0;
    sv->owes = false;
    drop_frames(sv);
    aa_status st = wait_for_answer(sv->socket, sv->wake_fd, timeout_ms, err);
    if (st != AA_OK) return st;
    do {
        zmq_msg_t *frame = &sv->frame[sv->frames];
        zmq_msg_init(frame);
        sv->frames++;
        if (zmq_msg_recv(frame, sv->socket, ZMQ_DONTWAIT) < 0) return recv_failed(err);
    } while (sv->frames < MAX_FRAMES && more(sv->socket));
    size_t extra = skip_rest(sv->socket);

    sv->owes = true;
    sv->route = 1;
    for (size_t i = 1; i + 1 < sv->frames && sv->route == 1; i++)
        if (zmq_msg_size(&sv->frame[i]) == 0) sv->route = i + 1;
    if (extra || sv->frames != sv->route + 1)
        return aa_fail(err, AA_EPARSE, "a question of %zu frames, not one",
                       sv->frames + extra - sv->route);
    *buf = zmq_msg_data(&sv->frame[sv->route]);
    *len = zmq_msg_size(&sv->frame[sv->route]);
    return AA_OK;
}

static aa_status
send_rpc_reply(void *socket, zmq_msg_t *route, size_t frames, const void *buf, size_t len,
               aa_err *err)
{
    for (size_t i = 0; i < frames; i++)
        if (zmq_msg_send(&route[i], socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
            return aa_fail(err, AA_EIO, "reply: %s", zmq_strerror(errno));
    if (zmq_send(socket, buf, len, ZMQ_DONTWAIT) < 0)
        return aa_fail(err, AA_EIO, "reply of %zu bytes: %s", len, zmq_strerror(errno));
    return AA_OK;
}

aa_status
aa_rpc_reply(aa_rpc_server *sv, const void *buf, size_t len, aa_err *err)
{
    AA_REQUIRE(sv->owes);
    sv->owes = false;
    return send_rpc_reply(sv->socket, sv->frame, sv->route, buf, len, err);
}

void
aa_rpc_set_wake_fd(aa_rpc_server *sv, int fd)
{
    sv->wake_fd = fd;
}

aa_status
aa_rpc_later(aa_rpc_server *sv, aa_rpc_asker **out, aa_err *err)
{
    AA_REQUIRE(sv->owes);
    aa_rpc_asker *as = calloc(1, sizeof *as);
    if (!as) return aa_fail(err, AA_ENOMEM, "way back of an answer");
    for (; as->frames < sv->route; as->frames++) {
        zmq_msg_init(&as->frame[as->frames]);
        zmq_msg_move(&as->frame[as->frames], &sv->frame[as->frames]);
    }
    sv->owes = false;
    *out = as;
    return AA_OK;
}

aa_status
aa_rpc_reply_to(aa_rpc_server *sv, aa_rpc_asker **as_p, const void *buf, size_t len, aa_err *err)
{
    aa_status st = send_rpc_reply(sv->socket, (*as_p)->frame, (*as_p)->frames, buf, len, err);
    aa_rpc_asker_free(as_p);
    return st;
}

void
aa_rpc_asker_free(aa_rpc_asker **as_p)
{
    aa_rpc_asker *as = *as_p;
    if (!as) return;
    for (size_t i = 0; i < as->frames; i++)
        zmq_msg_close(&as->frame[i]);
    free(as);
    *as_p = NULL;
}

/* ---- client ---- */

aa_status
aa_rpc_connect(aa_rpc_client **out, const char *endpoint, const aa_link_keys *keys, aa_err *err)
{
    char           address[ADDRESS_BYTES];
    aa_rpc_client *cl = calloc(1, sizeof *cl);
    if (!cl) return aa_fail(err, AA_ENOMEM, "rpc client");
    zmq_msg_init(&cl->body);
    aa_status st = open_socket(&cl->context, &cl->socket, ZMQ_REQ, err);
    if (st != AA_OK) goto out;
    /* ask again after a lost answer, and tell late answers from the right one */
    if ((st = set_rpc_int(cl->socket, ZMQ_REQ_RELAXED, 1, err)) != AA_OK) goto out;
    if ((st = set_rpc_int(cl->socket, ZMQ_REQ_CORRELATE, 1, err)) != AA_OK) goto out;
    if ((st = set_rpc_int(cl->socket, ZMQ_LINGER, 0, err)) != AA_OK) goto out;
    if (keys && keys->public_key && keys->public_key[0]) {
        const char *server_key = keys->server_key ? keys->server_key : keys->public_key;
        if ((st = set_rpc_key(cl->socket, ZMQ_CURVE_SERVERKEY, server_key, err)) != AA_OK) goto out;
        if ((st = set_rpc_key(cl->socket, ZMQ_CURVE_PUBLICKEY, keys->public_key, err)) != AA_OK)
            goto out;
        if ((st = set_rpc_key(cl->socket, ZMQ_CURVE_SECRETKEY, keys->secret_key, err)) != AA_OK)
            goto out;
    }
    if ((st = set_address(cl->socket, endpoint, false, address, err)) != AA_OK) goto out;
    if (zmq_connect(cl->socket, address)) {
        st = aa_fail(err, AA_ECONFIG, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
        goto out;
    }
    *out = cl;
    cl = NULL;
out:
    aa_rpc_disconnect(&cl);
    return st;
}

aa_status
aa_rpc_ask(aa_rpc_client *cl, const void *buf, size_t len, int timeout_ms, const void **reply,
           size_t *reply_len, aa_err *err)
{
    if (zmq_send(cl->socket, buf, len, ZMQ_DONTWAIT) < 0)
        return aa_fail(err, AA_EIO, "question of %zu bytes: %s", len, zmq_strerror(errno));
    aa_status st = wait_for_answer(cl->socket, -1, timeout_ms, err);
    if (st == AA_EAGAIN) return aa_fail(err, AA_EAGAIN, "no answer within %d ms", timeout_ms);
    if (st != AA_OK) return st;
    if (zmq_msg_recv(&cl->body, cl->socket, ZMQ_DONTWAIT) < 0) return recv_failed(err);
    if (skip_rest(cl->socket)) return aa_fail(err, AA_EIO, "an answer of several frames");
    *reply = zmq_msg_data(&cl->body);
    *reply_len = zmq_msg_size(&cl->body);
    return AA_OK;
}

void
aa_rpc_disconnect(aa_rpc_client **cl_p)
{
    aa_rpc_client *cl = *cl_p;
    if (!cl) return;
    zmq_msg_close(&cl->body);
    close_socket(cl->context, cl->socket);
    free(cl);
    *cl_p = NULL;
}
