/* common/links/link - one ZeroMQ socket per link.
 *
 * A message of ours is one frame: the kind, then the bytes. A ROUTER sees the peer's identity frame
 * before it, and puts it before the answer.
 *
 * Each connecting end names itself with a random identity that stays for its life, and the binding
 * end hands that identity over to the newest connection that shows it: so an answer still finds a
 * peer that had to reconnect, while a restarted process is somebody else.
 *
 * The context is file-scope state: ZeroMQ wants one per process. It lives while links are open.
 */
#include "common/links/link.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/base/log.h"
#include "common/links/ipc_address.h"
#include "common/links/link_zap.h"
#include "common/links/tcp_address.h"

#define LINGER_MS            1000
#define RECONNECT_MIN_MS     50
#define RECONNECT_MAX_MS     1000
#define HEARTBEAT_EVERY_MS   1000
#define HEARTBEAT_TIMEOUT_MS 5000
/* Messages queued each way. Pair links carry fewer (credits bound them), unless nobody is there. */
#define QUEUE_MESSAGES    4096
#define MAX_MESSAGE_BYTES ((int64_t)(64 << 20) + 1024)
#define IDENTITY_BYTES    17 /* a letter, since ZeroMQ reserves a leading 0, and 16 random bytes */
#define MAX_FRAMES        3  /* identity, delimiter, message */

struct aa_link {
    void        *sock;
    aa_link_role role;
    zmq_msg_t    in; /* the message that recv handed out */
    uint8_t      peer[256];
    size_t       peer_len; /* 0: nobody heard from yet */
    uint64_t     garbage, lost;
    aa_counter  *garbage_total, *lost_total; /* the same as metrics, NULL: none */
    char         endpoint[256];
};

static struct {
    pthread_mutex_t mutex;
    void           *zmq;
    link_zap       *zap; /* NULL: no binding link has keys */
    size_t          links;
} context = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static aa_status
context_use(void **ctx, bool with_zap, aa_err *err)
{
    aa_status st = AA_OK;
    pthread_mutex_lock(&context.mutex);
    if (!context.zmq) context.zmq = zmq_ctx_new();
    if (!context.zmq) {
        st = aa_fail(err, AA_EIO, "zmq_ctx_new: %s", zmq_strerror(errno));
        goto out;
    }
    if (with_zap && !context.zap) st = link_zap_start(&context.zap, context.zmq, err);
    context.links++; /* also on failure: _unuse undoes it */
    *ctx = context.zmq;
out:
    pthread_mutex_unlock(&context.mutex);
    return st;
}

static void
context_unuse(void)
{
    pthread_mutex_lock(&context.mutex);
    if (--context.links == 0) {
        zmq_ctx_shutdown(context.zmq); /* ends the ZAP thread; closed sockets still linger */
        link_zap_join(&context.zap);
        while (zmq_ctx_term(context.zmq) != 0 && errno == EINTR) {
        }
        context.zmq = NULL;
    }
    pthread_mutex_unlock(&context.mutex);
}

/* ---- opening ---- */

aa_link_keys
aa_link_keys_of(const aa_conf *cfg)
{
    return (aa_link_keys){.public_key = cfg->links.curve_public_key,
                          .secret_key = cfg->links.curve_secret_key};
}

static const char *
text_or_empty(const char *text)
{
    return text ? text : "";
}

static bool
binds(aa_link_role role)
{
    return role == AA_LINK_BIND || role == AA_LINK_PUBLISH;
}

static int
socket_type(aa_link_role role)
{
    switch (role) {
    case AA_LINK_BIND: return ZMQ_ROUTER;
    case AA_LINK_CONNECT: return ZMQ_DEALER;
    case AA_LINK_PUBLISH: return ZMQ_PUB;
    case AA_LINK_SUBSCRIBE: return ZMQ_SUB;
    }
    return -1;
}

static aa_status
set_link_int(aa_link *ln, int option, int value, aa_err *err)
{
    if (zmq_setsockopt(ln->sock, option, &value, sizeof value) == 0) return AA_OK;
    return aa_fail(err, AA_EIO, "%s: zmq option %d: %s", ln->endpoint, option, zmq_strerror(errno));
}

static aa_status
set_link_key(aa_link *ln, int option, const char *name, const char *value, aa_err *err)
{
    /* a key as text of 40 characters (Z85), with its end, as the option wants it */
    if (strlen(value) == 40 && zmq_setsockopt(ln->sock, option, value, 41) == 0) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "%s: the CURVE %s key is not valid", ln->endpoint, name);
}

