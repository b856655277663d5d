#include "ingest/fetchers/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A fetcher is told anew when so many messages were taken, or it may send another quarter of what a
 * partition may have under way. */
enum { TELL_MESSAGES = PEERS_MESSAGES / 4, TELL_SHARE = 4 };

typedef struct {
    aa_link_peer id;
    char         name[128];
    bool         live, withdrawing;
    bool         answer; /* it is to be told something */
    uint64_t     term;   /* of its last offer */
    int64_t      heard_us;
    int32_t     *partition; /* (n) owned, ascending */
    int64_t     *end;       /* (n) owned */
    size_t       n, cap;
} peer;

/* A partition of the run. All but partition and owner: of the present attempt. */
typedef struct {
    int32_t  partition;
    size_t   owner;
    uint32_t attempt;
    uint64_t messages, records; /* taken */
    uint64_t told_messages, told_records;
    int64_t  next; /* offset after the last record taken */
} stream;

struct peers {
    const aa_conf *cfg;
    uint64_t       digest;
    size_t         topic_partitions;
    peer           peer[PEERS_MAX]; /* [0]: the sequencer */
    size_t         used;            /* places beyond have never been taken */
    bool           own_known;
    peers_part    *want; /* (want_n) owned, ascending: the union */
    size_t         want_n, want_cap;
    peers_part    *before; /* (before_cap) owned; scratch: the union before a change */
    size_t         before_cap;
    int64_t        changed_us; /* when the union last did, or the group dealt to the sequencer */
    peers_part    *taken;      /* (taken_n) owned: the run's */
    size_t         taken_n, taken_cap;
    stream        *st; /* (taken_n) owned */
    size_t         st_cap;
    uint64_t       run_id;          /* 0: none is open */
    bool           lost, lost_seen; /* in this run */
    size_t         turn;            /* whom peers_step looks at next */
    aa_fetch       fetch;
    char           gone[128];
};

aa_status
peers_new(peers **out, const aa_conf *cfg, aa_err *err)
{
    peers *pe = calloc(1, sizeof *pe);
    if (!pe) return aa_fail(err, AA_ENOMEM, "fetchers");
    pe->cfg = cfg;
    pe->digest = aa_conf_decoding_digest(cfg);
    pe->peer[PEERS_SELF].live = true;
    pe->used = PEERS_SELF + 1;
    *out = pe;
    return AA_OK;
}

void
peers_free(peers **pe_p)
{
    peers *pe = *pe_p;
    if (!pe) return;
    for (size_t k = 0; k < PEERS_MAX; k++) {
        free(pe->peer[k].partition);
        free(pe->peer[k].end);
    }
    free(pe->want);
    free(pe->before);
    free(pe->taken);
    free(pe->st);
    aa_portions_fini(&pe->fetch.po);
    free(pe);
    *pe_p = NULL;
}

/* ---- the union ---- */

/* Where the partition is in a list, or would be. */
static size_t
place(const peers_part *part, size_t n, int32_t partition)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (part[mid].partition < partition)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool
is_at(const peers_part *part, size_t n, size_t at, int32_t partition)
{
    return at < n && part[at].partition == partition;
}

/* The run's owner of a partition stays it while it offers it too; but the group's word to ourselves
 * is the newest there is. */
static void
want(peers *pe, int32_t partition, size_t owner)
{
    size_t at = place(pe->want, pe->want_n, partition), before;

    if (is_at(pe->want, pe->want_n, at, partition)) {
        before = place(pe->taken, pe->taken_n, partition);
        if (pe->want[at].owner != PEERS_SELF && pe->run_id > 0 &&
            is_at(pe->taken, pe->taken_n, before, partition) && pe->taken[before].owner == owner)
            pe->want[at].owner = owner;
        return;
    }
    memmove(&pe->want[at + 1], &pe->want[at], (pe->want_n - at) * sizeof *pe->want);
    pe->want[at] = (peers_part){partition, owner};
    pe->want_n++;
}

static aa_status
reserve_parts(peers_part **part, size_t *cap, size_t n, aa_err *err)
{
    peers_part *grown;
    if (n <= *cap && *part) return AA_OK;
    grown = realloc(*part, (n + 1) * sizeof *grown);
    if (!grown) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    *part = grown;
    *cap = n;
    return AA_OK;
}

