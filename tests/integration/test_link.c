/* Links between two ends in one process, over real sockets. Every wait has a deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "common/base/clock.h"
#include "common/links/link.h"
#include "common/links/rpc.h"

#define DEADLINE_MS 10000
/* Long enough for what must not happen to show itself on a local socket. */
#define SILENCE_MS 700

static char folder[64];

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/aa-link-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int
remove_folder(void **state)
{
    (void)state;
    char path[512];
    DIR *dir = opendir(folder); /* libzmq leaves the paths it bound */
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        unlink(path);
    }
    if (dir) closedir(dir);
    return rmdir(folder);
}

static void
endpoint_ipc(char *out, size_t size, const char *name)
{
    snprintf(out, size, "ipc://%s/%s", folder, name);
}

static aa_link *
open_link(aa_link_role role, const char *endpoint, const aa_link_keys *keys)
{
    aa_link  *ln = NULL;
    aa_err    err = AA_ERR_INIT;
    aa_status st = aa_link_open(&ln, role, endpoint, keys, &err);
    if (st != AA_OK) fail_msg("%s: %s", endpoint, err.text);
    return ln;
}

static void
send_text(aa_link *ln, aa_msg_kind kind, const char *text)
{
    aa_err err = AA_ERR_INIT;
    if (aa_link_send(ln, kind, text, strlen(text), &err)) fail_msg("%s", err.text);
}

/* Next message within the time, as text; AA_EAGAIN when none came. */
static aa_status
recv_within(aa_link *ln, int wait_ms, aa_msg_kind *kind, char *text, size_t size)
{
    int64_t deadline = aa_now_ms() + wait_ms;
    for (;;) {
        const void *buf;
        size_t      len;
        aa_err      err = AA_ERR_INIT;
        aa_status   st = aa_link_recv(ln, kind, &buf, &len, &err);
        if (st == AA_OK) {
            assert_true(len < size);
            memcpy(text, buf, len);
            text[len] = '\0';
            return AA_OK;
        }
        if (st != AA_EAGAIN) return st;
        int64_t left = deadline - aa_now_ms();
        if (left <= 0) return AA_EAGAIN;
        assert_int_equal(aa_link_poll(&ln, 1, NULL, 0, (int)left, NULL, &err), AA_OK);
    }
}

static void
expect_text(aa_link *ln, aa_msg_kind kind, const char *want)
{
    aa_msg_kind got_kind;
    char        got[256];
    assert_int_equal(recv_within(ln, DEADLINE_MS, &got_kind, got, sizeof got), AA_OK);
    assert_int_equal(got_kind, kind);
    assert_string_equal(got, want);
}

static void
expect_silence(aa_link *ln)
{
    aa_msg_kind kind;
    char        text[256];
    assert_int_equal(recv_within(ln, SILENCE_MS, &kind, text, sizeof text), AA_EAGAIN);
}

static void
ask_and_answer(const char *endpoint, const aa_link_keys *keys)
{
    aa_link *server = open_link(AA_LINK_BIND, endpoint, keys);
    aa_link *client = open_link(AA_LINK_CONNECT, aa_link_endpoint(server), keys);
    for (int i = 0; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof text, "question %d", i);
        send_text(client, AA_MSG_EVENTS, text);
        expect_text(server, AA_MSG_EVENTS, text);
        send_text(server, AA_MSG_CREDIT, text);
        expect_text(client, AA_MSG_CREDIT, text);
    }
    send_text(client, AA_MSG_PING, ""); /* a message may be its kind alone */
    expect_text(server, AA_MSG_PING, "");
    aa_link_close(&client);
    aa_link_close(&server);
    assert_null(server);
}

static void
questions_are_answered_over_ipc_and_tcp(void **state)
{
    (void)state;
    char endpoint[128];
    endpoint_ipc(endpoint, sizeof endpoint, "qa");
    ask_and_answer(endpoint, NULL);
    ask_and_answer("tcp://127.0.0.1:*", NULL);
}