static aa_status
set_identity(aa_link *ln, aa_err *err)
{
    uint8_t identity[IDENTITY_BYTES] = "p";
    FILE   *f = fopen("/dev/urandom", "rb");
    size_t  got = f ? fread(identity + 1, 1, sizeof identity - 1, f) : 0;
    if (f) fclose(f);
    if (got != sizeof identity - 1)
        return aa_fail(err, AA_EIO, "cannot read random bytes: %s", strerror(errno));
    if (zmq_setsockopt(ln->sock, ZMQ_ROUTING_ID, identity, sizeof identity) == 0) return AA_OK;
    return aa_fail(err, AA_EIO, "%s: identity: %s", ln->endpoint, zmq_strerror(errno));
}

static aa_status
set_options(aa_link *ln, aa_err *err)
{
    static const struct {
        int option, value;
    } options[] = {{ZMQ_LINGER, LINGER_MS},
                   {ZMQ_RECONNECT_IVL, RECONNECT_MIN_MS},
                   {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
                   {ZMQ_HEARTBEAT_IVL, HEARTBEAT_EVERY_MS},
                   {ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS},
                   {ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS},
                   {ZMQ_SNDHWM, QUEUE_MESSAGES},
                   {ZMQ_RCVHWM, QUEUE_MESSAGES}};
    aa_status st;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if ((st = set_link_int(ln, options[i].option, options[i].value, err)) != AA_OK) return st;
    int64_t max = MAX_MESSAGE_BYTES;
    if (zmq_setsockopt(ln->sock, ZMQ_MAXMSGSIZE, &max, sizeof max) != 0)
        return aa_fail(err, AA_EIO, "%s: ZMQ_MAXMSGSIZE: %s", ln->endpoint, zmq_strerror(errno));
    switch (ln->role) {
    case AA_LINK_BIND: /* MANDATORY: a full queue or a vanished peer is an error, not silence */
        if ((st = set_link_int(ln, ZMQ_ROUTER_MANDATORY, 1, err)) != AA_OK) return st;
        return set_link_int(ln, ZMQ_ROUTER_HANDOVER, 1, err);
    case AA_LINK_CONNECT: return set_identity(ln, err);
    case AA_LINK_SUBSCRIBE:
        if (zmq_setsockopt(ln->sock, ZMQ_SUBSCRIBE, "", 0) == 0) return AA_OK;
        return aa_fail(err, AA_EIO, "%s: subscribe: %s", ln->endpoint, zmq_strerror(errno));
    case AA_LINK_PUBLISH: break;
    }
    return AA_OK;
}

static bool
has_keys(const aa_link_keys *keys)
{
    return keys && (text_or_empty(keys->public_key)[0] || text_or_empty(keys->secret_key)[0]);
}

/* The binding end takes those that prove to hold the key pair itself (see link_zap.h). */
static aa_status
set_keys(aa_link *ln, const aa_link_keys *keys, aa_err *err)
{
    if (!has_keys(keys)) return AA_OK;
    const char *public_key = text_or_empty(keys->public_key);
    const char *server_key = text_or_empty(keys->server_key);
    aa_status   st;
    if (!zmq_has("curve"))
        return aa_fail(err, AA_ECONFIG, "CURVE keys are set, but this libzmq has no CURVE");
    if ((st = set_link_key(ln, ZMQ_CURVE_PUBLICKEY, "public", public_key, err)) != AA_OK) return st;
    if ((st = set_link_key(ln, ZMQ_CURVE_SECRETKEY, "secret", text_or_empty(keys->secret_key),
                           err)) != AA_OK)
        return st;
    if (!binds(ln->role)) {
        const char *server = server_key[0] ? server_key : public_key;
        return set_link_key(ln, ZMQ_CURVE_SERVERKEY, "server", server, err);
    }
    if (zmq_setsockopt(ln->sock, ZMQ_ZAP_DOMAIN, public_key, strlen(public_key)) != 0)
        return aa_fail(err, AA_EIO, "%s: ZAP domain: %s", ln->endpoint, zmq_strerror(errno));
    return set_link_int(ln, ZMQ_CURVE_SERVER, 1, err);
}

static aa_status
attach(aa_link *ln, aa_err *err)
{
    bool      bind = binds(ln->role);
    bool      ipv6;
    char      address[320];
    aa_status st = aa_tcp_address(ln->endpoint, bind, address, sizeof address, &ipv6, err);
    if (st == AA_OK && bind) st = aa_ipc_address_check(ln->endpoint, err);
    if (st == AA_OK && ipv6) st = set_link_int(ln, ZMQ_IPV6, 1, err);
    if (st != AA_OK) return st;
    int    rc = bind ? zmq_bind(ln->sock, address) : zmq_connect(ln->sock, address);
    size_t len = sizeof ln->endpoint;
    if (rc != 0) {
        bool text = errno == EINVAL || errno == EPROTONOSUPPORT || errno == ENOCOMPATPROTO;
        return aa_fail(err, text ? AA_ECONFIG : AA_EIO, "cannot %s %s: %s",
                       bind ? "bind" : "connect to", ln->endpoint, zmq_strerror(errno));
    }
    if (bind)
        zmq_getsockopt(ln->sock, ZMQ_LAST_ENDPOINT, ln->endpoint, &len); /* port of tcp://…:* */
    return AA_OK;
}

aa_status
aa_link_new_keys(char public_key[AA_LINK_KEY_BYTES], char secret_key[AA_LINK_KEY_BYTES],
                 aa_err *err)
{
    if (zmq_curve_keypair(public_key, secret_key) == 0) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "keys: %s", zmq_strerror(errno));
}

