#include "ingest/fetchers/fetcher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_consumer.h"
#include "common/links/link.h"
#include "common/messages/wire.h"
#include "common/messages/wire_fetch.h"
#include "ingest/decode/announce.h"
#include "ingest/decode/arrived.h"
#include "ingest/decode/deadletter.h"
#include "ingest/decode/decode.h"
#include "ingest/fetchers/supply.h"
#include "ingest/registry/registry.h"

enum {
    CHUNK = 1024,           /* records of a message, at most */
    LETTER_BYTES = 1 << 20, /* in one message; one letter more may be in it */
    OFFER_EVERY_US = 200000,
    OFFER_ALONE_US = 1000000,    /* while nobody answers */
    ALONE_US = 15000000,         /* without an answer: leave the group */
    ANSWER_US = 3000000,         /* an answer is not older than that: ready */
    WAIT_EVERY_US = 30000000,    /* says so again */
    RELEASE_LIMIT_US = 25000000, /* a sequencer's drain takes 15 s at most, its commit 6 s */
    RELEASE_ALONE_US = 8000000,  /* while nobody answers: a commit, in which it does not, is over */
    CONNECT_EVERY_US = 2000000,  /* between tries to reach a broker */
    SHOW_US = 500000
};

typedef struct {
    aa_context      *ctx;
    const aa_conf   *cfg;
    aa_link         *ln;
    aa_consumer     *cs; /* NULL: not in the group */
    announce        *an; /* NULL: publish.item_names is off */
    decode          *dc;
    registry        *rg; /* NULL: none */
    supply           su;
    aa_offer         offer;
    aa_fetch         fetch;
    aa_fetched       fe; /* being filled */
    aa_control       control;
    aa_bytes         out;
    aa_kafka_offset *po;                                      /* (su.n) owned; scratch */
    aa_kafka_record *rec;                                     /* (CHUNK) owned */
    int64_t          offer_us, heard_us, connect_us, show_us; /* next; last; next; next */
    int64_t          give_up_us;                              /* withdrawing: until then */
    int64_t          stats_us;
    int64_t          wait_us;     /* nobody answers: when to say so next; 0: now */
    bool             heard;       /* a sequencer has answered, ever */
    bool             member;      /* the group has dealt */
    bool             withdrawing; /* the group wants the partitions back, or we stop */
    bool             done;
    fetcher_metrics  mt;
} fetcher;

/* ---- the group ---- */

static aa_status
open_kafka(fetcher *fr, aa_err *err)
{
    aa_status st = AA_OK;

    if (!fr->an && fr->cfg->publish.enabled && fr->cfg->publish.item_names)
        st = announce_open(&fr->an, fr->cfg, err);
    if (st == AA_OK)
        st = aa_consumer_open(&fr->cs, fr->cfg, fr->cfg->topics.interactions, true, err);
    return st;
}

/* A sequencer has answered: join. A broker that is not there yet is tried again. */
static aa_status
join(fetcher *fr, aa_err *err)
{
    if (fr->cs || aa_now_us() < fr->connect_us || aa_stop_requested()) return AA_OK;
    fr->connect_us = aa_now_us() + CONNECT_EVERY_US;
    aa_status st = open_kafka(fr, err);
    if (st == AA_OK) aa_info("FETCHER", "joining the group");
    if (st != AA_EIO) return st;
    aa_warn("KAFKA-WAIT", "%s", err->text);
    return AA_OK;
}

static void
forget_partitions(fetcher *fr)
{
    supply_clear(&fr->su);
    fr->withdrawing = false;
    fr->offer_us = 0;
}

static void
leave(fetcher *fr)
{
    forget_partitions(fr);
    aa_consumer_free(&fr->cs);
    fr->member = false;
}

static void
withdraw(fetcher *fr)
{
    if (fr->withdrawing) return;
    fr->withdrawing = true;
    fr->give_up_us = aa_now_us() + RELEASE_LIMIT_US;
    fr->offer_us = 0;
}

/* The sequencer has committed, or takes too long: the partitions are the group's. */
static aa_status
give_back(fetcher *fr, aa_err *err)
{
    forget_partitions(fr);
    if (aa_stop_requested()) {
        fr->done = true;
        return AA_OK;
    }
    return aa_consumer_release(fr->cs, err);
}