static void
each_peer_gets_its_own_answer(void **state)
{
    (void)state;
    char     endpoint[128];
    aa_link *clients[3];
    endpoint_ipc(endpoint, sizeof endpoint, "many");
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    for (size_t i = 0; i < 3; i++)
        clients[i] = open_link(AA_LINK_CONNECT, endpoint, NULL);
    for (size_t round = 0; round < 5; round++) {
        for (size_t i = 0; i < 3; i++) {
            char text[32];
            snprintf(text, sizeof text, "%zu of %zu", round, i);
            send_text(clients[i], AA_MSG_EVENTS, text);
            expect_text(server, AA_MSG_EVENTS, text);
            send_text(server, AA_MSG_CREDIT, text);
        }
        for (size_t i = 0; i < 3; i++) {
            char text[32];
            snprintf(text, sizeof text, "%zu of %zu", round, i);
            expect_text(clients[i], AA_MSG_CREDIT, text);
        }
    }
    for (size_t i = 0; i < 3; i++)
        aa_link_close(&clients[i]);
    aa_link_close(&server);
}

static void
binding_end_addresses_whom_it_has_heard(void **state)
{
    (void)state;
    char         endpoint[128];
    aa_link     *clients[3];
    aa_link_peer peer[3];
    endpoint_ipc(endpoint, sizeof endpoint, "addressed");
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    assert_int_equal(aa_link_sender(server).len, 0); /* nobody yet */
    for (size_t i = 0; i < 3; i++) {
        clients[i] = open_link(AA_LINK_CONNECT, endpoint, NULL);
        send_text(clients[i], AA_MSG_OFFER, "here");
        expect_text(server, AA_MSG_OFFER, "here");
        peer[i] = aa_link_sender(server);
    }
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 3; i-- > 0;) { /* not in the order in which they were heard */
            char text[32];
            snprintf(text, sizeof text, "%zu for %zu", round, i);
            aa_link_address(server, &peer[i]);
            send_text(server, AA_MSG_FETCH, text);
            expect_text(clients[i], AA_MSG_FETCH, text);
        }
    for (size_t i = 0; i < 3; i++)
        aa_link_close(&clients[i]);
    aa_link_close(&server);
}

static void
connecting_first_and_binding_later_works(void **state)
{
    (void)state;
    char endpoint[128];
    endpoint_ipc(endpoint, sizeof endpoint, "later");
    aa_link *client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    send_text(client, AA_MSG_OPEN, "queued for nobody");
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    expect_text(server, AA_MSG_OPEN, "queued for nobody");
    aa_link_close(&client);
    aa_link_close(&server);
}

static void
server_may_die_and_return(void **state)
{
    (void)state;
    char endpoint[128];
    endpoint_ipc(endpoint, sizeof endpoint, "restart");
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    aa_link *client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    for (int life = 0; life < 3; life++) {
        /* what is sent while the client has not noticed may be lost: it pings until it is heard */
        aa_msg_kind kind;
        char        text[256];
        int64_t     deadline = aa_now_ms() + DEADLINE_MS;
        do {
            assert_true(aa_now_ms() < deadline);
            send_text(client, AA_MSG_PING, "there?");
        } while (recv_within(server, 100, &kind, text, sizeof text) == AA_EAGAIN);
        send_text(server, AA_MSG_RESET, "new here");
        expect_text(client, AA_MSG_RESET, "new here");
        aa_link_close(&server);
        server = open_link(AA_LINK_BIND, endpoint, NULL);
    }
    aa_link_close(&client);
    aa_link_close(&server);
}

/* The metric as it is rendered has this value. */
static void
check_metric(aa_metrics *ms, const char *name, uint64_t want)
{
    char   line[160];
    size_t len;
    char  *text = aa_metrics_render(ms, &len);
    assert_non_null(text);
    snprintf(line, sizeof line, "\n%s %llu\n", name, (unsigned long long)want);
    if (!strstr(text, line)) fail_msg("no%s", line);
    free(text);
}

