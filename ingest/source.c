#include "ingest/source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/kafka_conf.h"
#include "common/state/checkpoint.h"
#include "ingest/decode/arrived.h"
#include "ingest/decode/decode.h"
#include "ingest/registry/registry.h"

enum {
    CHUNK = 1024,   /* messages taken from a partition at a time: they stay in the cache */
    SHORT_MS = 5000 /* a partition that ends too early: then its end is asked for */
};

#define NOT_READ SIZE_MAX

/* One partition of this run, in the order's numbering. */
typedef struct {
    int32_t  partition;
    size_t   slot; /* the consumer's number of it; NOT_READ: nothing (more) to read */
    int64_t  end;
    int64_t  next; /* what is to be read next */
    bool     held; /* it waits for a schema: */
    uint32_t waits_for;
    size_t   owner;    /* MEMBERS_SELF, or the fetcher that reads it */
    int64_t  short_ms; /* a replay: since when the partition ends before its end; 0: it does not */
} source_part;

struct source {
    const aa_conf   *cfg;
    aa_consumer     *cs;      /* owned */
    decode          *dc;      /* owned */
    registry        *rg;      /* owned; NULL: none */
    bool             rewind;  /* a partition is to be read again from where it is held */
    aa_event_batch   decoded; /* one event */
    bool             replay;
    source_part     *part; /* (n) owned */
    aa_kafka_offset *po; /* (n) owned; scratch for questions and commits, but for the metadata: that
                            is the last commit's of part[i] */
    size_t           n;
    members         *mb;  /* borrowed; NULL: no fetchers */
    int32_t         *own; /* (own_n) owned, ascending: what the group dealt to us */
    size_t           own_n;
    announce        *an; /* borrowed; NULL: none */
    int64_t *gap_end;    /* (gap_cap) owned; by partition: where its last gap ended, -1: none */
    int64_t *cut_from;   /* (cut_from_cap) owned; by partition: a commit beyond its end, -1: none */
    int64_t *cut_to;     /* (cut_to_cap) owned; and where it ended when that was seen first */
    size_t   cut_from_cap, cut_to_cap;
    size_t   gap_cap;
    uint64_t passed_over; /* messages that the configuration skips */
    uint64_t gaps, lost;  /* that were skipped; events in them, as far as can be known */
    int64_t *first;       /* (first_cap) owned; by partition: where it began without a commit, -1 */
    size_t   first_cap;
    bool     begun; /* the pipeline has a commit, or a run was opened: what has no place to go
                              on from is new */
    aa_kafka_record rec[CHUNK];
};

/* ---- open ---- */

/* The partitions of this run, ascending. */
static aa_status
set_partitions(source *so, const aa_kafka_offset *po, size_t n, aa_err *err)
{
    source_part     *part = realloc(so->part, (n + 1) * sizeof *part);
    aa_kafka_offset *scratch;

    if (!part) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    so->part = part;
    scratch = realloc(so->po, (n + 1) * sizeof *scratch);
    if (!scratch) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    so->po = scratch;
    so->n = n;
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        while (at > 0 && part[at - 1].partition > po[i].partition) {
            part[at] = part[at - 1];
            at--;
        }
        part[at] = (source_part){.partition = po[i].partition,
                                 .slot = NOT_READ,
                                 .end = RESUME_NO_END,
                                 .owner = MEMBERS_SELF};
    }
    return AA_OK;
}

static aa_status
take_all_partitions(source *so, aa_err *err)
{
    size_t           n = aa_consumer_partition_count(so->cs);
    aa_kafka_offset *all = calloc(n, sizeof *all);

    if (!all) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    for (size_t i = 0; i < n; i++)
        all[i].partition = (int32_t)i;
    aa_status st = set_partitions(so, all, n, err);
    free(all);
    return st;
}

