#include "ingest/letters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"

enum {
    ASK_MS = 2000,            /* for what the topic takes */
    FLUSH_MS = 20,            /* one look at whether all is delivered */
    CLOSE_MS = 5000,          /* for what is under way at the end */
    TOPIC_MAX_BYTES = 1048588 /* what a topic takes when nothing is known of it: Kafka's default */
};

struct letters {
    const aa_conf *cfg;
    aa_producer   *pr;          /* owned */
    size_t         topic_bytes; /* that the topic takes in a batch; 0: not asked yet */
    bool           out;         /* some were sent since all were durable */
    bool           closing;
    uint64_t       lost;
    aa_status      failed; /* the process is to end with it */
    char           why[sizeof((aa_err *)0)->text];
};

/* ---- open ---- */

static void on_end(void *arg, const aa_delivery *de);

aa_status
letters_open(letters **out, const aa_conf *cfg, aa_err *err)
{
    /* letters have their message's time, which may be old: a broker that deletes by age would delete
     * them at once */
    static const char *const settings[] = {"retention.ms", "-1"};

    char     topic[AA_CONF_STR + 8];
    letters *le = calloc(1, sizeof *le);

    if (!le) return aa_fail(err, AA_ENOMEM, "letters");
    le->cfg = cfg;
    deadletter_topic(topic, cfg);
    aa_status st = aa_topic_create(cfg, topic, 0, settings, 2, NULL, err);
    if (st == AA_OK) st = aa_producer_open(&le->pr, cfg, err);
    if (st != AA_OK) {
        letters_close(&le);
        return st;
    }
    aa_producer_tell(le->pr, on_end, le);
    *out = le;
    return AA_OK;
}

/* Before the first letter: most pipelines send none. A topic that takes little gets small
 * batches. */
static aa_status
ask_topic(letters *le, aa_err *err)
{
    char         topic[AA_CONF_STR + 8];
    int64_t      bytes;
    aa_producer *small = NULL;
    aa_status    st;

    if (le->topic_bytes > 0) return AA_OK;
    deadletter_topic(topic, le->cfg);
    bytes = aa_topic_max_bytes(le->cfg, topic, ASK_MS);
    le->topic_bytes = bytes > 0 ? (size_t)bytes : TOPIC_MAX_BYTES;
    if (le->topic_bytes >= TOPIC_MAX_BYTES) return AA_OK;
    st = aa_producer_open_small(&small, le->cfg, bytes, err);
    if (st != AA_OK) return st;
    aa_producer_free(&le->pr, 0); /* nothing was sent by it */
    le->pr = small;
    aa_producer_tell(le->pr, on_end, le);
    return AA_OK;
}

void
letters_close(letters **le_p)
{
    letters *le = *le_p;
    if (!le) return;
    le->closing = true; /* what is not delivered now is sent again by the next process */
    aa_producer_free(&le->pr, CLOSE_MS);
    free(le);
    *le_p = NULL;
}

/* ---- what becomes of a letter ---- */

static void
lose_letter(letters *le, const deadletter *dl, const char *why)
{
    char kv[128];

    le->lost++;
    snprintf(kv, sizeof kv, "partition=%" PRId32 " offset=%" PRId64 " reason=%s", dl->partition,
             dl->offset, decode_slug(dl->reason));
    aa_log_write(AA_ERROR, "LETTER-LOST", kv, "the dead-letter topic does not take it: %s", why);
    if (le->cfg->ingest.on_lost_letter != AA_ON_LOST_LETTER_FAIL || le->failed != AA_OK) return;
    le->failed = AA_EIO;
    snprintf(le->why, sizeof le->why,
             "dead letter of partition %" PRId32 " offset %" PRId64
             ": the topic does not take it: %.120s. ingest.on_lost_letter=log continues without",
             dl->partition, dl->offset, why);
}

/* Key and value are the message's own copy; what is known besides comes back with its end. */
static aa_status
queue_letter(letters *le, const deadletter *dl, aa_err *err)
{
    deadletter *head = malloc(sizeof *head + dl->headers_len);

    if (!head) return aa_fail(err, AA_ENOMEM, "dead letter");
    *head = *dl;
    head->headers_at = 0;
    if (dl->headers_len > 0) memcpy(head->bytes, dl->bytes + dl->headers_at, dl->headers_len);
    aa_status st = deadletter_send(le->pr, le->cfg, dl, aa_wall_ms(), head, err);
    if (st == AA_OK)
        le->out = true;
    else
        free(head);
    return st;
}

