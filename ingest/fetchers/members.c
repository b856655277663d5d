#include "ingest/fetchers/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A fetcher gets new numbers when so many messages were taken, or when it may send another quarter
 * of what a partition may have under way. */
enum { TELL_MESSAGES = MEMBERS_MESSAGES / 4, TELL_SHARE = 4 };

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
} member;

/* A partition of the run. All but partition and owner: of the present attempt. */
typedef struct {
    int32_t  partition;
    size_t   owner;
    uint32_t attempt;
    uint64_t messages, records; /* taken */
    uint64_t told_messages, told_records;
    int64_t  next; /* offset after the last record taken */
} stream;

struct members {
    const aa_conf *cfg;
    uint64_t       digest;
    size_t         topic_partitions;
    member         member[MEMBERS_MAX]; /* [0]: the sequencer */
    size_t         used;                /* places beyond have never been taken */
    bool           own_known;
    members_part  *want; /* (want_n) owned, ascending: the union */
    size_t         want_n, want_cap;
    members_part  *before; /* (before_cap) owned; scratch: the union before a change */
    size_t         before_cap;
    int64_t        changed_us; /* when the union last did, or the group dealt to the sequencer */
    members_part  *taken;      /* (taken_n) owned: the run's */
    size_t         taken_n, taken_cap;
    stream        *st; /* (taken_n) owned */
    size_t         st_cap;
    uint64_t       run_id;          /* 0: none is open */
    bool           lost, lost_seen; /* in this run */
    size_t         turn;            /* whom members_step looks at next */
    aa_fetch       fetch;
    char           gone[128];
};

aa_status
members_new(members **out, const aa_conf *cfg, aa_err *err)
{
    members *mb = calloc(1, sizeof *mb);
    if (!mb) return aa_fail(err, AA_ENOMEM, "fetchers");
    mb->cfg = cfg;
    mb->digest = aa_conf_decoding_digest(cfg);
    mb->member[MEMBERS_SELF].live = true;
    mb->used = MEMBERS_SELF + 1;
    *out = mb;
    return AA_OK;
}

void
members_free(members **mb_p)
{
    members *mb = *mb_p;
    if (!mb) return;
    for (size_t k = 0; k < MEMBERS_MAX; k++) {
        free(mb->member[k].partition);
        free(mb->member[k].end);
    }
    free(mb->want);
    free(mb->before);
    free(mb->taken);
    free(mb->st);
    aa_portions_fini(&mb->fetch.po);
    free(mb);
    *mb_p = NULL;
}

/* ---- the union ---- */

/* Where the partition is in a list, or would be. */
static size_t
place(const members_part *part, size_t n, int32_t partition)
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
is_at(const members_part *part, size_t n, size_t at, int32_t partition)
{
    return at < n && part[at].partition == partition;
}

/* The run's owner of a partition stays it while it offers it too; but the group's word to ourselves
 * is the newest there is. */
static void
want(members *mb, int32_t partition, size_t owner)
{
    size_t at = place(mb->want, mb->want_n, partition), before;

    if (is_at(mb->want, mb->want_n, at, partition)) {
        before = place(mb->taken, mb->taken_n, partition);
        if (mb->want[at].owner != MEMBERS_SELF && mb->run_id > 0 &&
            is_at(mb->taken, mb->taken_n, before, partition) && mb->taken[before].owner == owner)
            mb->want[at].owner = owner;
        return;
    }
    memmove(&mb->want[at + 1], &mb->want[at], (mb->want_n - at) * sizeof *mb->want);
    mb->want[at] = (members_part){partition, owner};
    mb->want_n++;
}

static aa_status
reserve_parts(members_part **part, size_t *cap, size_t n, aa_err *err)
{
    members_part *grown;
    if (n <= *cap && *part) return AA_OK;
    grown = realloc(*part, (n + 1) * sizeof *grown);
    if (!grown) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    *part = grown;
    *cap = n;
    return AA_OK;
}