static bool
same_parts(const peers_part *a, size_t a_n, const peers_part *b, size_t b_n)
{
    if (a_n != b_n) return false;
    for (size_t i = 0; i < a_n; i++)
        if (a[i].partition != b[i].partition || a[i].owner != b[i].owner) return false;
    return true;
}

static aa_status
unite(peers *pe, int64_t now_us, aa_err *err)
{
    size_t    total = 0, before_n = pe->want_n;
    aa_status st;

    for (size_t k = 0; k < pe->used; k++)
        total += pe->peer[k].n;
    st = reserve_parts(&pe->want, &pe->want_cap, total, err);
    if (st == AA_OK) st = reserve_parts(&pe->before, &pe->before_cap, pe->want_cap, err);
    if (st != AA_OK) return st;
    if (before_n > 0) memcpy(pe->before, pe->want, before_n * sizeof *pe->want);
    pe->want_n = 0;
    for (size_t k = 0; k < pe->used; k++) {
        const peer *p = &pe->peer[k];
        if (!p->live || p->withdrawing) continue;
        for (size_t i = 0; i < p->n; i++)
            want(pe, p->partition[i], k);
    }
    if (!same_parts(pe->want, pe->want_n, pe->before, before_n)) pe->changed_us = now_us;
    return AA_OK;
}

static aa_status
reserve_peer(peer *p, size_t n, aa_err *err)
{
    int32_t *partition;
    int64_t *end;

    if (n <= p->cap && p->partition) return AA_OK;
    partition = realloc(p->partition, (n + 1) * sizeof *partition);
    if (!partition) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    p->partition = partition;
    end = realloc(p->end, (n + 1) * sizeof *end);
    if (!end) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    p->end = end;
    p->cap = n;
    return AA_OK;
}

void
peers_topic(peers *pe, size_t partitions)
{
    pe->topic_partitions = partitions;
}

aa_status
peers_own(peers *pe, const int32_t *partition, size_t n, bool known, int64_t now_us, aa_err *err)
{
    peer     *self = &pe->peer[PEERS_SELF];
    aa_status st = reserve_peer(self, n, err);

    if (st != AA_OK) return st;
    if (n > 0) memcpy(self->partition, partition, n * sizeof *partition);
    self->n = n;
    if (known != pe->own_known) pe->changed_us = now_us; /* others are being dealt to as well */
    pe->own_known = known;
    return unite(pe, now_us, err);
}

/* ---- offers ---- */

static size_t
find_peer(const peers *pe, const aa_link_peer *id)
{
    for (size_t k = PEERS_SELF + 1; k < pe->used; k++) {
        const peer *p = &pe->peer[k];
        if (p->id.len == id->len && id->len > 0 && memcmp(p->id.id, id->id, id->len) == 0) return k;
    }
    return PEERS_MAX;
}

static bool
in_run(const peers *pe, size_t k)
{
    for (size_t i = 0; pe->run_id > 0 && i < pe->taken_n; i++)
        if (pe->taken[i].owner == k) return true;
    return false;
}

/* A place for a new one: no run may know its number as another's. */
static size_t
free_place(const peers *pe)
{
    for (size_t k = PEERS_SELF + 1; k < PEERS_MAX; k++)
        if (!pe->peer[k].live && !in_run(pe, k)) return k;
    return PEERS_MAX;
}

static aa_status
check_offer(const peers *pe, const aa_link_peer *from, const aa_offer *of, aa_err *err)
{
    if (from->len == 0) return aa_fail(err, AA_ECONFIG, "%s: not one of ours", of->name);
    if (strncmp(of->pipeline, pe->cfg->pipeline.name, sizeof of->pipeline - 1) != 0)
        return aa_fail(err, AA_ECONFIG, "fetcher %s is of pipeline \"%s\", this is \"%s\"",
                       of->name, of->pipeline, pe->cfg->pipeline.name);
    if (of->hd.lane != (uint32_t)pe->cfg->pipeline.lane)
        return aa_fail(err, AA_ECONFIG, "fetcher %s is of lane %u, this is lane %u", of->name,
                       (unsigned)of->hd.lane, (unsigned)pe->cfg->pipeline.lane);
    if (of->decoding_digest != pe->digest)
        return aa_fail(err, AA_ECONFIG,
                       "fetcher %s has other settings in event, fields or topics.interactions",
                       of->name);
    return AA_OK;
}