aa_status
source_open(source **out, const aa_conf *cfg, aa_err *err)
{
    source *so = calloc(1, sizeof *so);

    if (!so) return aa_fail(err, AA_ENOMEM, "source");
    so->cfg = cfg;
    so->replay = cfg->ingest.run == AA_RUN_REPLAY;
    aa_status st = decode_new(&so->dc, cfg, err);
    if (st == AA_OK) st = aa_event_batch_reserve(&so->decoded, 1, cfg->field_count, err);
    if (st == AA_OK) st = registry_open(&so->rg, cfg, err);
    if (st != AA_OK) goto out;
    decode_set_source(so->dc, registry_source(so->rg));
    st = aa_consumer_open(&so->cs, cfg, cfg->topics.interactions, !so->replay, err);
    if (st != AA_OK) goto out;
    if (so->replay) st = take_all_partitions(so, err);
    if (st != AA_OK) goto out;
    *out = so;
    so = NULL;
out:
    source_close(&so);
    return st;
}

void
source_close(source **so_p)
{
    source *so = *so_p;
    if (!so) return;
    aa_consumer_free(&so->cs);
    decode_free(&so->dc);
    registry_close(&so->rg);
    aa_event_batch_fini(&so->decoded);
    free(so->part);
    free(so->po);
    free(so->own);
    free(so->gap_end);
    free(so->cut_from);
    free(so->cut_to);
    free(so->first);
    free(so);
    *so_p = NULL;
}

/* ---- the group ---- */

void
source_share(source *so, members *mb)
{
    so->mb = mb;
    members_topic(mb, aa_consumer_partition_count(so->cs));
}