static bool
same_parts(const members_part *a, size_t a_n, const members_part *b, size_t b_n)
{
    if (a_n != b_n) return false;
    for (size_t i = 0; i < a_n; i++)
        if (a[i].partition != b[i].partition || a[i].owner != b[i].owner) return false;
    return true;
}

static aa_status
unite(members *mb, int64_t now_us, aa_err *err)
{
    size_t total = 0, before_n = mb->want_n;

    for (size_t k = 0; k < mb->used; k++)
        total += mb->member[k].n;
    aa_status st = reserve_parts(&mb->want, &mb->want_cap, total, err);
    if (st == AA_OK) st = reserve_parts(&mb->before, &mb->before_cap, mb->want_cap, err);
    if (st != AA_OK) return st;
    if (before_n > 0) memcpy(mb->before, mb->want, before_n * sizeof *mb->want);
    mb->want_n = 0;
    for (size_t k = 0; k < mb->used; k++) {
        const member *p = &mb->member[k];
        if (!p->live || p->withdrawing) continue;
        for (size_t i = 0; i < p->n; i++)
            want(mb, p->partition[i], k);
    }
    if (!same_parts(mb->want, mb->want_n, mb->before, before_n)) mb->changed_us = now_us;
    return AA_OK;
}

static aa_status
reserve_member(member *p, size_t n, aa_err *err)
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
members_topic(members *mb, size_t partitions)
{
    mb->topic_partitions = partitions;
}

aa_status
members_own(members *mb, const int32_t *partition, size_t n, bool known, int64_t now_us,
            aa_err *err)
{
    member   *self = &mb->member[MEMBERS_SELF];
    aa_status st = reserve_member(self, n, err);

    if (st != AA_OK) return st;
    if (n > 0) memcpy(self->partition, partition, n * sizeof *partition);
    self->n = n;
    if (known != mb->own_known) mb->changed_us = now_us; /* others are being dealt to as well */
    mb->own_known = known;
    return unite(mb, now_us, err);
}

/* ---- offers ---- */

static size_t
find_member(const members *mb, const aa_link_peer *id)
{
    for (size_t k = MEMBERS_SELF + 1; k < mb->used; k++) {
        const member *p = &mb->member[k];
        if (p->id.len == id->len && id->len > 0 && memcmp(p->id.id, id->id, id->len) == 0) return k;
    }
    return MEMBERS_MAX;
}

static bool
in_run(const members *mb, size_t k)
{
    for (size_t i = 0; mb->run_id > 0 && i < mb->taken_n; i++)
        if (mb->taken[i].owner == k) return true;
    return false;
}

/* A place for a new one: no run may know its number as another's. */
static size_t
free_place(const members *mb)
{
    for (size_t k = MEMBERS_SELF + 1; k < MEMBERS_MAX; k++)
        if (!mb->member[k].live && !in_run(mb, k)) return k;
    return MEMBERS_MAX;
}

static aa_status
check_offer(const members *mb, const aa_link_peer *from, const aa_offer *of, aa_err *err)
{
    if (from->len == 0) return aa_fail(err, AA_ECONFIG, "%s: not one of ours", of->name);
    if (strncmp(of->pipeline, mb->cfg->pipeline.name, sizeof of->pipeline - 1) != 0)
        return aa_fail(err, AA_ECONFIG, "fetcher %s is of pipeline \"%s\", this is \"%s\"",
                       of->name, of->pipeline, mb->cfg->pipeline.name);
    if (of->hd.lane != (uint32_t)mb->cfg->pipeline.lane)
        return aa_fail(err, AA_ECONFIG, "fetcher %s is of lane %u, this is lane %u", of->name,
                       (unsigned)of->hd.lane, (unsigned)mb->cfg->pipeline.lane);
    if (of->decoding_digest != mb->digest)
        return aa_fail(err, AA_ECONFIG,
                       "fetcher %s has other settings in event, fields or topics.interactions",
                       of->name);
    return AA_OK;
}

