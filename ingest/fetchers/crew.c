#include "ingest/fetchers/crew.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/messages/wire.h"
#include "common/messages/wire_fetch.h"
#include "ingest/decode/deadletter.h"

enum { RECEIVE_AT_A_TIME = 64 }; /* then the stream gets its turn */

struct crew {
    const aa_conf *cfg;
    aa_link       *ln; /* owned */
    members       *mb; /* owned */
    aa_offer       offer;
    aa_fetched     fetched;
    aa_bytes       out; /* the last message packed */
    aa_gauge      *count, *working;
    aa_counter    *events, *letters, *gaps, *strays;
};

aa_status
crew_open(crew **out, const aa_conf *cfg, aa_metrics *ms, aa_err *err)
{
    aa_link_keys keys = aa_link_keys_of(cfg);
    crew        *cr = calloc(1, sizeof *cr);

    if (!cr) return aa_fail(err, AA_ENOMEM, "fetchers");
    cr->cfg = cfg;
    cr->count =
        aa_metrics_gauge(ms, "autoassign_fetchers", "", "fetchers that have sent an offer lately");
    cr->working = aa_metrics_gauge(ms, "autoassign_fetchers_working", "",
                                   "fetchers that read partitions of the open run");
    cr->events = aa_metrics_counter(ms, "autoassign_fetched_events_total", "",
                                    "events that came from fetchers");
    cr->letters = aa_metrics_counter(ms, "autoassign_fetched_letters_total", "",
                                     "dead letters that came from fetchers");
    cr->gaps = aa_metrics_counter(ms, "autoassign_fetch_gaps_total", "",
                                  "gaps in the messages of fetchers, which were requested again");
    cr->strays = aa_metrics_counter(ms, "autoassign_fetch_strays_total", "",
                                    "messages of fetchers for an older request, ignored");
    aa_status st = members_new(&cr->mb, cfg, err);
    if (st == AA_OK) st = aa_link_open(&cr->ln, AA_LINK_BIND, cfg->links.fetchers, &keys, err);
    aa_link_export(cr->ln, ms, "fetchers");
    if (st != AA_OK) crew_close(&cr);
    *out = cr;
    return st;
}

void
crew_close(crew **cr_p)
{
    crew *cr = *cr_p;
    if (!cr) return;
    aa_link_close(&cr->ln);
    members_free(&cr->mb);
    aa_portions_fini(&cr->offer.po);
    aa_fetched_fini(&cr->fetched);
    aa_bytes_fini(&cr->out);
    free(cr);
    *cr_p = NULL;
}

members *
crew_members(crew *cr)
{
    return cr->mb;
}

aa_link *
crew_link(crew *cr)
{
    return cr->ln;
}

/* ---- out ---- */

/* What does not get through is repeated: each offer is answered. */
static aa_status
post(crew *cr, const aa_link_peer *to, aa_msg_kind kind, aa_err *err)
{
    aa_link_address(cr->ln, to);
    aa_status st = aa_link_send(cr->ln, kind, cr->out.data, cr->out.len, err);
    if (st != AA_EFULL) return st;
    aa_debug("FETCHER", "%s", err->text);
    return AA_OK;
}

static aa_status
post_control(crew *cr, const aa_link_peer *to, aa_msg_kind kind, uint64_t seq, const char *reason,
             aa_err *err)
{
    aa_control c = {.hd = {.seq = seq, .lane = (uint32_t)cr->cfg->pipeline.lane}};

    snprintf(c.reason, sizeof c.reason, "%s", reason);
    aa_status st = aa_wire_pack_control(&cr->out, &c, err);
    return st == AA_OK ? post(cr, to, kind, err) : st;
}