static void
ask_again(peers *pe, stream *st)
{
    st->attempt++;
    st->messages = st->records = st->told_messages = st->told_records = 0;
    pe->peer[st->owner].answer = true;
}

/* The group has dealt to it again: it has forgotten what it sent and begins at 1, even if these are
 * the partitions that it had. */
static void
begin_anew(peers *pe, size_t k)
{
    for (size_t i = 0; pe->run_id > 0 && i < pe->taken_n; i++)
        if (pe->st[i].owner == k) ask_again(pe, &pe->st[i]);
}

/* It has sent more than has come: the link is in order, so that is lost. */
static void
look_for_losses(peers *pe, size_t k, const aa_offer *of)
{
    if (pe->run_id == 0 || of->hd.run_id != pe->run_id) return;
    if (of->lost_run == pe->run_id) pe->lost = true;
    for (size_t i = 0; i < of->po.n; i++) {
        size_t at = place(pe->taken, pe->taken_n, of->po.partition[i]);
        if (!is_at(pe->taken, pe->taken_n, at, of->po.partition[i])) continue;
        stream *st = &pe->st[at];
        if (st->owner == k && st->attempt == of->po.attempt[i] && of->po.messages[i] > st->messages)
            ask_again(pe, st);
    }
}

static bool
same_partitions(const peer *p, const aa_offer *of)
{
    return p->n == of->po.n && p->withdrawing == of->withdrawing && p->live &&
           (p->n == 0 || memcmp(p->partition, of->po.partition, p->n * sizeof *p->partition) == 0);
}

/* Its number is free again as soon as the run is over. */
static aa_status
drop(peers *pe, size_t k, int64_t now_us, aa_err *err)
{
    peer *p = &pe->peer[k];

    p->live = p->answer = p->withdrawing = false;
    p->n = p->id.len = 0;
    return unite(pe, now_us, err);
}

aa_status
peers_offer(peers *pe, const aa_link_peer *from, const aa_offer *of, int64_t now_us,
            peers_news *news, aa_err *err)
{
    size_t    k = find_peer(pe, from), n = of->po.n;
    aa_status st = check_offer(pe, from, of, err);
    bool      same;
    peer     *p;

    *news = PEERS_SAME;
    if (st != AA_OK) return st;
    if (of->withdrawing && n == 0) {
        if (k == PEERS_MAX) return AA_OK;
        *news = PEERS_LEAVES;
        return drop(pe, k, now_us, err);
    }
    if (k == PEERS_MAX) k = free_place(pe);
    if (k == PEERS_MAX) return aa_fail(err, AA_EFULL, "more than %d fetchers", PEERS_MAX - 1);
    p = &pe->peer[k];
    st = reserve_peer(p, n, err);
    if (st != AA_OK) return st;
    if (k >= pe->used) pe->used = k + 1;
    same = same_partitions(p, of);
    if (!same) *news = of->withdrawing ? PEERS_WITHDRAWS : PEERS_DEALT;
    p->id = *from;
    snprintf(p->name, sizeof p->name, "%s", of->name);
    p->live = p->answer = true;
    p->withdrawing = of->withdrawing;
    if (p->term != of->hd.seq) begin_anew(pe, k);
    p->term = of->hd.seq;
    p->heard_us = now_us;
    p->n = n;
    if (n > 0) memcpy(p->partition, of->po.partition, n * sizeof *p->partition);
    if (n > 0) memcpy(p->end, of->po.offset, n * sizeof *p->end);
    look_for_losses(pe, k, of);
    return same ? AA_OK : unite(pe, now_us, err);
}

const char *
peers_silent(peers *pe, int64_t now_us)
{
    for (size_t k = PEERS_SELF + 1; k < pe->used; k++) {
        const peer *p = &pe->peer[k];
        aa_err      err = AA_ERR_INIT;
        if (!p->live || now_us - p->heard_us < pe->cfg->ingest.fetcher_silence_ms * 1000) continue;
        snprintf(pe->gone, sizeof pe->gone, "%s", p->name);
        AA_REQUIRE(drop(pe, k, now_us, &err) == AA_OK); /* there is room: it becomes less */
        return pe->gone;
    }
    return NULL;
}

