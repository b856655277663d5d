/* common/links/rpc with the sockets that clients may have. */
#include "common/links/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

enum { WAIT_MS = 10000, MAX_BYTES = 1000 };

typedef struct {
    aa_rpc_server *sv;
    void          *context, *socket;
    aa_err         err;
} fixture;

static int
start(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (aa_rpc_listen(&fx->sv, "tcp://127.0.0.1:*", NULL, MAX_BYTES, &fx->err))
        fail_msg("%s", fx->err.text);
    fx->context = zmq_ctx_new();
    *state = fx;
    return 0;
}

static int
stop(void **state)
{
    fixture *fx = *state;
    if (fx->socket) zmq_close(fx->socket);
    zmq_ctx_term(fx->context);
    aa_rpc_close(&fx->sv);
    assert_null(fx->sv);
    free(fx);
    return 0;
}

static void
connect_as(fixture *fx, int type)
{
    int none = 0, wait_ms = WAIT_MS;
    fx->socket = zmq_socket(fx->context, type);
    zmq_setsockopt(fx->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(fx->socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    assert_int_equal(zmq_connect(fx->socket, aa_rpc_endpoint(fx->sv)), 0);
}

static void
send_frame(fixture *fx, const char *text, int flags)
{
    assert_int_equal(zmq_send(fx->socket, text, strlen(text), flags), (int)strlen(text));
}

static void
expect_frame(fixture *fx, const char *want, bool want_more)
{
    char   got[100] = "";
    int    more = 0;
    size_t size = sizeof more;
    int    len = zmq_recv(fx->socket, got, sizeof got - 1, 0);
    assert_int_equal(len, strlen(want));
    assert_string_equal(got, want);
    zmq_getsockopt(fx->socket, ZMQ_RCVMORE, &more, &size);
    assert_int_equal(more, want_more);
}

static void
serve(fixture *fx, const char *want, const char *answer)
{
    const void *buf;
    size_t      len;
    aa_status   st = aa_rpc_recv(fx->sv, WAIT_MS, &buf, &len, &fx->err);
    if (st != AA_OK) fail_msg("%s: %s", aa_status_name(st), fx->err.text);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(buf, want, len);
    assert_int_equal(aa_rpc_reply(fx->sv, answer, strlen(answer), &fx->err), AA_OK);
}

static void
a_plain_req_socket_is_answered(void **state)
{
    fixture *fx = *state;
    connect_as(fx, ZMQ_REQ);
    for (int i = 0; i < 3; i++) {
        send_frame(fx, "question", 0);
        serve(fx, "question", "answer");
        expect_frame(fx, "answer", false);
    }
}

static void
a_req_socket_that_numbers_its_questions_is_answered(void **state)
{
    fixture *fx = *state;
    int      on = 1;
    connect_as(fx, ZMQ_REQ);
    zmq_setsockopt(fx->socket, ZMQ_REQ_CORRELATE, &on, sizeof on);
    send_frame(fx, "question", 0);
    serve(fx, "question", "answer");
    expect_frame(fx, "answer", false);
}

static void
a_dealer_is_answered_as_it_asked(void **state)
{
    fixture *fx = *state;
    connect_as(fx, ZMQ_DEALER);
    send_frame(fx, "bare", 0);
    serve(fx, "bare", "1");
    expect_frame(fx, "1", false);
    send_frame(fx, "", ZMQ_SNDMORE);
    send_frame(fx, "with delimiter", 0);
    serve(fx, "with delimiter", "2");
    expect_frame(fx, "", true);
    expect_frame(fx, "2", false);
    send_frame(fx, "", 0); /* an empty question is one */
    serve(fx, "", "3");
    expect_frame(fx, "3", false);
}

static void
a_question_of_several_frames_is_told_so(void **state)
{
    fixture    *fx = *state;
    const void *buf;
    size_t      len;
    connect_as(fx, ZMQ_REQ);
    for (int frames = 2; frames < 20; frames += 9) {
        for (int i = 0; i < frames; i++)
            send_frame(fx, "x", i + 1 < frames ? ZMQ_SNDMORE : 0);
        assert_int_equal(aa_rpc_recv(fx->sv, WAIT_MS, &buf, &len, &fx->err), AA_EPARSE);
        assert_null(buf);
        assert_int_equal(aa_rpc_reply(fx->sv, "no", 2, &fx->err), AA_OK);
        expect_frame(fx, "no", false);
    }
    send_frame(fx, "good", 0);
    serve(fx, "good", "yes");
    expect_frame(fx, "yes", false);
}

static void
a_message_beyond_the_limit_is_not_even_received(void **state)
{
    fixture    *fx = *state;
    const void *buf;
    size_t      len;
    char        big[MAX_BYTES + 1] = "";
    connect_as(fx, ZMQ_DEALER);
    assert_int_equal(zmq_send(fx->socket, big, sizeof big, 0), sizeof big);
    /* the peer is disconnected; when it comes again by itself, only what is fair gets through */
    assert_int_equal(zmq_send(fx->socket, "fair", 4, 0), 4);
    aa_status st = aa_rpc_recv(fx->sv, 300, &buf, &len, &fx->err);
    assert_true(st == AA_EAGAIN || (st == AA_OK && len == 4));
    zmq_close(fx->socket);
    connect_as(fx, ZMQ_REQ);
    send_frame(fx, "fair", 0);
    do
        st = aa_rpc_recv(fx->sv, WAIT_MS, &buf, &len, &fx->err);
    while (st == AA_OK && len != 4 && len <= MAX_BYTES);
    assert_in_range(len, 4, MAX_BYTES);
    assert_int_equal(st, AA_OK);
    assert_int_equal(aa_rpc_reply(fx->sv, "yes", 3, &fx->err), AA_OK);
    expect_frame(fx, "yes", false);
}

static void
our_client_asks_and_gives_up_in_time(void **state)
{
    fixture       *fx = *state;
    aa_rpc_client *cl = NULL;
    const void    *reply;
    size_t         len;
    assert_int_equal(aa_rpc_connect(&cl, aa_rpc_endpoint(fx->sv), NULL, &fx->err), AA_OK);
    assert_int_equal(aa_rpc_ask(cl, "late", 4, 50, &reply, &len, &fx->err), AA_EAGAIN);
    serve(fx, "late", "too late");
    assert_int_equal(aa_rpc_ask(cl, "lost", 4, 50, &reply, &len, &fx->err), AA_EAGAIN);
    aa_rpc_disconnect(&cl);
    assert_null(cl);
    serve(fx, "lost", "to nobody"); /* whose asker has gone: no error */
}

static void
endpoints_that_make_no_sense_or_are_taken_are_errors(void **state)
{
    fixture       *fx = *state;
    aa_rpc_server *sv = NULL;
    aa_rpc_client *cl = NULL;
    assert_int_equal(aa_rpc_listen(&sv, "nonsense", NULL, 0, &fx->err), AA_ECONFIG);
    assert_int_equal(aa_rpc_listen(&sv, aa_rpc_endpoint(fx->sv), NULL, 0, &fx->err),
                     AA_EIO); /* in use */
    assert_non_null(strstr(fx->err.text, "cannot listen on tcp://"));
    assert_int_equal(aa_rpc_connect(&cl, "nonsense", NULL, &fx->err), AA_ECONFIG);
    assert_null(sv);
    assert_null(cl);
}

static void
with_keys_only_who_knows_the_servers_key_is_answered(void **state)
{
    fixture       *fx = *state;
    char           public_key[41], secret_key[41], other_public[41], other_secret[41];
    aa_rpc_server *sv = NULL;
    aa_rpc_client *cl = NULL, *wrong = NULL;
    const void    *buf;
    size_t         len;
    assert_int_equal(zmq_curve_keypair(public_key, secret_key), 0);
    assert_int_equal(zmq_curve_keypair(other_public, other_secret), 0);
    aa_link_keys keys = {.public_key = public_key, .secret_key = secret_key};
    aa_link_keys other = {.public_key = other_public, .secret_key = other_secret};
    assert_int_equal(aa_rpc_listen(&sv, "tcp://127.0.0.1:*", &keys, 0, &fx->err), AA_OK);
    assert_int_equal(aa_rpc_connect(&wrong, aa_rpc_endpoint(sv), &other, &fx->err), AA_OK);
    assert_int_equal(aa_rpc_ask(wrong, "x", 1, 100, &buf, &len, &fx->err), AA_EAGAIN);
    assert_int_equal(aa_rpc_connect(&cl, aa_rpc_endpoint(sv), &keys, &fx->err), AA_OK);
    assert_int_equal(aa_rpc_ask(cl, "mine", 4, 1, &buf, &len, &fx->err), AA_EAGAIN);
    assert_int_equal(aa_rpc_recv(sv, WAIT_MS, &buf, &len, &fx->err), AA_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(buf, "mine", 4);
    aa_rpc_disconnect(&wrong);
    aa_rpc_disconnect(&cl);
    aa_rpc_close(&sv);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plain_req_socket_is_answered),
        TEST(a_req_socket_that_numbers_its_questions_is_answered),
        TEST(a_dealer_is_answered_as_it_asked),
        TEST(a_question_of_several_frames_is_told_so),
        TEST(a_message_beyond_the_limit_is_not_even_received),
        TEST(our_client_asks_and_gives_up_in_time),
        TEST(endpoints_that_make_no_sense_or_are_taken_are_errors),
        TEST(with_keys_only_who_knows_the_servers_key_is_answered),
    };
    return cmocka_run_group_tests_name("common/links/rpc", tests, NULL, NULL);
}