static void
ask_again(members *mb, stream *st)
{
    st->attempt++;
    st->messages = st->records = st->told_messages = st->told_records = 0;
    mb->member[st->owner].answer = true;
}

/* The group has dealt to it again: it has forgotten what it sent and begins at 1, even if these are
 * the partitions that it had. */
static void
begin_anew(members *mb, size_t k)
{
    for (size_t i = 0; mb->run_id > 0 && i < mb->taken_n; i++)
        if (mb->st[i].owner == k) ask_again(mb, &mb->st[i]);
}

/* It has sent more than has come: the link is in order, so that is lost. */
static void
look_for_losses(members *mb, size_t k, const aa_offer *of)
{
    if (mb->run_id == 0 || of->hd.run_id != mb->run_id) return;
    if (of->lost_run == mb->run_id) mb->lost = true;
    for (size_t i = 0; i < of->po.n; i++) {
        size_t at = place(mb->taken, mb->taken_n, of->po.partition[i]);
        if (!is_at(mb->taken, mb->taken_n, at, of->po.partition[i])) continue;
        stream *st = &mb->st[at];
        if (st->owner == k && st->attempt == of->po.attempt[i] && of->po.messages[i] > st->messages)
            ask_again(mb, st);
    }
}

static bool
same_partitions(const member *p, const aa_offer *of)
{
    return p->n == of->po.n && p->withdrawing == of->withdrawing && p->live &&
           (p->n == 0 || memcmp(p->partition, of->po.partition, p->n * sizeof *p->partition) == 0);
}

/* Its number is free again as soon as the run is over. */
static aa_status
drop(members *mb, size_t k, int64_t now_us, aa_err *err)
{
    member *p = &mb->member[k];

    p->live = p->answer = p->withdrawing = false;
    p->n = p->id.len = 0;
    return unite(mb, now_us, err);
}

aa_status
members_offer(members *mb, const aa_link_peer *from, const aa_offer *of, int64_t now_us,
              members_news *news, aa_err *err)
{
    size_t    k = find_member(mb, from), n = of->po.n;
    aa_status st = check_offer(mb, from, of, err);

    *news = MEMBERS_SAME;
    if (st != AA_OK) return st;
    if (of->withdrawing && n == 0) {
        if (k == MEMBERS_MAX) return AA_OK;
        *news = MEMBERS_LEAVES;
        return drop(mb, k, now_us, err);
    }
    if (k == MEMBERS_MAX) k = free_place(mb);
    if (k == MEMBERS_MAX) return aa_fail(err, AA_EFULL, "more than %d fetchers", MEMBERS_MAX - 1);
    member *p = &mb->member[k];
    st = reserve_member(p, n, err);
    if (st != AA_OK) return st;
    if (k >= mb->used) mb->used = k + 1;
    bool same = same_partitions(p, of);
    if (!same) *news = of->withdrawing ? MEMBERS_WITHDRAWS : MEMBERS_DEALT;
    p->id = *from;
    snprintf(p->name, sizeof p->name, "%s", of->name);
    p->live = p->answer = true;
    p->withdrawing = of->withdrawing;
    if (p->term != of->hd.seq) begin_anew(mb, k);
    p->term = of->hd.seq;
    p->heard_us = now_us;
    p->n = n;
    if (n > 0) memcpy(p->partition, of->po.partition, n * sizeof *p->partition);
    if (n > 0) memcpy(p->end, of->po.offset, n * sizeof *p->end);
    look_for_losses(mb, k, of);
    return same ? AA_OK : unite(mb, now_us, err);
}