size_t
peers_count(const peers *pe)
{
    size_t count = 0;
    for (size_t k = PEERS_SELF + 1; k < pe->used; k++)
        count += pe->peer[k].live;
    return count;
}

size_t
peers_working(const peers *pe)
{
    size_t count = 0;
    for (size_t k = PEERS_SELF + 1; k < pe->used; k++)
        count += pe->peer[k].live && in_run(pe, k);
    return count;
}

/* ---- runs ---- */

bool
peers_changed(const peers *pe)
{
    return pe->run_id > 0 && !same_parts(pe->want, pe->want_n, pe->taken, pe->taken_n);
}

bool
peers_settled(const peers *pe, int64_t now_us)
{
    if (!pe->own_known || pe->want_n == 0) return false;
    return pe->want_n >= pe->topic_partitions || now_us - pe->changed_us >= PEERS_SETTLE_US;
}

bool
peers_lost(peers *pe)
{
    if (!pe->lost || pe->lost_seen) return false;
    pe->lost_seen = true;
    return true;
}

size_t
peers_wanted(const peers *pe)
{
    return pe->want_n;
}

aa_status
peers_take(peers *pe, const peers_part **part, size_t *n, aa_err *err)
{
    stream   *grown;
    aa_status st = reserve_parts(&pe->taken, &pe->taken_cap, pe->want_n, err);

    if (st != AA_OK) return st;
    if (pe->want_n > pe->st_cap || !pe->st) {
        grown = realloc(pe->st, (pe->want_n + 1) * sizeof *grown);
        if (!grown) return aa_fail(err, AA_ENOMEM, "%zu partitions", pe->want_n);
        pe->st = grown;
        pe->st_cap = pe->want_n;
    }
    st = aa_portions_reserve(&pe->fetch.po, pe->want_n, err);
    if (st != AA_OK) return st;
    pe->run_id = 0;
    pe->lost = pe->lost_seen = false;
    pe->taken_n = pe->want_n;
    if (pe->want_n > 0) memcpy(pe->taken, pe->want, pe->want_n * sizeof *pe->taken);
    *part = pe->taken;
    *n = pe->taken_n;
    return AA_OK;
}

void
peers_begin(peers *pe, uint64_t run_id, const int64_t *position)
{
    AA_REQUIRE(run_id > 0);
    pe->run_id = run_id;
    for (size_t i = 0; i < pe->taken_n; i++) {
        pe->st[i] = (stream){.partition = pe->taken[i].partition,
                             .owner = pe->taken[i].owner,
                             .attempt = 1,
                             .next = position[i]};
        pe->peer[pe->st[i].owner].answer = true;
    }
}

void
peers_end(peers *pe)
{
    pe->run_id = 0;
    pe->lost = pe->lost_seen = false;
    pe->taken_n = 0;
    for (size_t k = PEERS_SELF + 1; k < pe->used; k++)
        if (pe->peer[k].live && pe->peer[k].withdrawing) pe->peer[k].answer = true;
}

/* Records of a partition that may be under way or in the order. */
static size_t
window(const order *od)
{
    const size_t most = order_capacity(od);
    return most < PEERS_WINDOW ? most : PEERS_WINDOW;
}

/* Records that the order has space for, over what was taken in this attempt. */
static uint64_t
allowed(const order *od, size_t idx, const stream *st)
{
    const size_t most = window(od), held = order_held(od, idx);

    if (order_room(od, idx) == 0 || held >= most) return st->records;
    return st->records + (most - held);
}

/* Letters may be large, and a record of them is one of credit. While the order has no room for more
 * of them no message is told to be taken, so that no more than PEERS_MESSAGES follow. */
static uint64_t
acknowledged(const order *od, size_t idx, const stream *st)
{
    const bool letters_full = order_room(od, idx) == 0 && order_held(od, idx) < order_capacity(od);
    return letters_full ? st->told_messages : st->messages;
}