static aa_status
tell(crew *cr, const order *od, aa_err *err)
{
    members_act act;

    while (members_step(cr->mb, od, &act)) {
        aa_status st;
        if (act.kind == AA_MSG_RELEASED) {
            st = post_control(cr, &act.to, act.kind, act.hd.seq, "", err);
        } else {
            st = aa_wire_pack_fetch(&cr->out, act.fetch, err);
            if (st == AA_OK) st = post(cr, &act.to, act.kind, err);
        }
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

aa_status
crew_end(crew *cr, const order *od, aa_err *err)
{
    members_end(cr->mb);
    return tell(cr, od, err);
}

/* ---- in ---- */

static aa_status
take_offer(crew *cr, const void *buf, size_t len, aa_err *err)
{
    const aa_link_peer from = aa_link_sender(cr->ln);
    const aa_offer    *of = &cr->offer;
    members_news       news;
    aa_status          st = aa_wire_unpack_offer(&cr->offer, buf, len, err);

    if (st != AA_OK) return st;
    st = members_offer(cr->mb, &from, of, aa_now_us(), &news, err);
    if (st == AA_EFULL) { /* until another leaves: it hears nothing, and tries on */
        aa_warn("FETCHER-FULL", "%s: %s is not answered", err->text, of->name);
        return AA_OK;
    }
    if (st == AA_ECONFIG) {
        aa_warn("FETCHER-REFUSED", "%s", err->text);
        return post_control(cr, &from, AA_MSG_REFUSED, of->hd.seq, err->text, err);
    }
    if (st != AA_OK || news == MEMBERS_SAME) return st;
    if (news == MEMBERS_LEAVES)
        aa_info("FETCHER", "%s leaves", of->name);
    else
        aa_info("FETCHER", "%s %s %zu partitions", of->name,
                news == MEMBERS_WITHDRAWS ? "withdraws from" : "has", of->po.n);
    return AA_OK;
}

static aa_status
push_letter(order *od, size_t idx, const aa_fetched *fe, const aa_fetched_letter *le, aa_err *err)
{
    const unsigned char *at = fe->bytes.data ? fe->bytes.data + le->at : NULL;
    aa_kafka_header      headers[DEADLETTER_HEADERS];
    const size_t         header_count =
        at ? deadletter_headers(at + le->key_len + le->len, le->headers_len, headers) : 0;
    const aa_kafka_record rec = {.partition = fe->partition,
                                 .offset = le->offset,
                                 .timestamp_ms = le->time_ms,
                                 .headers = headers,
                                 .header_count = header_count,
                                 .key = le->has_key ? (at ? at : (const void *)"") : NULL,
                                 .key_len = le->key_len,
                                 .value = le->has_value ? (at ? at + le->key_len : (const void *)"")
                                                        : NULL,
                                 .len = le->len};
    const bool            known = le->reason > DECODE_OK && le->reason < DECODE_REASON_COUNT;
    deadletter           *dl =
        deadletter_new(&rec, known ? (decode_reason)le->reason : DECODE_MALFORMED, le->why);

    if (!dl) return aa_fail(err, AA_ENOMEM, "dead letter of %zu bytes", le->len);
    dl->full_len = le->full_len;
    order_push_letter(od, idx, &dl);
    return AA_OK;
}

static aa_status
take_fetched(crew *cr, order *od, const void *buf, size_t len, aa_err *err)
{
    const aa_link_peer from = aa_link_sender(cr->ln);
    const aa_fetched  *fe = &cr->fetched;
    size_t             idx = 0;
    aa_status          st = aa_wire_unpack_fetched(&cr->fetched, buf, len, err);

    if (st != AA_OK) return st;
    switch (members_fetched(cr->mb, od, &from, fe, &idx)) {
    case MEMBERS_TAKEN: break;
    case MEMBERS_STRAY: aa_counter_add(cr->strays, 1); return AA_OK;
    case MEMBERS_GAP:
        aa_counter_add(cr->gaps, 1);
        aa_debug("FETCHER", "partition %" PRId32 ": a message is missing, asked again",
                 fe->partition);
        return AA_OK;
    }
    for (size_t i = 0; i < fe->n; i++)
        order_push(od, idx, fe->offset[i], &fe->columns, i, fe->arrival_ms[i]);
    for (size_t i = 0; st == AA_OK && i < fe->letter_count; i++)
        st = push_letter(od, idx, fe, &fe->letter[i], err);
    if (st == AA_OK) order_pass(od, idx, aa_fetched_next(fe));
    aa_counter_add(cr->events, fe->n);
    aa_counter_add(cr->letters, fe->letter_count);
    return st;
}

/* AA_EAGAIN: nothing (more) there. */
static aa_status
receive(crew *cr, order *od, aa_err *err)
{
    aa_msg_kind kind;
    const void *buf = NULL;
    size_t      len = 0;
    aa_status   st = aa_link_recv(cr->ln, &kind, &buf, &len, err);

    if (st == AA_OK && kind == AA_MSG_OFFER) st = take_offer(cr, buf, len, err);
    if (st == AA_OK && kind == AA_MSG_FETCHED) st = take_fetched(cr, od, buf, len, err);
    if (st != AA_EPARSE) return st;
    aa_warn("LINK-GARBAGE", "%s", err->text);
    return AA_OK;
}

aa_status
crew_serve(crew *cr, order *od, size_t *got, aa_err *err)
{
    aa_status   st = AA_OK;
    const char *name;

    *got = 0;
    while (*got < RECEIVE_AT_A_TIME && (st = receive(cr, od, err)) == AA_OK)
        (*got)++;
    if (st == AA_EAGAIN) { /* all has been heard: who is silent now is */
        while ((name = members_silent(cr->mb, aa_now_us())))
            aa_warn("FETCHER-GONE", "%s: nothing heard for %" PRId64 " ms", name,
                    cr->cfg->ingest.fetcher_silence_ms);
        st = AA_OK;
    }
    if (st != AA_OK) return st;
    aa_gauge_set(cr->count, (double)members_count(cr->mb));
    aa_gauge_set(cr->working, (double)members_working(cr->mb));
    return tell(cr, od, err);
}