static void
answer_to_a_vanished_peer_is_lost_and_counted(void **state)
{
    (void)state;
    char endpoint[128];
    endpoint_ipc(endpoint, sizeof endpoint, "vanish");
    aa_link    *server = open_link(AA_LINK_BIND, endpoint, NULL);
    aa_link    *client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    aa_metrics *ms = aa_metrics_new();
    aa_link_export(server, ms, "events");
    send_text(client, AA_MSG_OPEN, "hello");
    expect_text(server, AA_MSG_OPEN, "hello");
    aa_link_close(&client);
    int64_t deadline = aa_now_ms() + DEADLINE_MS;
    while (aa_link_lost(server) == 0) { /* until the server's side has noticed */
        assert_true(aa_now_ms() < deadline);
        send_text(server, AA_MSG_OPENED, "are you there");
        assert_int_equal(aa_link_poll(&server, 1, NULL, 0, 5, NULL, NULL), AA_OK);
    }
    check_metric(ms, "autoassign_link_lost_messages_total{link=\"events\"}", aa_link_lost(server));
    /* its successor is somebody else, and gets answers again */
    client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    send_text(client, AA_MSG_OPEN, "me again");
    expect_text(server, AA_MSG_OPEN, "me again");
    send_text(server, AA_MSG_OPENED, "welcome");
    expect_text(client, AA_MSG_OPENED, "welcome");
    aa_link_close(&client);
    aa_link_close(&server);
    aa_metrics_free(&ms);
}

static void
full_queue_is_reported_not_dropped(void **state)
{
    (void)state;
    char endpoint[128];
    endpoint_ipc(endpoint, sizeof endpoint, "nobody");
    aa_link  *client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    aa_link  *server = NULL;
    aa_err    err = AA_ERR_INIT;
    size_t    sent = 0;
    aa_status st;
    while ((st = aa_link_send(client, AA_MSG_EVENTS, &sent, sizeof sent, &err)) == AA_OK &&
           sent < 1000000)
        sent++;
    assert_int_equal(st, AA_EFULL);
    assert_true(sent >= 1024);
    server = open_link(AA_LINK_BIND, endpoint, NULL);
    assert_int_equal(aa_link_send(server, AA_MSG_CREDIT, "", 0, &err), AA_EFULL); /* to whom? */
    for (size_t i = 0; i < sent; i++) { /* all that was accepted arrives, in order */
        aa_msg_kind kind;
        const void *buf;
        size_t      len, got;
        while ((st = aa_link_recv(server, &kind, &buf, &len, &err)) == AA_EAGAIN)
            assert_int_equal(aa_link_poll(&server, 1, NULL, 0, DEADLINE_MS, NULL, &err), AA_OK);
        assert_int_equal(st, AA_OK);
        assert_int_equal(len, sizeof got);
        memcpy(&got, buf, sizeof got);
        assert_int_equal(got, i);
    }
    aa_link_close(&client);
    aa_link_close(&server);
}

static void
slow_peer_fills_the_answer_queue_without_loss(void **state)
{
    (void)state;
    char   endpoint[128];
    aa_err err = AA_ERR_INIT;
    endpoint_ipc(endpoint, sizeof endpoint, "slow");
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    aa_link *client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    send_text(client, AA_MSG_OPEN, "hello");
    expect_text(server, AA_MSG_OPEN, "hello");
    size_t    sent = 0;
    int64_t   deadline = aa_now_ms() + DEADLINE_MS;
    aa_status st = AA_OK;
    while (st == AA_OK) { /* ends when both queues and the socket's buffers are full */
        assert_true(aa_now_ms() < deadline);
        st = aa_link_send(server, AA_MSG_CREDIT, &sent, sizeof sent, &err);
        if (st == AA_OK) sent++;
    }
    assert_int_equal(st, AA_EFULL);
    for (size_t i = 0; i < sent; i++) {
        aa_msg_kind kind;
        const void *buf;
        size_t      len, got;
        while ((st = aa_link_recv(client, &kind, &buf, &len, &err)) == AA_EAGAIN)
            assert_int_equal(aa_link_poll(&client, 1, NULL, 0, DEADLINE_MS, NULL, &err), AA_OK);
        assert_int_equal(st, AA_OK);
        memcpy(&got, buf, sizeof got);
        assert_int_equal(got, i);
    }
    assert_int_equal(aa_link_lost(server), 0);
    aa_link_close(&client);
    aa_link_close(&server);
}