peers_verdict
peers_fetched(peers *pe, const order *od, const aa_link_peer *from, const aa_fetched *fe,
              size_t *idx)
{
    const size_t k = find_peer(pe, from), count = fe->n + fe->letter_count;
    const size_t at = place(pe->taken, pe->taken_n, fe->partition);
    stream      *st;

    if (k == PEERS_MAX || pe->run_id == 0 || fe->hd.run_id != pe->run_id) return PEERS_STRAY;
    if (!is_at(pe->taken, pe->taken_n, at, fe->partition)) return PEERS_STRAY;
    st = &pe->st[at];
    if (st->owner != k || st->attempt != fe->attempt || fe->hd.seq <= st->messages)
        return PEERS_STRAY;
    /* more than was allowed, or what it cannot be: as bad as one that is missing */
    if (fe->hd.seq != st->messages + 1 || aa_fetched_first(fe) < st->next ||
        st->records + count > st->told_records || fe->hd.seq > st->told_messages + PEERS_MESSAGES ||
        fe->F != pe->cfg->field_count || fe->n > order_capacity(od) - order_held(od, at)) {
        ask_again(pe, st);
        return PEERS_GAP;
    }
    st->messages++;
    st->records += count;
    st->next = aa_fetched_next(fe);
    *idx = at;
    return PEERS_TAKEN;
}

int64_t
peers_lag(const peers *pe, int32_t partition, int64_t position)
{
    const size_t at = place(pe->taken, pe->taken_n, partition);
    const peer  *p;

    if (!is_at(pe->taken, pe->taken_n, at, partition)) return -1;
    p = &pe->peer[pe->taken[at].owner];
    for (size_t i = 0; i < p->n; i++) {
        if (p->partition[i] != partition) continue;
        if (p->end[i] < 0) return -1;
        return p->end[i] > position ? p->end[i] - position : 0;
    }
    return -1;
}

/* ---- what to tell them ---- */

static bool
worth_telling(const peers *pe, const order *od, size_t k)
{
    for (size_t i = 0; pe->run_id > 0 && i < pe->taken_n; i++) {
        const stream *st = &pe->st[i];
        if (st->owner != k) continue;
        if (acknowledged(od, i, st) - st->told_messages >= TELL_MESSAGES) return true;
        if (allowed(od, i, st) >= st->told_records + window(od) / TELL_SHARE) return true;
    }
    return false;
}

/* Credit is never taken back: what was told before may be under way. */
static void
fill_fetch(peers *pe, const order *od, size_t k)
{
    aa_portions *po = &pe->fetch.po;
    size_t       n = 0;

    for (size_t i = 0; pe->run_id > 0 && i < pe->taken_n; i++) {
        stream  *st = &pe->st[i];
        uint64_t records;
        if (st->owner != k) continue;
        records = allowed(od, i, st);
        if (records > st->told_records) st->told_records = records;
        st->told_messages = acknowledged(od, i, st);
        po->partition[n] = st->partition;
        po->attempt[n] = st->attempt;
        po->offset[n] = st->next;
        po->messages[n] = st->told_messages;
        po->records[n++] = st->told_records;
    }
    po->n = n;
    pe->fetch.hd = (aa_header){
        .run_id = pe->run_id, .seq = pe->peer[k].term, .lane = (uint32_t)pe->cfg->pipeline.lane};
}

bool
peers_step(peers *pe, const order *od, peers_act *act)
{
    for (size_t looked = PEERS_SELF + 1; looked < pe->used; looked++) {
        size_t k = PEERS_SELF + 1 + pe->turn++ % (pe->used - 1);
        peer  *p = &pe->peer[k];
        if (!p->live || (!p->answer && !worth_telling(pe, od, k))) continue;
        p->answer = false;
        act->to = p->id;
        if (p->withdrawing && !in_run(pe, k)) {
            act->kind = AA_MSG_RELEASED;
            act->hd = (aa_header){.seq = p->term, .lane = (uint32_t)pe->cfg->pipeline.lane};
            return true;
        }
        fill_fetch(pe, od, k);
        act->kind = AA_MSG_FETCH;
        act->hd = pe->fetch.hd;
        act->fetch = &pe->fetch;
        return true;
    }
    return false;
}