static aa_status
take_dealt(fetcher *fr, const aa_kafka_offset *dealt, size_t n, aa_err *err)
{
    aa_kafka_offset *po = realloc(fr->po, (n + 1) * sizeof *po);

    if (!po) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    fr->po = po;
    aa_status st = supply_deal(&fr->su, dealt, n, err);
    if (st != AA_OK) return st;
    fr->member = true;
    fr->withdrawing = false;
    fr->offer_us = 0;
    aa_info("REBALANCE", "%zu partitions assigned", n);
    return aa_consumer_assign(fr->cs, po, 0, err); /* read nothing before it is asked for */
}

static aa_status
serve_group(fetcher *fr, aa_err *err)
{
    aa_consumer_event      event = AA_CONSUMER_NOTHING;
    const aa_kafka_offset *dealt = NULL;
    size_t                 n = 0;

    if (!fr->cs) return AA_OK;
    aa_status st = aa_consumer_poll(fr->cs, &event, &dealt, &n, err);
    if (st != AA_OK) return st;
    switch (event) {
    case AA_CONSUMER_NOTHING: return AA_OK;
    case AA_CONSUMER_ASSIGNED: return take_dealt(fr, dealt, n, err);
    case AA_CONSUMER_REVOKED:
        aa_info("REBALANCE", "partitions revoked: the sequencer drains");
        withdraw(fr);
        return AA_OK;
    case AA_CONSUMER_LOST: aa_warn("REBALANCE", "partitions lost"); return give_back(fr, err);
    }
    return AA_OK;
}

/* ---- the sequencer ---- */

/* Read from where each partition stands: what was read ahead of that goes. */
static aa_status
read_anew(fetcher *fr, aa_err *err)
{
    size_t slots = 0;

    for (size_t i = 0; i < fr->su.n; i++) {
        supply_part *part = &fr->su.part[i];
        part->slot = SUPPLY_NOT_READ;
        if (part->attempt == 0 || part->gone) continue;
        part->slot = slots;
        fr->po[slots].partition = part->partition;
        fr->po[slots++].offset = part->next;
    }
    return aa_consumer_assign(fr->cs, fr->po, slots, err);
}

static void
hear(fetcher *fr)
{
    fr->heard = true;
    fr->heard_us = aa_now_us();
}

static aa_status
take_answer(fetcher *fr, aa_msg_kind kind, const void *buf, size_t len, aa_err *err)
{
    aa_status st;

    if (kind == AA_MSG_FETCH) {
        st = aa_wire_unpack_fetch(&fr->fetch, buf, len, err);
        if (st == AA_OK) hear(fr);
        if (st != AA_OK || !fr->cs || fr->withdrawing) return st;
        return supply_asked(&fr->su, &fr->fetch) ? read_anew(fr, err) : AA_OK;
    }
    if (kind != AA_MSG_RELEASED && kind != AA_MSG_REFUSED) return AA_OK;
    st = aa_wire_unpack_control(&fr->control, buf, len, err);
    if (st != AA_OK) return st;
    hear(fr);
    if (kind == AA_MSG_REFUSED)
        return aa_fail(err, AA_ECONFIG, "the sequencer at %s refuses: %s", aa_link_endpoint(fr->ln),
                       fr->control.reason);
    if (!fr->withdrawing || fr->control.hd.seq != fr->su.term) return AA_OK;
    return give_back(fr, err);
}

static aa_status
serve_link(fetcher *fr, bool *progress, aa_err *err)
{
    for (;;) {
        aa_msg_kind kind;
        const void *buf = NULL;
        size_t      len = 0;
        aa_status   st = aa_link_recv(fr->ln, &kind, &buf, &len, err);

        if (st == AA_EAGAIN) return AA_OK;
        if (st == AA_OK) st = take_answer(fr, kind, buf, len, err);
        if (st == AA_EPARSE)
            aa_warn("LINK-GARBAGE", "%s", err->text);
        else if (st != AA_OK)
            return st;
        *progress = true;
    }
}

static aa_status
send_packed(fetcher *fr, aa_msg_kind kind, aa_err *err)
{
    aa_status st = aa_link_send(fr->ln, kind, fr->out.data, fr->out.len, err);
    if (st != AA_EFULL) return st;
    aa_debug("FETCHER", "%s", err->text); /* lost: offers are repeated, records asked for again */
    return AA_OK;
}