static void
dropped_publications_show_as_a_gap(void **state)
{
    (void)state;
    char   endpoint[128];
    aa_err err = AA_ERR_INIT;
    endpoint_ipc(endpoint, sizeof endpoint, "pub");
    aa_link *pub = open_link(AA_LINK_PUBLISH, endpoint, NULL);
    aa_link *sub = open_link(AA_LINK_SUBSCRIBE, endpoint, NULL);
    /* subscriptions travel: publish until the first one is seen */
    uint64_t seq = 0, first = 0;
    int64_t  deadline = aa_now_ms() + DEADLINE_MS;
    while (!first) {
        aa_msg_kind kind;
        const void *buf;
        size_t      len;
        assert_true(aa_now_ms() < deadline);
        seq++;
        assert_int_equal(aa_link_send(pub, AA_MSG_REWARDS, &seq, sizeof seq, &err), AA_OK);
        assert_int_equal(aa_link_poll(&sub, 1, NULL, 0, 5, NULL, &err), AA_OK);
        if (aa_link_recv(sub, &kind, &buf, &len, &err) == AA_OK) memcpy(&first, buf, sizeof first);
    }
    /* far more than the queues hold, to a subscriber that does not read: sending never blocks */
    uint64_t end = seq + 200000;
    while (seq < end) {
        seq++;
        assert_int_equal(aa_link_send(pub, AA_MSG_REWARDS, &seq, sizeof seq, &err), AA_OK);
    }
    uint64_t last = first, received = 0, gaps = 0;
    while (last < end) {
        aa_msg_kind kind;
        char        text[256];
        uint64_t    got;
        if (recv_within(sub, 200, &kind, text, sizeof text) != AA_OK) {
            /* the tail itself was dropped: the next publication shows that too */
            assert_true(aa_now_ms() < deadline + 4 * DEADLINE_MS);
            seq++;
            assert_int_equal(aa_link_send(pub, AA_MSG_REWARDS, &seq, sizeof seq, &err), AA_OK);
            continue;
        }
        memcpy(&got, text, sizeof got);
        assert_true(got > last); /* never out of order, never twice */
        gaps += got != last + 1;
        last = got;
        received++;
    }
    assert_true(gaps > 0);
    assert_true(received < 200000);
    aa_link_close(&sub);
    aa_link_close(&pub);
}

static void
garbage_of_other_zmq_peers_is_counted_and_dropped(void **state)
{
    (void)state;
    char        endpoint[128], text[256];
    aa_msg_kind kind;
    endpoint_ipc(endpoint, sizeof endpoint, "garbage");
    aa_metrics *ms = aa_metrics_new();
    aa_link    *server = open_link(AA_LINK_BIND, endpoint, NULL);
    aa_link_export(server, ms, "events");
    void *ctx = zmq_ctx_new();
    void *dealer = zmq_socket(ctx, ZMQ_DEALER);
    int   linger = 0;
    assert_int_equal(zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger), 0);
    assert_int_equal(zmq_connect(dealer, endpoint), 0);
    const struct {
        const char *part[4];
        size_t      parts;
    } bad[] = {
        {{""}, 1},                       /* no kind */
        {{"?what"}, 1},                  /* unknown kind */
        {{"\xff\xfe\xfd"}, 1},           /* binary */
        {{"", "E"}, 2},                  /* as a REQ socket would */
        {{"", "E", "E"}, 3},             /* too many frames */
        {{"E", "", "E", "much more"}, 4} /* far too many */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t p = 0; p < bad[i].parts; p++) {
            const char *part = bad[i].part[p];
            int         more = p + 1 < bad[i].parts ? ZMQ_SNDMORE : 0;
            assert_int_equal(zmq_send(dealer, part, strlen(part), more), strlen(part));
        }
        assert_int_equal(recv_within(server, DEADLINE_MS, &kind, text, sizeof text), AA_EPARSE);
        assert_int_equal(aa_link_garbage(server), i + 1);
        check_metric(ms, "autoassign_link_damaged_messages_total{link=\"events\"}", i + 1);
    }
    assert_int_equal(zmq_send(dealer, "Pgood", 5, 0), 5);
    expect_text(server, AA_MSG_PING, "good");
    zmq_close(dealer);
    zmq_ctx_term(ctx);
    check_metric(ms, "autoassign_link_lost_messages_total{link=\"events\"}", 0);
    aa_link_close(&server);
    aa_metrics_free(&ms);
}