/* As much of it as is taken at once. @errors AA_EFULL; AA_EPARSE not even its headers; AA_EIO */
static aa_status
queue_what_fits(letters *le, deadletter *dl, aa_err *err)
{
    aa_status st;

    while ((st = queue_letter(le, dl, err)) == AA_EPARSE) {
        if (dl->key_len + dl->len > 0)
            deadletter_cut(dl, (dl->key_len + dl->len) / 2);
        else if (dl->headers_len > 0)
            dl->headers_len = 0; /* the message's own; ours stay */
        else
            break;
    }
    return st;
}

/* What is left of so many bytes for key and value. */
static size_t
without_frame(const letters *le, const deadletter *dl, size_t bytes)
{
    const size_t frame = deadletter_frame_bytes(le->cfg, dl);
    return bytes > frame ? bytes - frame : 0;
}

/* The topic refused it; its bytes are there once more. Before, it was not cut: what is large may
 * well be small when compressed. */
static void
send_less(letters *le, const deadletter *head, const aa_delivery *de)
{
    aa_err       err = AA_ERR_INIT;
    const size_t bytes = de->key_len + de->len;
    aa_status    st = AA_ENOMEM;
    const bool   less = bytes + head->headers_len > 0;
    deadletter  *dl = less ? malloc(sizeof *dl + bytes + head->headers_len) : NULL;

    if (dl) {
        *dl = *head;
        dl->headers_at = bytes;
        if (dl->headers_len > 0) memcpy(dl->bytes + bytes, head->bytes, dl->headers_len);
        if (bytes == 0) dl->headers_len = 0; /* the message's own; ours stay */
        if (de->key_len > 0) memcpy(dl->bytes, de->key, de->key_len);
        if (de->len > 0) memcpy(dl->bytes + de->key_len, de->value, de->len);
        const size_t fits = without_frame(le, dl, le->topic_bytes);
        deadletter_cut(dl, fits < bytes ? fits : bytes / 2);
        st = queue_what_fits(le, dl, &err);
    }
    if (st != AA_OK) lose_letter(le, head, dl ? err.text : de->why);
    deadletter_free(&dl);
}

static void
on_end(void *arg, const aa_delivery *de)
{
    letters    *le = arg;
    deadletter *head = de->mark;

    switch (de->how) {
    case AA_DELIVERY_DONE: break;
    case AA_DELIVERY_TOO_LARGE: send_less(le, head, de); break;
    case AA_DELIVERY_FAILED:
        if (!le->closing) lose_letter(le, head, de->why);
        break;
    case AA_DELIVERY_UNUSABLE:
        le->failed = AA_EIO;
        snprintf(le->why, sizeof le->why, "dead letters cannot be sent any more: %.160s", de->why);
        break;
    }
    free(head);
}

/* ---- for the loop ---- */

void
letters_poll(letters *le)
{
    aa_producer_poll(le->pr);
}

aa_status
letters_send(letters *le, deadletter *dl, aa_err *err)
{
    aa_status st = ask_topic(le, err);

    if (st != AA_OK) return st;
    if (aa_producer_behind(le->pr))
        return aa_fail(err, AA_EAGAIN, "the broker does not take dead letters fast enough");
    if (le->failed != AA_OK) return aa_fail(err, le->failed, "%s", le->why);
    deadletter_cut(dl, without_frame(le, dl, (size_t)aa_producer_max_bytes(le->pr)));
    st = queue_what_fits(le, dl, err);
    if (st == AA_OK || st == AA_ENOMEM) return st;
    if (st == AA_EFULL) return aa_fail(err, AA_EAGAIN, "the queue of dead letters is full");
    lose_letter(le, dl, err->text);
    return le->failed == AA_OK ? AA_OK : aa_fail(err, le->failed, "%s", le->why);
}

aa_status
letters_durable(letters *le, aa_err *err)
{
    if (!le->out) return AA_OK;
    aa_status st = aa_producer_flush(le->pr, FLUSH_MS, err);
    if (le->failed != AA_OK) return aa_fail(err, le->failed, "%s", le->why);
    if (st == AA_OK) le->out = false;
    return st == AA_EIO ? AA_EAGAIN : st;
}

uint64_t
letters_lost(const letters *le)
{
    return le->lost;
}