static aa_status
send_offer(fetcher *fr, int64_t now_us, aa_err *err)
{
    if (now_us < fr->offer_us) return AA_OK;
    fr->offer_us =
        now_us + (now_us - fr->heard_us < OFFER_ALONE_US ? OFFER_EVERY_US : OFFER_ALONE_US);
    aa_status st = supply_offer(&fr->su, &fr->offer, err);
    if (st != AA_OK) return st;
    fr->offer.withdrawing = fr->withdrawing;
    for (size_t i = 0; i < fr->su.n; i++) {
        const supply_part *part = &fr->su.part[i];
        int64_t            lag = part->slot == SUPPLY_NOT_READ
                                     ? -1
                                     : aa_consumer_lag(fr->cs, part->partition, part->next);
        fr->offer.po.offset[i] = lag < 0 ? -1 : part->next + lag;
    }
    st = aa_wire_pack_offer(&fr->out, &fr->offer, err);
    return st == AA_OK ? send_packed(fr, AA_MSG_OFFER, err) : st;
}

/* Nobody answers: say so now and then, and after a while leave the group to those who are heard. */
static void
look_for_silence(fetcher *fr, int64_t now_us)
{
    const int64_t silent_us = now_us - fr->heard_us;

    if (silent_us < ANSWER_US) {
        fr->wait_us = 0;
        return;
    }
    if (now_us >= fr->wait_us) {
        fr->wait_us = now_us + WAIT_EVERY_US;
        aa_warn("FETCHER-WAIT",
                "no answer from the sequencer at %s: does it run, and with the same "
                "links.curve_* keys?",
                aa_link_endpoint(fr->ln));
    }
    if (!fr->cs || silent_us < ALONE_US || fr->withdrawing) return;
    aa_warn("FETCHER-WAIT", "leaving the group until the sequencer answers");
    leave(fr);
}

/* ---- records ---- */

static aa_status
add_letter(fetcher *fr, const aa_kafka_record *rec, decode_reason reason, aa_err *err)
{
    aa_fetched_letter head = {.offset = rec->offset, .reason = (uint32_t)reason};
    deadletter       *dl = NULL;

    aa_status st = arrived_bad(&dl, rec, reason, fr->dc, err); /* cuts what is too large */
    if (st != AA_OK) return st;
    head.has_key = dl->has_key;
    head.has_value = dl->has_value;
    head.key_len = dl->key_len;
    head.len = dl->len;
    head.full_len = dl->full_len;
    head.time_ms = dl->time_ms;
    head.headers_len = dl->headers_len;
    snprintf(head.why, sizeof head.why, "%s", dl->why);
    st = aa_fetched_add_letter(&fr->fe, &head, dl->bytes, dl->bytes + dl->key_len,
                               dl->bytes + dl->headers_at, err);
    deadletter_free(&dl);
    return st;
}

/* An event, or a letter; or the partition is held. */
static aa_status
add_record(fetcher *fr, supply_part *part, const aa_kafka_record *rec, int64_t now_ms, aa_err *err)
{
    aa_fetched   *fe = &fr->fe;
    const size_t  at = fe->n;
    decode_reason reason =
        decode_message(fr->dc, rec->value, rec->len, rec->timestamp_ms, &fe->columns, at);

    if (reason == DECODE_WAIT) {
        part->held = true;
        part->waits_for = decode_waits_for(fr->dc);
        return AA_OK;
    }
    if (reason == DECODE_SKIP) { /* the sequencer is to know that nothing more comes before it */
        fe->next = rec->offset + 1;
        aa_counter_add(fr->mt.passed_over, 1);
        return AA_OK;
    }
    if (reason != DECODE_OK) return add_letter(fr, rec, reason, err);
    fe->offset[at] = rec->offset;
    fe->arrival_ms[at] = arrived_ms(rec, now_ms);
    fe->n++;
    arrived_item(fr->an, fr->dc, &fe->key[at * fe->F], fe->F);
    return AA_OK;
}

static aa_status
send_records(fetcher *fr, supply_part *part, aa_err *err)
{
    aa_fetched  *fe = &fr->fe;
    const size_t records = fe->n + fe->letter_count;

    fe->hd = (aa_header){part->run_id, part->messages + 1, (uint32_t)fr->cfg->pipeline.lane};
    fe->partition = part->partition;
    fe->attempt = part->attempt;
    aa_status st = aa_wire_pack_fetched(&fr->out, fe, err);
    if (st == AA_OK) st = send_packed(fr, AA_MSG_FETCHED, err);
    if (st != AA_OK) return st;
    supply_sent(part, records, aa_fetched_next(fe));
    aa_counter_add(fr->mt.records, records);
    aa_counter_add(fr->mt.bad, fe->letter_count);
    if (fe->bytes.len >= LETTER_BYTES) supply_large(part);
    aa_fetched_clear(fe);
    return AA_OK;
}