static void
stale_ipc_path_does_not_hinder_binding(void **state)
{
    (void)state;
    char endpoint[128];
    endpoint_ipc(endpoint, sizeof endpoint, "stale");
    struct sockaddr_un sa = {.sun_family = AF_UNIX}; /* what a killed process leaves there */
    const int          fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(strlen(endpoint) - strlen("ipc://") < sizeof sa.sun_path);
    memcpy(sa.sun_path, endpoint + strlen("ipc://"), strlen(endpoint) - strlen("ipc://"));
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    close(fd);
    ask_and_answer(endpoint, NULL);
}

static void
a_file_at_an_ipc_address_is_refused_and_not_deleted(void **state)
{
    (void)state;
    char           endpoint[128];
    aa_err         err = AA_ERR_INIT;
    aa_link       *ln = NULL;
    aa_rpc_server *sv = NULL;
    endpoint_ipc(endpoint, sizeof endpoint, "valuable");
    const char *path = endpoint + strlen("ipc://");
    FILE       *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(aa_link_open(&ln, AA_LINK_BIND, endpoint, NULL, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "it is no socket"));
    assert_int_equal(aa_rpc_listen(&sv, endpoint, NULL, 0, &err), AA_ECONFIG);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void
an_ipc_address_that_somebody_listens_at_is_refused_and_says_who(void **state)
{
    (void)state;
    char     endpoint[128], pid[32];
    aa_err   err = AA_ERR_INIT;
    aa_link *second = NULL;
    endpoint_ipc(endpoint, sizeof endpoint, "taken");
    aa_link *first = open_link(AA_LINK_BIND, endpoint, NULL);
    assert_int_equal(aa_link_open(&second, AA_LINK_BIND, endpoint, NULL, &err), AA_EIO);
    snprintf(pid, sizeof pid, "in use by pid %ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    aa_link *client = open_link(AA_LINK_CONNECT, endpoint, NULL); /* the first is not deaf */
    send_text(client, AA_MSG_PING, "still there");
    expect_text(first, AA_MSG_PING, "still there");
    aa_link_close(&client);
    aa_link_close(&first);
    first = open_link(AA_LINK_BIND, endpoint, NULL); /* free again, though the path is there */
    aa_link_close(&first);
}

/* A question and its answer from a client at `to`. */
static void
reach(aa_link *server, const char *to)
{
    aa_link *client = open_link(AA_LINK_CONNECT, to, NULL);
    send_text(client, AA_MSG_PING, "hello");
    expect_text(server, AA_MSG_PING, "hello");
    send_text(server, AA_MSG_CREDIT, "hello yourself");
    expect_text(client, AA_MSG_CREDIT, "hello yourself");
    aa_link_close(&client);
}

static void
ipv6_addresses_and_host_names_can_be_bound_and_reached(void **state)
{
    (void)state;
    char        by_name[64];
    const char *port;
    aa_err      err = AA_ERR_INIT;
    aa_link    *server = open_link(AA_LINK_BIND, "tcp://localhost:*", NULL);
    reach(server, aa_link_endpoint(server));
    port = strrchr(aa_link_endpoint(server), ':');
    snprintf(by_name, sizeof by_name, "tcp://localhost%s", port);
    reach(server, by_name);
    aa_link_close(&server);
    assert_int_equal(aa_link_open(&server, AA_LINK_BIND, "tcp://::1:5555", NULL, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "tcp://[::1]:5555"));
    if (aa_link_open(&server, AA_LINK_BIND, "tcp://[::1]:*", NULL, &err) != AA_OK)
        return; /* a machine without IPv6 */
    assert_memory_equal(aa_link_endpoint(server), "tcp://[::1]:", 12);
    reach(server, aa_link_endpoint(server));
    aa_link_close(&server);
}

static void
bad_endpoints_and_keys_are_named_in_the_error(void **state)
{
    (void)state;
    static const struct {
        aa_link_role role;
        const char  *endpoint;
        aa_status    want;
    } bad[] = {{AA_LINK_BIND, "nonsense", AA_ECONFIG},
               {AA_LINK_BIND, "pigeon://here", AA_ECONFIG},
               {AA_LINK_CONNECT, "tcp://127.0.0.1", AA_ECONFIG},
               {AA_LINK_BIND, "ipc:///nowhere/to/be/found/x", AA_EIO},
               {AA_LINK_BIND, "tcp://192.0.2.1:5555", AA_EIO}}; /* not an address of ours */
    aa_link *ln = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err err = AA_ERR_INIT;
        assert_int_equal(aa_link_open(&ln, bad[i].role, bad[i].endpoint, NULL, &err), bad[i].want);
        assert_non_null(strstr(err.text, bad[i].endpoint));
        assert_null(ln);
    }
    aa_err       err = AA_ERR_INIT;
    aa_link_keys keys = {.public_key = "short", .secret_key = "short"};
    assert_int_equal(aa_link_open(&ln, AA_LINK_BIND, "tcp://127.0.0.1:*", &keys, &err), AA_ECONFIG);
    assert_null(ln);
}

static void
curve_takes_the_holder_of_the_key_pair(void **state)
{
    (void)state;
    char public_key[41], secret_key[41];
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    aa_link_keys keys = {public_key, secret_key, NULL};
    ask_and_answer("tcp://127.0.0.1:*", &keys);
}

/* A client that knows whom to talk to, but is not in the pipeline. */
static void
curve_refuses_everybody_else(void **state)
{
    (void)state;
    char public_key[41], secret_key[41], other_public[41], other_secret[41];
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    assert_int_equal(zmq_curve_keypair(other_public, other_secret), 0);
    aa_link_keys        ours = {public_key, secret_key, NULL};
    aa_link_keys        wrong_client = {other_public, other_secret, public_key};
    aa_link_keys        wrong_server = {public_key, secret_key, other_public};
    aa_link_keys        wrong_secret = {public_key, other_secret, public_key};
    const aa_link_keys *intruders[] = {NULL, &wrong_client, &wrong_server, &wrong_secret};
    aa_link            *server = open_link(AA_LINK_BIND, "tcp://127.0.0.1:*", &ours);
    for (size_t i = 0; i < sizeof intruders / sizeof *intruders; i++) {
        aa_link *client = open_link(AA_LINK_CONNECT, aa_link_endpoint(server), intruders[i]);
        send_text(client, AA_MSG_EVENTS, "let me in");
        expect_silence(server);
        aa_link_close(&client);
    }
    aa_link *friend = open_link(AA_LINK_CONNECT, aa_link_endpoint(server), &ours);
    send_text(friend, AA_MSG_EVENTS, "it is me");
    expect_text(server, AA_MSG_EVENTS, "it is me");
    aa_link_close(&friend);
    aa_link_close(&server);
}

static void
poll_says_which_of_links_and_descriptors_is_ready(void **state)
{
    (void)state;
    char   endpoint[128];
    int    pipe_fds[2];
    aa_err err = AA_ERR_INIT;
    endpoint_ipc(endpoint, sizeof endpoint, "poll");
    assert_int_equal(pipe(pipe_fds), 0);
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    aa_link *client = open_link(AA_LINK_CONNECT, endpoint, NULL);
    aa_link *links[] = {NULL, client, server};
    int      fds[] = {-1, pipe_fds[0]};
    unsigned ready = 99;
    assert_int_equal(aa_link_poll(links, 3, fds, 2, 0, &ready, &err), AA_OK);
    assert_int_equal(ready, 0);
    send_text(client, AA_MSG_PING, "x");
    assert_int_equal(aa_link_poll(links, 3, fds, 2, DEADLINE_MS, &ready, &err), AA_OK);
    assert_int_equal(ready, 1u << 2);
    expect_text(server, AA_MSG_PING, "x");
    assert_int_equal(write(pipe_fds[1], "y", 1), 1);
    assert_int_equal(aa_link_poll(links, 3, fds, 2, DEADLINE_MS, &ready, &err), AA_OK);
    assert_int_equal(ready, 1u << 4);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    aa_link_close(&client);
    aa_link_close(&server);
}

static volatile sig_atomic_t alarms;
static void
count_alarm(int signal_number)
{
    (void)signal_number;
    alarms = alarms + 1;
}

static void
signal_ends_a_wait_without_error(void **state)
{
    (void)state;
    char             endpoint[128];
    aa_err           err = AA_ERR_INIT;
    unsigned         ready = 99;
    struct sigaction act = {.sa_handler = count_alarm}, before;
    struct itimerval timer = {.it_value = {.tv_usec = 50000}};
    endpoint_ipc(endpoint, sizeof endpoint, "signal");
    aa_link *server = open_link(AA_LINK_BIND, endpoint, NULL);
    assert_int_equal(sigaction(SIGALRM, &act, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
    int64_t start = aa_now_ms();
    assert_int_equal(aa_link_poll(&server, 1, NULL, 0, DEADLINE_MS, &ready, &err), AA_OK);
    assert_int_equal(ready, 0);
    assert_int_equal(alarms, 1);
    assert_true(aa_now_ms() - start < DEADLINE_MS / 2);
    sigaction(SIGALRM, &before, NULL);
    aa_link_close(&server);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_answered_over_ipc_and_tcp),
        cmocka_unit_test(each_peer_gets_its_own_answer),
        cmocka_unit_test(binding_end_addresses_whom_it_has_heard),
        cmocka_unit_test(connecting_first_and_binding_later_works),
        cmocka_unit_test(server_may_die_and_return),
        cmocka_unit_test(answer_to_a_vanished_peer_is_lost_and_counted),
        cmocka_unit_test(full_queue_is_reported_not_dropped),
        cmocka_unit_test(slow_peer_fills_the_answer_queue_without_loss),
        cmocka_unit_test(dropped_publications_show_as_a_gap),
        cmocka_unit_test(garbage_of_other_zmq_peers_is_counted_and_dropped),
        cmocka_unit_test(stale_ipc_path_does_not_hinder_binding),
        cmocka_unit_test(a_file_at_an_ipc_address_is_refused_and_not_deleted),
        cmocka_unit_test(an_ipc_address_that_somebody_listens_at_is_refused_and_says_who),
        cmocka_unit_test(ipv6_addresses_and_host_names_can_be_bound_and_reached),
        cmocka_unit_test(bad_endpoints_and_keys_are_named_in_the_error),
        cmocka_unit_test(curve_takes_the_holder_of_the_key_pair),
        cmocka_unit_test(curve_refuses_everybody_else),
        cmocka_unit_test(poll_says_which_of_links_and_descriptors_is_ready),
        cmocka_unit_test(signal_ends_a_wait_without_error),
    };
    return cmocka_run_group_tests_name("common/links/link", tests, make_folder, remove_folder);
}