static int
by_number(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* What was dealt is part of the union, and so of the next run; the open one, of partitions that
 * fetchers have, still has to be drained. */
static aa_status
take_own(source *so, const aa_kafka_offset *po, size_t n, aa_err *err)
{
    int32_t *own = realloc(so->own, (n + 1) * sizeof *own);

    if (!own) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    so->own = own;
    so->own_n = n;
    for (size_t i = 0; i < n; i++)
        own[i] = po[i].partition;
    qsort(own, n, sizeof *own, by_number);
    return members_own(so->mb, own, n, true, aa_now_us(), err);
}

aa_status
source_poll(source *so, aa_consumer_event *event, aa_err *err)
{
    const aa_kafka_offset *po = NULL;
    size_t                 n = 0;
    aa_status              st = aa_consumer_poll(so->cs, event, &po, &n, err);

    if (st != AA_OK || *event != AA_CONSUMER_ASSIGNED) return st;
    st = so->mb ? take_own(so, po, n, err) : set_partitions(so, po, n, err);
    /* a member without partitions has to take its assignment too, or it would miss the next */
    if (st == AA_OK && n == 0) st = aa_consumer_assign(so->cs, po, 0, err);
    return st;
}

/* A topic may get more partitions while we run. */
static aa_status
ask_partitions(source *so, aa_err *err)
{
    aa_status st = aa_consumer_count_partitions(so->cs, err);
    if (st == AA_OK && so->mb) members_topic(so->mb, aa_consumer_partition_count(so->cs));
    return st;
}

/* The partitions of the next run. */
static aa_status
take_union(source *so, aa_err *err)
{
    const members_part *part = NULL;
    aa_kafka_offset    *all;
    size_t              n = 0;

    if (!so->mb) return AA_OK;
    aa_status st = members_take(so->mb, &part, &n, err);
    if (st != AA_OK) return st;
    all = calloc(n + 1, sizeof *all);
    if (!all) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    for (size_t i = 0; i < n; i++)
        all[i].partition = part[i].partition;
    st = set_partitions(so, all, n, err);
    for (size_t i = 0; st == AA_OK && i < n; i++)
        so->part[i].owner = part[i].owner;
    free(all);
    return st;
}

bool
source_has_partitions(const source *so)
{
    return so->mb ? members_wanted(so->mb) > 0 : so->n > 0;
}

aa_status
source_release(source *so, aa_err *err)
{
    aa_status st = aa_consumer_release(so->cs, err);

    so->n = so->own_n = 0;
    if (st == AA_OK && so->mb) st = members_own(so->mb, NULL, 0, false, aa_now_us(), err);
    return st;
}

/* ---- where to begin ---- */

static bool
begins_at_end(const aa_conf *cfg)
{
    const char *reset = aa_kafka_property_of(cfg, "auto.offset.reset");
    return reset && (strcmp(reset, "latest") == 0 || strcmp(reset, "largest") == 0 ||
                     strcmp(reset, "end") == 0);
}

/* Room for partition number `at` in an array by partition; what is new is -1. */
static aa_status
reserve_place(int64_t **place, size_t *cap, size_t at, aa_err *err)
{
    int64_t *grown;

    if (at < *cap) return AA_OK;
    grown = realloc(*place, (at + 1) * sizeof *grown);
    if (!grown) return aa_fail(err, AA_ENOMEM, "partition %zu", at);
    *place = grown;
    while (*cap <= at)
        grown[(*cap)++] = -1;
    return AA_OK;
}

/* auto.offset.reset=latest holds where the pipeline begins: a partition that was added later is
 * read from its beginning, and a run that begins again before the first commit does so at the same
 * place. */
static aa_status
first_live_offset(source *so, int32_t partition, int64_t low, int64_t high, int64_t *position,
                  aa_err *err)
{
    const size_t at = (size_t)partition;

    *position = low;
    if (!begins_at_end(so->cfg)) return AA_OK;
    aa_status st = reserve_place(&so->first, &so->first_cap, at, err);
    if (st != AA_OK) return st;
    if (so->first[at] < 0) so->first[at] = so->begun ? low : high;
    *position = so->first[at];
    return AA_OK;
}

/* Where a partition without a commit begins. */
static aa_status
first_offset(source *so, size_t idx, int64_t *position, aa_err *err)
{
    const aa_replay_from *from = &so->cfg->replay_from;
    int64_t               low = 0, high = 0;
    aa_status st = aa_consumer_watermarks(so->cs, so->part[idx].partition, &low, &high, err);

    if (st != AA_OK) return st;
    *position = low;
    if (!so->replay) {
        st = first_live_offset(so, so->part[idx].partition, low, high, position, err);
    } else if (from->kind == AA_FROM_OFFSET) {
        if (from->value < low)
            aa_warn("REPLAY-FROM", "partition %d begins at %" PRId64 ": nothing older is left",
                    (int)so->part[idx].partition, low);
        if (from->value > low) *position = from->value < high ? from->value : high;
    } else if (from->kind == AA_FROM_TIME) {
        aa_kafka_offset po = {.partition = so->part[idx].partition};
        st = aa_consumer_offsets_at(so->cs, from->value, &po, 1, err);
        *position = po.offset;
    }
    return st;
}

static aa_status
fill_gaps(source *so, resume *re, aa_err *err)
{
    for (size_t i = 0; i < re->part_count; i++) {
        resume_part *part = &re->part[i];
        aa_status    st = AA_OK;
        int64_t      low = 0;
        if (part->position == AA_KAFKA_NO_OFFSET) {
            st = first_offset(so, i, &part->position, err);
            re->commit_soon = re->commit_soon || (!so->replay && begins_at_end(so->cfg));
        }
        if (st == AA_OK && so->replay && part->end == RESUME_NO_END)
            st = aa_consumer_watermarks(so->cs, part->partition, &low, &part->end, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* ---- what Kafka has no more ---- */

static bool
skips_losses(const source *so)
{
    return so->cfg->ingest.on_lost_offset == AA_ON_LOST_OFFSET_SKIP;
}

/* A gap is met again by every run that begins from the same commit: it counts once. */
static aa_status
count_gap(source *so, int32_t partition, int64_t from, int64_t to, aa_err *err)
{
    const size_t at = (size_t)partition;

    aa_status st = reserve_place(&so->gap_end, &so->gap_cap, at, err);

    if (st != AA_OK) return st;
    if (so->gap_end[at] == to) return AA_OK;
    so->gap_end[at] = to;
    so->gaps++;
    if (to > from) so->lost += (uint64_t)(to - from);
    return AA_OK;
}

/* Where to go on: with the first event that is there. But of a topic that was cut all of them have
 * been read: what comes next is at its end. A topic that was made anew has no commits of this
 * pipeline, since Kafka deletes them with the topic. */
static int64_t
behind_gap(const resume_part *part, bool committed, int64_t low, int64_t high)
{
    if (part->position >= low && part->position <= high) return part->position;
    return part->position > high && committed ? high : low;
}

/* What is written to a topic that was cut takes the offsets of what it has lost: every run up to the
 * next commit must begin where the first one did. */
static aa_status
note_cut(source *so, const resume_part *part, int64_t to, aa_err *err)
{
    const size_t at = (size_t)part->partition;
    aa_status    st = reserve_place(&so->cut_from, &so->cut_from_cap, at, err);

    if (st == AA_OK) st = reserve_place(&so->cut_to, &so->cut_to_cap, at, err);
    if (st != AA_OK) return st;
    so->cut_from[at] = part->position;
    so->cut_to[at] = to;
    return AA_OK;
}

static void
begin_at_known_cut(const source *so, resume_part *part, int64_t low, int64_t high)
{
    const size_t at = (size_t)part->partition;

    if (at >= so->cut_to_cap || so->cut_from[at] != part->position) return;
    if (so->cut_to[at] >= low && so->cut_to[at] <= high) part->position = so->cut_to[at];
}

/* A replay ends no later than the partition does now. Events that are not there any more and had
 * not been read are counted. */
static aa_status
skip_gap(source *so, resume_part *part, bool committed, int64_t low, int64_t high, aa_err *err)
{
    int64_t   from = part->position, to = behind_gap(part, committed, low, high);
    aa_status st = from > high && to == high ? note_cut(so, part, to, err) : AA_OK;

    if (st != AA_OK) return st;
    part->position = to;
    if (part->end != RESUME_NO_END && part->end > high) {
        if (from < high) from = high;
        to = part->end;
        part->end = high > part->position ? high : part->position;
    } else if (to > part->end) { /* a replay ends there */
        part->position = to = part->end;
    }
    return count_gap(so, part->partition, from, to, err);
}

/* Where this partition was to go on is before its first event, or behind its last: a retention time
 * has passed, an unclean leader election has cut it, or the topic was deleted and created again. So
 * may the end of a replay be. */
static aa_status
check_position(source *so, resume_part *part, bool committed, aa_err *err)
{
    int64_t   low = 0, high = 0;
    char      kv[160];
    aa_status st = aa_consumer_watermarks(so->cs, part->partition, &low, &high, err);

    if (st != AA_OK || part->position >= part->end) return st;
    if (committed) begin_at_known_cut(so, part, low, high);
    const bool cut = part->position > high || (part->end != RESUME_NO_END && part->end > high);
    if (part->position >= low && !cut) return AA_OK;
    if (!skips_losses(so))
        return aa_fail(err, AA_ECONFIG,
                       "%.80s partition %" PRId32 ": to go on from offset %" PRId64
                       ", but it holds %" PRId64 " to %" PRId64
                       ": events are lost%s. ingest.on_lost_offset=skip continues behind the gap",
                       so->cfg->topics.interactions, part->partition, part->position, low, high,
                       cut ? ", it was cut (unclean leader election) or made anew" : "");
    snprintf(kv, sizeof kv,
             "partition=%" PRId32 " offset=%" PRId64 " first=%" PRId64 " end=%" PRId64,
             part->partition, part->position, low, high);
    aa_log_write(AA_WARN, "OFFSET-LOST", kv, "events are lost%s: continuing behind the gap",
                 cut ? ", the partition was cut (unclean leader election) or made anew" : "");
    return skip_gap(so, part, committed, low, high, err);
}

/* A checkpoint's partition that the topic has no more. */
static aa_status
check_partitions(source *so, const resume *re, aa_err *err)
{
    const size_t count = aa_consumer_partition_count(so->cs);

    for (size_t i = 0; i < re->part_count; i++) {
        if ((size_t)re->part[i].partition < count) continue;
        if (!skips_losses(so))
            return aa_fail(err, AA_ECONFIG,
                           "%s has %zu partitions, but there was one with number %" PRId32
                           ": events are lost. ingest.on_lost_offset=skip continues without",
                           so->cfg->topics.interactions, count, re->part[i].partition);
        aa_warn("OFFSET-LOST", "%s has no partition %" PRId32 " any more",
                so->cfg->topics.interactions, re->part[i].partition);
        aa_status st = count_gap(so, re->part[i].partition, 0, 0, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* The commits of our partitions into po; the lane's last epoch is on any of the topic's, since
 * those that it had then may be another lane's now. */
static aa_status
ask_commits(source *so, uint64_t *epoch, uint64_t *seq, uint64_t *run, aa_err *err)
{
    size_t           count = aa_consumer_partition_count(so->cs);
    aa_kafka_offset *all;

    if (so->n > 0 && (size_t)so->part[so->n - 1].partition >= count) /* the topic has grown */
        count = (size_t)so->part[so->n - 1].partition + 1;
    all = calloc(count + 1, sizeof *all);
    if (!all) return aa_fail(err, AA_ENOMEM, "%zu partitions", count);
    for (size_t i = 0; i < count; i++)
        all[i].partition = (int32_t)i;
    aa_status st = aa_consumer_committed(so->cs, all, count, err);
    if (st == AA_OK) *epoch = resume_epoch(all, count, so->cfg->pipeline.lane, seq);
    if (st == AA_OK) *run = resume_newest_run(all, count, so->cfg->pipeline.lane);
    for (size_t i = 0; st == AA_OK && i < count; i++)
        so->begun = so->begun || all[i].offset != AA_KAFKA_NO_OFFSET;
    for (size_t i = 0; st == AA_OK && i < so->n; i++)
        so->po[i] = all[so->part[i].partition];
    free(all);
    return st;
}

/* The group has no commit of ours. A fresh pipeline, or one that ended between its first checkpoint
 * and the commit of it, begins; but two checkpoints were not written without a commit: that has
 * expired, or was deleted, perhaps with its topic. */
static aa_status
check_commit(source *so, resume *re, uint64_t bad, aa_err *err)
{
    uint64_t *epochs = NULL;
    size_t    count = 0;
    aa_status st = aa_ckpt_list(so->cfg, "ingest", &epochs, &count, err);

    if (st != AA_OK || count < 2) goto out;
    if (!skips_losses(so)) {
        st = aa_fail(err, AA_ECONFIG,
                     "the group has no commit any more, but there are checkpoints up to epoch "
                     "%" PRIu64 ". ingest.on_lost_offset=skip continues from that; another "
                     "pipeline.name starts from the beginning",
                     epochs[count - 1]);
        goto out;
    }
    aa_warn("OFFSET-LOST", "the group has no commit any more: continuing from the last checkpoint");
    st = resume_find(re, so->cfg, epochs[count - 1], NULL, bad, err);
out:
    free(epochs);
    return st;
}

aa_status
source_lookup(source *so, resume *re, uint64_t bad, aa_err *err)
{
    int64_t  lane = so->cfg->pipeline.lane;
    uint64_t epoch = 0, seq = 0, run = 0;

    aa_status st = ask_partitions(so, err);
    if (st == AA_OK) st = take_union(so, err);
    if (st == AA_OK) st = ask_commits(so, &epoch, &seq, &run, err);
    if (st != AA_OK) return st;
    resume_fini(re);
    st = epoch > 0 ? resume_find(re, so->cfg, epoch, &seq, bad, err)
                   : check_commit(so, re, bad, err);
    if (run > re->run) re->run = run; /* an older checkpoint, or none, knows less */
    if (st == AA_OK) st = check_partitions(so, re, err);
    so->begun = so->begun || re->epoch > 0;
    if (st == AA_OK) st = resume_merge(re, so->po, so->n, lane, so->replay, err);
    if (st == AA_OK) st = fill_gaps(so, re, err);
    for (size_t i = 0; st == AA_OK && i < re->part_count; i++) {
        const int64_t position = re->part[i].position;
        const bool    ours = re->epoch > 0 && so->po[i].offset != AA_KAFKA_NO_OFFSET;
        st = check_position(so, &re->part[i], ours, err);
        re->commit_soon = re->commit_soon || re->part[i].position != position;
    }
    if (st == AA_OK) so->begun = true;
    return st;
}

const char *
source_trouble(const source *so)
{
    const char *trouble = aa_consumer_trouble(so->cs);
    return trouble ? trouble : registry_trouble(so->rg);
}

bool
source_registry_away(const source *so, uint64_t *fetched, uint64_t *failed)
{
    registry_counts(so->rg, fetched, failed);
    return registry_trouble(so->rg) != NULL;
}

bool
source_skips_losses(const source *so)
{
    return skips_losses(so);
}

uint64_t
source_lost(const source *so, uint64_t *gaps)
{
    *gaps = so->gaps;
    return so->lost;
}

uint64_t
source_passed_over(const source *so)
{
    return so->passed_over;
}

/* The run's partitions that fetchers have are theirs to read. */
static aa_status
ask_fetchers(source *so, const resume *re, uint64_t run_id, aa_err *err)
{
    int64_t *position;

    if (!so->mb) return AA_OK;
    position = malloc((so->n + 1) * sizeof *position);
    if (!position) return aa_fail(err, AA_ENOMEM, "%zu partitions", so->n);
    for (size_t i = 0; i < so->n; i++)
        position[i] = re->part[i].position;
    members_begin(so->mb, run_id, position);
    free(position);
    return AA_OK;
}

aa_status
source_start(source *so, const resume *re, uint64_t run_id, aa_err *err)
{
    size_t    slots = 0;
    aa_status st = AA_OK;

    AA_REQUIRE(re->part_count == so->n);
    for (size_t i = 0; i < so->n; i++) {
        source_part *part = &so->part[i];
        AA_REQUIRE(part->partition == re->part[i].partition);
        part->end = re->part[i].end;
        part->next = re->part[i].position;
        part->held = false;
        part->slot = NOT_READ;
        part->short_ms = 0;
        if (part->owner != MEMBERS_SELF || re->part[i].position >= part->end) continue;
        part->slot = slots;
        so->po[slots].partition = part->partition;
        so->po[slots++].offset = re->part[i].position;
    }
    so->rewind = false;
    /* with none of our own the group may be dealing: the answer to that is not given here */
    if (!so->mb || slots > 0) st = aa_consumer_assign(so->cs, so->po, slots, err);
    return st == AA_OK ? ask_fetchers(so, re, run_id, err) : st;
}

aa_status
source_commit(source *so, const resume *re, aa_err *err)
{
    char      before[AA_KAFKA_METADATA];
    aa_status st;

    AA_REQUIRE(re->part_count == so->n);
    for (size_t i = 0; i < so->n; i++) {
        so->po[i].partition = re->part[i].partition;
        so->po[i].offset = re->part[i].position;
        snprintf(before, sizeof before, "%s", so->po[i].metadata);
        st = resume_metadata(so->po[i].metadata, re->epoch, re->seq, so->cfg->pipeline.lane,
                             re->run, before, err);
        if (st != AA_OK) return st;
    }
    return aa_consumer_commit_send(so->cs, so->po, so->n, err);
}

aa_status
source_committed(source *so, bool *answered, aa_err *err)
{
    return aa_consumer_commit_answer(so->cs, 0, answered, err);
}

/* ---- what has arrived ---- */

void
source_announce(source *so, announce *an)
{
    so->an = an;
}

/* Its schema cannot be had now: this message and those behind it are read again when it can. */
static void
hold_partition(source *so, source_part *part, int64_t offset)
{
    part->held = so->rewind = true;
    part->waits_for = decode_waits_for(so->dc);
    part->next = offset;
    if (aa_log_on(AA_DEBUG))
        aa_debug("SCHEMA-WAIT", "partition %" PRId32 " offset %" PRId64 ": %s", part->partition,
                 offset, decode_why(so->dc));
}

static aa_status
push_records(source *so, order *od, size_t idx, size_t n, aa_err *err)
{
    const aa_columns *ev = &so->decoded.columns;
    int64_t           end = so->part[idx].end, now_ms = aa_wall_ms();

    if (so->an) announce_tick(so->an, aa_now_ms());

    for (size_t i = 0; i < n; i++) {
        const aa_kafka_record *rec = &so->rec[i];
        decode_reason          reason;
        if (rec->offset >= end) break; /* written after the replay began */
        reason = decode_message(so->dc, rec->value, rec->len, rec->timestamp_ms, ev, 0);
        if (reason == DECODE_OK) {
            order_push(od, idx, rec->offset, ev, 0, arrived_ms(rec, now_ms));
            arrived_item(so->an, so->dc, ev->key, so->cfg->field_count);
        } else if (reason == DECODE_WAIT) {
            hold_partition(so, &so->part[idx], rec->offset);
            return AA_OK;
        } else if (reason == DECODE_SKIP) {
            so->passed_over++;
            order_pass(od, idx, rec->offset + 1);
        } else {
            deadletter *dl = NULL;
            aa_status   st = arrived_bad(&dl, rec, reason, so->dc, err);
            if (st != AA_OK) return st;
            order_push_letter(od, idx, &dl);
        }
        so->part[idx].next = rec->offset + 1;
    }
    return AA_OK;
}

/* What comes next cannot be unpacked, and never will be. */
static aa_status
skip_unreadable(source *so, const order *od, size_t idx, int64_t *met, const char *why, aa_err *err)
{
    const int32_t partition = so->part[idx].partition;
    const int64_t position = order_position(od, idx);
    int64_t       from = 0, to = 0;
    char          kv[120];

    if (!skips_losses(so))
        return aa_fail(err, AA_ECONFIG, "%s. ingest.on_lost_offset=skip continues behind them",
                       why);
    aa_status st = aa_consumer_skip(so->cs, so->cfg, so->part[idx].slot, &from, &to, err);
    if (st == AA_EIO) { /* the next try of the library brings us back here */
        aa_warn("KAFKA-READ", "%s", err->text);
        return AA_OK;
    }
    if (st != AA_OK) return st;
    snprintf(kv, sizeof kv, "partition=%" PRId32 " offset=%" PRId64 " next=%" PRId64, partition,
             from, to);
    aa_log_write(AA_ERROR, "OFFSET-LOST", kv, "%s: continuing behind them", why);
    *met = to;
    return count_gap(so, partition, position > from ? position : from, to, err);
}

/* A replay has come to where the partition ends, and that is before the end that it is to reach.
 * Right after a leader's change it may look like that for a moment. */
static aa_status
check_short(source *so, source_part *part, bool ends, aa_err *err)
{
    const int64_t now_ms = aa_now_ms();
    int64_t       low = 0, high = 0;
    aa_err        none = AA_ERR_INIT;

    if (ends && part->short_ms == 0) part->short_ms = now_ms;
    if (part->short_ms == 0 || now_ms - part->short_ms < SHORT_MS) return AA_OK;
    part->short_ms = now_ms; /* the library tells of an end once */
    if (aa_consumer_watermarks(so->cs, part->partition, &low, &high, &none) != AA_OK ||
        high >= part->end)
        return AA_OK;
    return aa_fail(err, AA_ECONFIG,
                   "%s partition %" PRId32 ": it ended at %" PRId64
                   " when the replay began, and ends at %" PRId64
                   " now: events are lost. ingest.on_lost_offset=skip continues without them",
                   so->cfg->topics.interactions, part->partition, part->end, high);
}

static aa_status
pump_partition(source *so, order *od, size_t idx, size_t *got, aa_err *err)
{
    source_part *part = &so->part[idx];
    size_t       room = order_room(od, idx), n = 0;
    int64_t      met = AA_KAFKA_NO_OFFSET;

    if (room > CHUNK) room = CHUNK;
    aa_status st = aa_consumer_batch(so->cs, part->slot, so->rec, room, &n, &met, err);
    if (st == AA_EPARSE) {
        const aa_err why = *err;
        st = skip_unreadable(so, od, idx, &met, why.text, err);
    }
    if (st != AA_OK) return st;
    st = push_records(so, od, idx, n, err);
    if (st != AA_OK) return st;
    *got += n;
    if (part->held) return AA_OK;
    if (met > part->next) part->next = met;
    /* the end is behind a message (of a compacted topic) or behind markers that are no messages */
    if (part->end == RESUME_NO_END) {
        if (met != AA_KAFKA_NO_OFFSET) order_pass(od, idx, met);
        return AA_OK;
    }
    if (n > 0) part->short_ms = 0;
    if (met < part->end && (n == 0 || so->rec[n - 1].offset + 1 < part->end))
        return check_short(so, part, met != AA_KAFKA_NO_OFFSET, err);
    order_end(od, idx, part->end);
    part->slot = NOT_READ;
    (*got)++;
    return AA_OK;
}

/* From where each partition stands: what was read ahead of that goes. */
static aa_status
read_again(source *so, aa_err *err)
{
    size_t slots = 0;
    so->rewind = false;
    for (size_t i = 0; i < so->n; i++) {
        source_part *part = &so->part[i];
        if (part->slot == NOT_READ) continue;
        part->slot = slots;
        so->po[slots].partition = part->partition;
        so->po[slots++].offset = part->next;
    }
    return aa_consumer_assign(so->cs, so->po, slots, err);
}

/* As far ahead as there is room: the library pauses for a second when its own queue is full, and
 * what is held here (in an eighth of the memory) must last that long. */
aa_status
source_pump(source *so, order *od, size_t *got, aa_err *err)
{
    *got = 0;
    for (size_t idx = 0; idx < so->n; idx++) {
        aa_status st;
        if (so->part[idx].slot == NOT_READ || order_room(od, idx) == 0) continue;
        if (so->part[idx].held && !decode_schema_there(so->dc, so->part[idx].waits_for)) continue;
        so->part[idx].held = false;
        st = pump_partition(so, od, idx, got, err);
        if (st != AA_OK) return st;
    }
    return so->rewind ? read_again(so, err) : AA_OK;
}

int
source_fd(const source *so)
{
    return aa_consumer_fd(so->cs);
}

void
source_clear_fd(source *so)
{
    aa_consumer_clear_fd(so->cs);
}

size_t
source_dealt(const source *so)
{
    return so->mb ? so->own_n : so->n;
}

size_t
source_partition_count(const source *so)
{
    return so->n;
}

int32_t
source_partition(const source *so, size_t idx)
{
    return so->part[idx].partition;
}

int64_t
source_lag(const source *so, size_t idx, int64_t position)
{
    const source_part *part = &so->part[idx];
    if (part->end != RESUME_NO_END) return part->end > position ? part->end - position : 0;
    if (part->owner != MEMBERS_SELF) return members_lag(so->mb, part->partition, position);
    return aa_consumer_lag(so->cs, part->partition, position);
}