/* ---- checking without opening ---- */

/* After the last colon: a number that a port may have, or * for any. */
static bool
has_port(const char *address)
{
    const char *colon = strrchr(address, ':');
    char       *end;
    if (!colon || colon == address) return false;
    if (strcmp(colon, ":*") == 0) return true;
    long port = strtol(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && port <= 65535;
}

/* *, or letters that names, numbers and interfaces have. libzmq would take `from;to` for two. */
static bool
has_host(const char *address)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";
    const char       *colon = strrchr(address, ':'), *end = colon;
    if (!colon || *address == '-') return false;
    if (strncmp(address, "*:", 2) == 0) return true;
    if (*address == '[') {
        end = strchr(address, ']');
        return end && end + 1 == colon && strcspn(address, ";, ") >= (size_t)(end - address);
    }
    return strspn(address, name) >= (size_t)(end - address);
}

static aa_status
check_endpoint(const char *name, const char *endpoint, aa_err *err)
{
    enum { SOCKET_PATH_MAX = 107 }; /* of sockaddr_un */
    const char *address = strstr(endpoint, "://");
    const char *what = NULL;
    address = address ? address + 3 : endpoint;
    if (strncmp(endpoint, "tcp://", 6) == 0)
        what = has_host(address) && has_port(address) ? NULL : "expected tcp://HOST:PORT";
    else if (strncmp(endpoint, "ipc://", 6) == 0)
        what = strlen(address) <= SOCKET_PATH_MAX ? NULL : "a socket's path has at most 107 bytes";
    else
        what = "expected tcp://HOST:PORT or ipc://PATH";
    if (!what && !*address) what = "nothing after the //";
    if (!what) {
        char   as_is[320];
        bool   ipv6;
        aa_err why = AA_ERR_INIT;
        if (aa_ipc_address_is_socket(endpoint, &why) != AA_OK ||
            aa_tcp_address(endpoint, false, as_is, sizeof as_is, &ipv6, &why) != AA_OK)
            return aa_fail(err, AA_ECONFIG, "%s: %s", name, why.text);
    }
    return what ? aa_fail(err, AA_ECONFIG, "%s: \"%.100s\": %s", name, endpoint, what) : AA_OK;
}

static aa_status
check_key(const char *name, const char *key, aa_err *err)
{
    uint8_t raw[AA_LINK_KEY_BYTES];
    if (!*key)
        return aa_fail(err, AA_ECONFIG, "%s: is empty, but the other key of the pair is not", name);
    if (strlen(key) == 40 && zmq_z85_decode(raw, key)) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "%s: %zu characters, not a key: 40 of Z85 (autoassign-keys)",
                   name, strlen(key));
}