const char *
members_silent(members *mb, int64_t now_us)
{
    for (size_t k = MEMBERS_SELF + 1; k < mb->used; k++) {
        const member *p = &mb->member[k];
        aa_err        err = AA_ERR_INIT;
        if (!p->live || now_us - p->heard_us < mb->cfg->ingest.fetcher_silence_ms * 1000) continue;
        snprintf(mb->gone, sizeof mb->gone, "%s", p->name);
        AA_REQUIRE(drop(mb, k, now_us, &err) == AA_OK); /* there is room: it becomes less */
        return mb->gone;
    }
    return NULL;
}

size_t
members_count(const members *mb)
{
    size_t count = 0;
    for (size_t k = MEMBERS_SELF + 1; k < mb->used; k++)
        count += mb->member[k].live;
    return count;
}

size_t
members_working(const members *mb)
{
    size_t count = 0;
    for (size_t k = MEMBERS_SELF + 1; k < mb->used; k++)
        count += mb->member[k].live && in_run(mb, k);
    return count;
}

/* ---- runs ---- */

bool
members_changed(const members *mb)
{
    return mb->run_id > 0 && !same_parts(mb->want, mb->want_n, mb->taken, mb->taken_n);
}

bool
members_settled(const members *mb, int64_t now_us)
{
    if (!mb->own_known || mb->want_n == 0) return false;
    return mb->want_n >= mb->topic_partitions || now_us - mb->changed_us >= MEMBERS_SETTLE_US;
}

bool
members_lost(members *mb)
{
    if (!mb->lost || mb->lost_seen) return false;
    mb->lost_seen = true;
    return true;
}

size_t
members_wanted(const members *mb)
{
    return mb->want_n;
}

aa_status
members_take(members *mb, const members_part **part, size_t *n, aa_err *err)
{
    stream   *grown;
    aa_status st = reserve_parts(&mb->taken, &mb->taken_cap, mb->want_n, err);

    if (st != AA_OK) return st;
    if (mb->want_n > mb->st_cap || !mb->st) {
        grown = realloc(mb->st, (mb->want_n + 1) * sizeof *grown);
        if (!grown) return aa_fail(err, AA_ENOMEM, "%zu partitions", mb->want_n);
        mb->st = grown;
        mb->st_cap = mb->want_n;
    }
    st = aa_portions_reserve(&mb->fetch.po, mb->want_n, err);
    if (st != AA_OK) return st;
    mb->run_id = 0;
    mb->lost = mb->lost_seen = false;
    mb->taken_n = mb->want_n;
    if (mb->want_n > 0) memcpy(mb->taken, mb->want, mb->want_n * sizeof *mb->taken);
    *part = mb->taken;
    *n = mb->taken_n;
    return AA_OK;
}

void
members_begin(members *mb, uint64_t run_id, const int64_t *position)
{
    AA_REQUIRE(run_id > 0);
    mb->run_id = run_id;
    for (size_t i = 0; i < mb->taken_n; i++) {
        mb->st[i] = (stream){.partition = mb->taken[i].partition,
                             .owner = mb->taken[i].owner,
                             .attempt = 1,
                             .next = position[i]};
        mb->member[mb->st[i].owner].answer = true;
    }
}

void
members_end(members *mb)
{
    mb->run_id = 0;
    mb->lost = mb->lost_seen = false;
    mb->taken_n = 0;
    for (size_t k = MEMBERS_SELF + 1; k < mb->used; k++)
        if (mb->member[k].live && mb->member[k].withdrawing) mb->member[k].answer = true;
}