/* What was read and holds no event: the sequencer is to know, or its commit would stay before
 * it. */
static aa_status
send_end(fetcher *fr, supply_part *part, int64_t end, aa_err *err)
{
    if (end <= part->next) return AA_OK; /* or AA_KAFKA_NO_OFFSET */
    aa_status st = aa_fetched_reserve(&fr->fe, 0, fr->cfg->field_count, err);
    if (st != AA_OK) return st;
    aa_fetched_clear(&fr->fe);
    fr->fe.next = end;
    return send_records(fr, part, err);
}

/* What comes next cannot be unpacked, and never will be: as the sequencer does with its own. */
static aa_status
skip_unreadable(fetcher *fr, supply_part *part, int64_t *end, const char *why, aa_err *err)
{
    int64_t from = 0, to = 0;
    char    kv[120];

    if (fr->cfg->ingest.on_lost_offset != AA_ON_LOST_OFFSET_SKIP)
        return aa_fail(err, AA_ECONFIG, "%s. ingest.on_lost_offset=skip continues behind them",
                       why);
    aa_status st = aa_consumer_skip(fr->cs, fr->cfg, part->slot, &from, &to, err);
    if (st == AA_EIO) { /* the next try of the library brings us back here */
        aa_warn("KAFKA-READ", "%s", err->text);
        return AA_OK;
    }
    if (st != AA_OK) return st;
    if (from < part->next) from = part->next;
    snprintf(kv, sizeof kv, "partition=%" PRId32 " offset=%" PRId64 " next=%" PRId64,
             part->partition, from, to);
    aa_log_write(AA_ERROR, "OFFSET-LOST", kv, "%s: continuing behind them", why);
    aa_counter_add(fr->mt.gaps, 1);
    if (to > from) aa_counter_add(fr->mt.lost, (uint64_t)(to - from));
    *end = to;
    return AA_OK;
}

/* What came before the message that waits is sent; that and what is behind it is read again. */
static aa_status
hold_partition(fetcher *fr, supply_part *part, aa_err *err)
{
    const aa_fetched *fe = &fr->fe;
    aa_status         st = AA_OK;
    if (fe->n + fe->letter_count > 0 || fe->next > part->next) st = send_records(fr, part, err);
    return st == AA_OK ? read_anew(fr, err) : st;
}

/* Where letters are so large that they need more messages than it may send, the rest of what was
 * read is read again. That happens once: supply_large sees to it that less is read. */
static aa_status
pump_partition(fetcher *fr, supply_part *part, size_t most, size_t *got, aa_err *err)
{
    size_t    n = 0;
    int64_t   end, now_ms = aa_wall_ms();
    aa_status st = aa_consumer_batch(fr->cs, part->slot, fr->rec, most, &n, &end, err);

    if (st == AA_ECONFIG) { /* the sequencer knows what to do about it */
        aa_warn("OFFSET-LOST", "%s", err->text);
        supply_gone(&fr->su, part);
        fr->offer_us = 0;
        return AA_OK;
    }
    if (st == AA_EPARSE) {
        const aa_err why = *err;
        st = skip_unreadable(fr, part, &end, why.text, err);
    }
    if (st == AA_OK) st = aa_fetched_reserve(&fr->fe, n, fr->cfg->field_count, err);
    if (st != AA_OK) return st;
    if (n == 0) return send_end(fr, part, end, err);
    aa_fetched_clear(&fr->fe);
    for (size_t i = 0; i < n; i++) {
        st = add_record(fr, part, &fr->rec[i], now_ms, err);
        if (st == AA_OK && part->held) return hold_partition(fr, part, err);
        if (i + 1 == n && end != AA_KAFKA_NO_OFFSET) fr->fe.next = end;
        if (st == AA_OK && (i + 1 == n || fr->fe.bytes.len >= LETTER_BYTES))
            st = send_records(fr, part, err);
        if (st != AA_OK) return st;
        ++*got;
        if (i + 1 < n && supply_may(part, 1) == 0) return read_anew(fr, err);
    }
    return AA_OK;
}