/* The secret is never in the text. */
static aa_status
check_keys(const char *public_key, const char *secret_key, aa_err *err)
{
    char      own[AA_LINK_KEY_BYTES];
    aa_status st;
    if (!*public_key && !*secret_key) return AA_OK;
    if (!zmq_has("curve"))
        return aa_fail(err, AA_ECONFIG, "links.curve_*: are set, but this libzmq has no CURVE");
    if ((st = check_key("links.curve_public_key", public_key, err)) != AA_OK) return st;
    if ((st = check_key("links.curve_secret_key", secret_key, err)) != AA_OK) return st;
    if (zmq_curve_public(own, secret_key) == 0 && strcmp(own, public_key) == 0) return AA_OK;
    return aa_fail(err, AA_ECONFIG,
                   "links.curve_public_key: is not the public key of links.curve_secret_key");
}

/* Does the process connect to this one? The others it binds, or has nothing to do with. */
static bool
is_connected_by(const aa_conf *cfg, const char *process, const char *name)
{
    const bool fetcher = cfg->ingest.role == AA_ROLE_FETCHER;
    if (strcmp(process, "ingest") == 0)
        return strcmp(name, "links.events") == 0 ||
               (fetcher && strcmp(name, "links.fetchers") == 0);
    return strcmp(process, "assigner") == 0 &&
           (strcmp(name, "links.assigned") == 0 || strcmp(name, "links.rewards") == 0);
}

/* * stands for every address, or any port, and so for none to connect to. */
static aa_status
check_connectable(const char *name, const char *endpoint, aa_err *err)
{
    const char *port = strrchr(endpoint, ':');
    if (strncmp(endpoint, "tcp://", 6) != 0) return AA_OK;
    if (strncmp(endpoint, "tcp://*:", 8) != 0 && strcmp(port, ":*") != 0 && strcmp(port, ":0") != 0)
        return AA_OK;
    return aa_fail(err, AA_ECONFIG, "%s: \"%.100s\": this end connects: it needs a host and a port",
                   name, endpoint);
}

aa_status
aa_link_check(const aa_conf *cfg, const char *process, aa_err *err)
{
    const aa_conf_link_set links = aa_conf_links(cfg);
    for (size_t i = 0; i < AA_CONF_LINKS; i++) {
        aa_status st =
            *links.named[i][1] ? check_endpoint(links.named[i][0], links.named[i][1], err) : AA_OK;
        if (st == AA_OK && is_connected_by(cfg, process, links.named[i][0]))
            st = check_connectable(links.named[i][0], links.named[i][1], err);
        if (st != AA_OK) return st; /* empty: there is no such link */
    }
    return check_keys(cfg->links.curve_public_key, cfg->links.curve_secret_key, err);
}

aa_status
aa_link_open(aa_link **out, aa_link_role role, const char *endpoint, const aa_link_keys *keys,
             aa_err *err)
{
    void     *ctx = NULL;
    aa_link  *ln = calloc(1, sizeof *ln);
    aa_status st = AA_OK;
    if (!ln) return aa_fail(err, AA_ENOMEM, "out of memory for a link");
    zmq_msg_init(&ln->in);
    ln->role = role;
    int n = snprintf(ln->endpoint, sizeof ln->endpoint, "%s", endpoint);
    if (n < 0 || (size_t)n >= sizeof ln->endpoint) {
        free(ln);
        return aa_fail(err, AA_ECONFIG, "endpoint of %d bytes is too long", n);
    }
    st = context_use(&ctx, binds(role) && has_keys(keys), err);
    if (!ctx) {
        free(ln);
        return st;
    }
    if (st != AA_OK) goto out;
    ln->sock = zmq_socket(ctx, socket_type(role));
    if (!ln->sock) {
        st = aa_fail(err, AA_EIO, "%s: zmq_socket: %s", ln->endpoint, zmq_strerror(errno));
        goto out;
    }
    if ((st = set_options(ln, err)) != AA_OK) goto out;
    if ((st = set_keys(ln, keys, err)) != AA_OK) goto out;
    if ((st = attach(ln, err)) != AA_OK) goto out;
    *out = ln;
    return AA_OK;
out:
    aa_link_close(&ln);
    return st;
}

void
aa_link_close(aa_link **ln_p)
{
    aa_link *ln = *ln_p;
    if (!ln) return;
    zmq_msg_close(&ln->in);
    if (ln->sock) zmq_close(ln->sock);
    free(ln);
    *ln_p = NULL;
    context_unuse();
}

const char *
aa_link_endpoint(const aa_link *ln)
{
    return ln->endpoint;
}

uint64_t
aa_link_garbage(const aa_link *ln)
{
    return ln->garbage;
}

uint64_t
aa_link_lost(const aa_link *ln)
{
    return ln->lost;
}