/* Records of a partition that may be under way or in the order. */
static size_t
window(const order *od)
{
    const size_t most = order_capacity(od);
    return most < MEMBERS_WINDOW ? most : MEMBERS_WINDOW;
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
 * of them no message is told to be taken, so that no more than MEMBERS_MESSAGES follow. */
static uint64_t
acknowledged(const order *od, size_t idx, const stream *st)
{
    const bool letters_full = order_room(od, idx) == 0 && order_held(od, idx) < order_capacity(od);
    return letters_full ? st->told_messages : st->messages;
}

members_verdict
members_fetched(members *mb, const order *od, const aa_link_peer *from, const aa_fetched *fe,
                size_t *idx)
{
    const size_t k = find_member(mb, from), count = fe->n + fe->letter_count;
    const size_t at = place(mb->taken, mb->taken_n, fe->partition);

    if (k == MEMBERS_MAX || mb->run_id == 0 || fe->hd.run_id != mb->run_id) return MEMBERS_STRAY;
    if (!is_at(mb->taken, mb->taken_n, at, fe->partition)) return MEMBERS_STRAY;
    stream *st = &mb->st[at];
    if (st->owner != k || st->attempt != fe->attempt || fe->hd.seq <= st->messages)
        return MEMBERS_STRAY;
    /* more than was allowed, or what it cannot be: as bad as one that is missing */
    if (fe->hd.seq != st->messages + 1 || aa_fetched_first(fe) < st->next ||
        st->records + count > st->told_records ||
        fe->hd.seq > st->told_messages + MEMBERS_MESSAGES || fe->F != mb->cfg->field_count ||
        fe->n > order_capacity(od) - order_held(od, at)) {
        ask_again(mb, st);
        return MEMBERS_GAP;
    }
    st->messages++;
    st->records += count;
    st->next = aa_fetched_next(fe);
    *idx = at;
    return MEMBERS_TAKEN;
}

int64_t
members_lag(const members *mb, int32_t partition, int64_t position)
{
    const size_t at = place(mb->taken, mb->taken_n, partition);

    if (!is_at(mb->taken, mb->taken_n, at, partition)) return -1;
    const member *p = &mb->member[mb->taken[at].owner];
    for (size_t i = 0; i < p->n; i++) {
        if (p->partition[i] != partition) continue;
        if (p->end[i] < 0) return -1;
        return p->end[i] > position ? p->end[i] - position : 0;
    }
    return -1;
}

/* ---- what to tell them ---- */

static bool
worth_telling(const members *mb, const order *od, size_t k)
{
    for (size_t i = 0; mb->run_id > 0 && i < mb->taken_n; i++) {
        const stream *st = &mb->st[i];
        if (st->owner != k) continue;
        if (acknowledged(od, i, st) - st->told_messages >= TELL_MESSAGES) return true;
        if (allowed(od, i, st) >= st->told_records + window(od) / TELL_SHARE) return true;
    }
    return false;
}

/* Credit is never taken back: what was told before may be under way. */
static void
fill_fetch(members *mb, const order *od, size_t k)
{
    aa_portions *po = &mb->fetch.po;
    size_t       n = 0;

    for (size_t i = 0; mb->run_id > 0 && i < mb->taken_n; i++) {
        stream  *st = &mb->st[i];
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
    mb->fetch.hd = (aa_header){
        .run_id = mb->run_id, .seq = mb->member[k].term, .lane = (uint32_t)mb->cfg->pipeline.lane};
}

bool
members_step(members *mb, const order *od, members_act *act)
{
    for (size_t looked = MEMBERS_SELF + 1; looked < mb->used; looked++) {
        size_t  k = MEMBERS_SELF + 1 + mb->turn++ % (mb->used - 1);
        member *p = &mb->member[k];
        if (!p->live || (!p->answer && !worth_telling(mb, od, k))) continue;
        p->answer = false;
        act->to = p->id;
        if (p->withdrawing && !in_run(mb, k)) {
            act->kind = AA_MSG_RELEASED;
            act->hd = (aa_header){.seq = p->term, .lane = (uint32_t)mb->cfg->pipeline.lane};
            return true;
        }
        fill_fetch(mb, od, k);
        act->kind = AA_MSG_FETCH;
        act->hd = mb->fetch.hd;
        act->fetch = &mb->fetch;
        return true;
    }
    return false;
}