static aa_status
pump(fetcher *fr, size_t *got, aa_err *err)
{
    *got = 0;
    if (!fr->cs || fr->withdrawing) return AA_OK;
    if (fr->an) announce_tick(fr->an, aa_now_ms());
    for (size_t i = 0; i < fr->su.n; i++) {
        const size_t most = supply_may(&fr->su.part[i], CHUNK);
        aa_status    st;
        if (most == 0) continue;
        if (fr->su.part[i].held && !decode_schema_there(fr->dc, fr->su.part[i].waits_for)) continue;
        fr->su.part[i].held = false;
        st = pump_partition(fr, &fr->su.part[i], most, got, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* ---- the loop ---- */

static void
show_fetcher(fetcher *fr, int64_t now_us)
{
    const int64_t every_us = fr->cfg->log.stats_ms * 1000;
    const bool    answered = fr->heard && now_us - fr->heard_us < ANSWER_US;

    if (now_us < fr->show_us) return;
    fr->show_us = now_us + SHOW_US;
    aa_gauge_set(fr->mt.partitions, (double)fr->su.n);
    aa_gauge_set(fr->mt.in_flight, (double)supply_in_flight(&fr->su));
    const char *trouble = fr->cs ? aa_consumer_trouble(fr->cs) : NULL;
    if (!trouble) trouble = registry_trouble(fr->rg);
    aa_set_ready(fr->ctx, fr->member && answered && !trouble,
                 trouble    ? trouble
                 : answered ? "not in the group yet"
                            : "the sequencer does not answer");
    aa_log_flush_repeats();
    if (every_us == 0 || now_us - fr->stats_us < every_us || !aa_log_on(AA_INFO)) return;
    fr->stats_us = now_us;
    char kv[128];
    snprintf(kv, sizeof kv, "records=%" PRIu64 " bad=%" PRIu64 " partitions=%zu in_flight=%" PRIu64,
             aa_counter_get(fr->mt.records), aa_counter_get(fr->mt.bad), fr->su.n,
             supply_in_flight(&fr->su));
    aa_log_write(AA_INFO, "STATS", kv, "fetcher");
}

/* SIGTERM: what the sequencer has of our partitions is committed first. */
static aa_status
look_for_end(fetcher *fr, int64_t now_us, aa_err *err)
{
    if (aa_stop_requested()) {
        if (fr->su.n == 0)
            fr->done = true;
        else
            withdraw(fr);
    }
    if (!fr->withdrawing) return AA_OK;
    if (now_us < fr->give_up_us && now_us - fr->heard_us < RELEASE_ALONE_US) return AA_OK;
    aa_warn("DRAIN", "the sequencer has not released the partitions: giving them back");
    return give_back(fr, err);
}

static aa_status
wait_for_something(fetcher *fr, aa_err *err)
{
    int      fds[2] = {fr->cs ? aa_consumer_fd(fr->cs) : -1, aa_stop_fd()};
    unsigned ready = 0;
    int64_t  wait_us = fr->offer_us - aa_now_us();
    int      wait_ms = wait_us <= 0 ? 1 : wait_us > 200000 ? 200 : (int)((wait_us + 999) / 1000);

    if (aa_stop_requested()) fds[1] = -1; /* it stays readable */
    aa_status st = aa_link_poll(&fr->ln, 1, fds, 2, wait_ms, &ready, err);
    if (ready & 2u) aa_consumer_clear_fd(fr->cs);
    return st;
}

static aa_status
turn_fetcher(fetcher *fr, aa_err *err)
{
    bool          progress = false;
    size_t        got = 0;
    const int64_t now_us = aa_now_us();
    aa_status     st = serve_group(fr, err);

    if (st == AA_OK) st = serve_link(fr, &progress, err);
    if (st == AA_OK && fr->heard && now_us - fr->heard_us < ANSWER_US) st = join(fr, err);
    if (st == AA_OK) st = look_for_end(fr, now_us, err);
    look_for_silence(fr, now_us);
    if (st == AA_OK) st = send_offer(fr, now_us, err);
    if (st == AA_OK) st = pump(fr, &got, err);
    show_fetcher(fr, now_us);
    if (st != AA_OK || progress || got > 0 || fr->done) return st;
    return wait_for_something(fr, err);
}

void
fetcher_metrics_init(fetcher_metrics *fm, aa_metrics *ms)
{
    fm->lost = aa_metrics_counter(ms, "autoassign_events_lost_total", "",
                                  "Events that Kafka no longer had and that were skipped");
    fm->gaps = aa_metrics_counter(ms, "autoassign_offset_gaps_total", "",
                                  "Gaps that were skipped because Kafka no longer had the events");
    fm->passed_over =
        aa_metrics_counter(ms, "autoassign_events_skipped_total", "",
                           "messages passed over by event.label_other or fields.<f>.missing: skip");
    fm->records = aa_metrics_counter(ms, "autoassign_fetcher_records_total", "",
                                     "messages read from Kafka and sent to the sequencer");
    fm->bad = aa_metrics_counter(ms, "autoassign_fetcher_bad_total", "",
                                 "messages among them that are no valid events");
    fm->partitions = aa_metrics_gauge(ms, "autoassign_fetcher_partitions", "",
                                      "partitions that the group has assigned to this fetcher");
    fm->in_flight = aa_metrics_gauge(ms, "autoassign_fetcher_in_flight_messages", "",
                                     "messages sent that the sequencer has not acknowledged");
}

static aa_status
init_fetcher(fetcher *fr, aa_err *err)
{
    aa_metrics  *ms = fr->ctx->ms;
    aa_link_keys keys = aa_link_keys_of(fr->cfg);
    char         host[64] = "host";

    gethostname(host, sizeof host - 1);
    snprintf(fr->offer.name, sizeof fr->offer.name, "%.63s-%ld", host, (long)getpid());
    snprintf(fr->offer.pipeline, sizeof fr->offer.pipeline, "%.127s", fr->cfg->pipeline.name);
    fr->offer.hd.lane = (uint32_t)fr->cfg->pipeline.lane;
    fr->offer.decoding_digest = aa_conf_decoding_digest(fr->cfg);
    fr->heard_us =
        aa_now_us() - OFFER_ALONE_US; /* nobody yet: the first silence counts from here */
    fetcher_metrics_init(&fr->mt, ms);
    fr->rec = calloc(CHUNK, sizeof *fr->rec);
    if (!fr->rec) return aa_fail(err, AA_ENOMEM, "fetcher");
    aa_status st = decode_new(&fr->dc, fr->cfg, err);
    if (st == AA_OK) st = registry_open(&fr->rg, fr->cfg, err);
    if (st == AA_OK) decode_set_source(fr->dc, registry_source(fr->rg));
    if (st == AA_OK)
        st = aa_link_open(&fr->ln, AA_LINK_CONNECT, fr->cfg->links.fetchers, &keys, err);
    aa_link_export(fr->ln, ms, "fetchers");
    return st;
}

/* An offer of nothing that withdraws: the sequencer need not wait for more. */
static aa_status
say_goodbye(fetcher *fr, aa_err *err)
{
    char kv[64];

    snprintf(kv, sizeof kv, "records=%" PRIu64 " bad=%" PRIu64, aa_counter_get(fr->mt.records),
             aa_counter_get(fr->mt.bad));
    aa_log_write(AA_INFO, "FINAL", kv, "drained");
    supply_clear(&fr->su);
    fr->withdrawing = true;
    fr->offer_us = 0;
    return send_offer(fr, aa_now_us(), err);
}

aa_status
fetcher_run(aa_context *ctx, aa_err *err)
{
    fetcher *fr = calloc(1, sizeof *fr);

    if (!fr) return aa_fail(err, AA_ENOMEM, "fetcher");
    fr->ctx = ctx;
    fr->cfg = ctx->cfg;
    aa_status st = init_fetcher(fr, err);
    while (st == AA_OK && !fr->done)
        st = turn_fetcher(fr, err);
    aa_set_ready(ctx, false, "drained");
    if (st == AA_OK) st = say_goodbye(fr, err);
    aa_consumer_free(&fr->cs); /* leaves the group */
    announce_close(&fr->an);
    aa_link_close(&fr->ln);
    decode_free(&fr->dc);
    registry_close(&fr->rg);
    supply_fini(&fr->su);
    aa_portions_fini(&fr->offer.po);
    aa_portions_fini(&fr->fetch.po);
    aa_fetched_fini(&fr->fe);
    aa_bytes_fini(&fr->out);
    free(fr->po);
    free(fr->rec);
    free(fr);
    return st;
}