void
aa_link_export(aa_link *ln, aa_metrics *ms, const char *name)
{
    char labels[64] = "";
    if (!ln) return;
    aa_metrics_label(labels, sizeof labels, "link", name);
    ln->garbage_total = aa_metrics_counter(ms, "autoassign_link_damaged_messages_total", labels,
                                           "Received messages that were not ours, by link.");
    ln->lost_total =
        aa_metrics_counter(ms, "autoassign_link_lost_messages_total", labels,
                           "Messages to a peer that had vanished, by link: the protocol repeats "
                           "what matters.");
    aa_counter_add(ln->garbage_total, ln->garbage);
    aa_counter_add(ln->lost_total, ln->lost);
}

static void
count_one(uint64_t *count, aa_counter *total)
{
    ++*count;
    if (total) aa_counter_add(total, 1);
}

/* ---- sending ---- */

static int
send_link_message(aa_link *ln, aa_msg_kind kind, const void *buf, size_t len)
{
    zmq_msg_t msg;
    int       rc;
    if (zmq_msg_init_size(&msg, len + 1) != 0) return -1;
    uint8_t *at = zmq_msg_data(&msg);
    at[0] = (uint8_t)kind;
    if (len) memcpy(at + 1, buf, len);
    do {
        rc = zmq_msg_send(&msg, ln->sock, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) zmq_msg_close(&msg);
    return rc;
}

/* Where a ROUTER's message goes. This frame decides: the next one of the message cannot fail for
 * want of room. */
static int
send_identity(aa_link *ln)
{
    int rc;
    do {
        rc = zmq_send(ln->sock, ln->peer, ln->peer_len, ZMQ_DONTWAIT | ZMQ_SNDMORE);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

aa_status
aa_link_send(aa_link *ln, aa_msg_kind kind, const void *buf, size_t len_bytes, aa_err *err)
{
    AA_REQUIRE(ln->role != AA_LINK_SUBSCRIBE);
    int rc = 0;
    if ((int64_t)len_bytes >= MAX_MESSAGE_BYTES)
        return aa_fail(err, AA_EPARSE, "%s: message of %zu bytes is too long", ln->endpoint,
                       len_bytes);
    if (ln->role == AA_LINK_BIND) {
        if (!ln->peer_len)
            return aa_fail(err, AA_EFULL, "%s: nobody has connected yet", ln->endpoint);
        rc = send_identity(ln);
    }
    if (rc >= 0) rc = send_link_message(ln, kind, buf, len_bytes);
    if (rc >= 0) return AA_OK;
    if (errno == EAGAIN) return aa_fail(err, AA_EFULL, "%s: the queue is full", ln->endpoint);
    if (errno == EHOSTUNREACH) { /* as good as lost on the way: the protocol repeats what matters */
        count_one(&ln->lost, ln->lost_total);
        aa_debug("LINK-PEER-GONE", "%s: the peer is gone, message '%c' of %zu bytes is lost",
                 ln->endpoint, (int)kind, len_bytes);
        return AA_OK;
    }
    return aa_fail(err, AA_EIO, "%s: send: %s", ln->endpoint, zmq_strerror(errno));
}

aa_link_peer
aa_link_sender(const aa_link *ln)
{
    aa_link_peer pe = {.len = 0};
    if (ln->peer_len > sizeof pe.id) return pe;
    memcpy(pe.id, ln->peer, ln->peer_len);
    pe.len = ln->peer_len;
    return pe;
}

void
aa_link_address(aa_link *ln, const aa_link_peer *to)
{
    AA_REQUIRE(ln->role == AA_LINK_BIND && to->len <= sizeof ln->peer);
    memcpy(ln->peer, to->id, to->len);
    ln->peer_len = to->len;
}

/* ---- receiving ---- */

static bool
known_kind(unsigned kind)
{
    switch ((aa_msg_kind)kind) {
    case AA_MSG_OPEN:
    case AA_MSG_OPENED:
    case AA_MSG_EVENTS:
    case AA_MSG_ASSIGNED:
    case AA_MSG_REWARDS:
    case AA_MSG_RESEND:
    case AA_MSG_BARRIER:
    case AA_MSG_DURABLE:
    case AA_MSG_UNSAVED:
    case AA_MSG_END:
    case AA_MSG_CREDIT:
    case AA_MSG_PING:
    case AA_MSG_RESET:
    case AA_MSG_OFFER:
    case AA_MSG_FETCH:
    case AA_MSG_FETCHED:
    case AA_MSG_RELEASED:
    case AA_MSG_REFUSED: return true;
    }
    return false;
}

/* One frame into msg, without waiting. */
static aa_status
recv_frame(aa_link *ln, zmq_msg_t *msg, aa_err *err)
{
    int rc;
    do {
        rc = zmq_msg_recv(msg, ln->sock, ZMQ_DONTWAIT);
    } while (rc < 0 && errno == EINTR);
    if (rc >= 0) return AA_OK;
    if (errno == EAGAIN) return aa_fail(err, AA_EAGAIN, "%s: nothing there", ln->endpoint);
    return aa_fail(err, AA_EIO, "%s: receive: %s", ln->endpoint, zmq_strerror(errno));
}

/* All frames of one message: the first of several goes to `identity`, the last one to ln->in.
 * A multipart message is there as a whole or not at all,
 * so only the first recv can find nothing. */
static aa_status
recv_frames(aa_link *ln, zmq_msg_t *identity, size_t *frames, aa_err *err)
{
    size_t n = 0;
    for (bool more = true; more; n++) {
        aa_status st = recv_frame(ln, &ln->in, err);
        if (st != AA_OK) return st;
        more = zmq_msg_more(&ln->in) != 0;
        if (more && n == 0) zmq_msg_move(identity, &ln->in);
    }
    *frames = n;
    return AA_OK;
}

/* Is what came a message of ours, as this role gets them? */
static bool
well_formed(aa_link *ln, size_t frames)
{
    const uint8_t *at = zmq_msg_data(&ln->in);
    return frames == (ln->role == AA_LINK_BIND ? 2 : 1) && zmq_msg_size(&ln->in) > 0 &&
           known_kind(at[0]);
}

aa_status
aa_link_recv(aa_link *ln, aa_msg_kind *kind, const void **buf, size_t *len_bytes, aa_err *err)
{
    zmq_msg_t identity;
    size_t    frames = 0;
    AA_REQUIRE(ln->role != AA_LINK_PUBLISH);
    zmq_msg_init(&identity);
    aa_status st = recv_frames(ln, &identity, &frames, err);
    if (st != AA_OK) goto out;
    if (!well_formed(ln, frames)) {
        count_one(&ln->garbage, ln->garbage_total);
        st = aa_fail(err, AA_EPARSE, "%s: not a message of ours: %zu frames, last of %zu bytes",
                     ln->endpoint, frames, zmq_msg_size(&ln->in));
        goto out;
    }
    if (ln->role == AA_LINK_BIND) {
        ln->peer_len = zmq_msg_size(&identity); /* at most 255 bytes, says ZeroMQ */
        AA_REQUIRE(ln->peer_len <= sizeof ln->peer);
        memcpy(ln->peer, zmq_msg_data(&identity), ln->peer_len);
    }
    const uint8_t *at = zmq_msg_data(&ln->in);
    *kind = (aa_msg_kind)at[0];
    *buf = at + 1;
    *len_bytes = zmq_msg_size(&ln->in) - 1;
out:
    zmq_msg_close(&identity);
    return st;
}

/* ---- waiting ---- */

aa_status
aa_link_poll(aa_link *const *links, size_t link_count, const int *fds, size_t fd_count,
             int timeout_ms, unsigned *ready, aa_err *err)
{
    zmq_pollitem_t items[AA_LINK_MAX_POLL];
    unsigned       bit[AA_LINK_MAX_POLL], got = 0;
    int            count = 0;
    AA_REQUIRE(link_count + fd_count <= AA_LINK_MAX_POLL);
    for (size_t i = 0; i < link_count + fd_count; i++) {
        bool is_link = i < link_count;
        if (is_link ? !links[i] : fds[i - link_count] < 0) continue;
        items[count] = (zmq_pollitem_t){.socket = is_link ? links[i]->sock : NULL,
                                        .fd = is_link ? 0 : fds[i - link_count],
                                        .events = ZMQ_POLLIN};
        bit[count++] = 1u << i;
    }
    int rc = zmq_poll(items, count, timeout_ms);
    /* a signal ends the wait: the caller looks at its stop flag */
    if (rc < 0 && errno != EINTR) return aa_fail(err, AA_EIO, "zmq_poll: %s", zmq_strerror(errno));
    for (int i = 0; rc > 0 && i < count; i++)
        if (items[i].revents) got |= bit[i];
    if (ready) *ready = got;
    return AA_OK;
}
