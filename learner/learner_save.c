/* Checkpoints and digests of a learner. Sections: learner, dense, rows.<field>, critic
 * (default mode: worth), quality, rewards. A restore builds a second learner and changes places
 * with it when all of it is good. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "learner/learner_internal.h"

/* Plain bytes without padding. */
typedef struct {
    uint64_t     fields, width, weights, ring_count;
    uint64_t     next_seq, events, live_peak, adam_events;
    reward_state rewards;
} saved_head;

typedef struct {
    uint64_t run_id, seq, lane, n, m;
} saved_rewards;

static saved_head
head_of(const learner *le)
{
    return (saved_head){.fields = le->F,
                        .width = le->W,
                        .weights = le->dense.count,
                        .ring_count = le->ring_count,
                        .next_seq = le->next_seq,
                        .events = le->events,
                        .live_peak = le->live_peak,
                        .adam_events = le->dense.events,
                        .rewards = le->rw.st};
}

uint64_t
learner_digest(const learner *le)
{
    const saved_head head = head_of(le);
    uint64_t         d = aa_digest(0, &head, sizeof head);
    for (size_t f = 0; f < le->F; f++)
        d = rows_digest(le->tables[f], d);
    d = aa_digest(d, le->dense.w, adam_bytes(&le->dense));
    d = le->cr ? critic_digest(le->cr, d) : worth_digest(&le->wo, d);
    const uint64_t me = quality_digest(le->qu);
    return aa_digest(d, &me, sizeof me);
}

uint64_t
learner_served_digest(const learner *le)
{
    uint64_t d = 0;
    for (size_t f = 0; f < le->F; f++)
        d = rows_served_digest(le->tables[f], d);
    return aa_digest(d, le->dense.w, le->dense.count * sizeof(float));
}

static saved_rewards
rewards_head(const aa_reward_batch *b)
{
    return (saved_rewards){b->hd.run_id, b->hd.seq, b->hd.lane, b->n, b->m};
}

static size_t
rewards_bytes(const aa_reward_batch *b)
{
    return sizeof(saved_rewards) + (b->n + 2 * b->m) * sizeof(float);
}

static aa_status
save_rewards(const learner *le, aa_ckpt_writer *w, aa_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < le->ring_count; i++)
        bytes += rewards_bytes(&le->ring[i]);
    aa_status st = aa_ckpt_begin(w, "rewards", bytes, err);
    for (size_t i = 0; st == AA_OK && i < le->ring_count; i++) {
        const aa_reward_batch *b = &le->ring[i];
        const saved_rewards    head = rewards_head(b);
        st = aa_ckpt_append(w, &head, sizeof head, err);
        if (st == AA_OK && b->n) st = aa_ckpt_append(w, b->loss, b->n * sizeof(float), err);
        if (st == AA_OK && b->m) st = aa_ckpt_append(w, b->reward, b->m * sizeof(float), err);
        if (st == AA_OK && b->m) st = aa_ckpt_append(w, b->advantage, b->m * sizeof(float), err);
    }
    return st;
}

/* For `inspect`. */
static aa_status
save_about(const learner *le, aa_ckpt_writer *w, aa_err *err)
{
    char                  text[2048];
    quality_summary       ms;
    learner_stats         ls;
    const quality_values *all = &ms.slice[QUALITY_ALL];
    learner_quality(le, &ms);
    learner_stats_get(le, &ls);
    snprintf(text, sizeof text,
             "batch %llu\nevents %llu\nmse %.6f\naccuracy %.6f\nauc %.6f\nlogloss %.6f\n"
             "rows %llu of %llu bytes\ndense_weights %zu\n",
             (unsigned long long)le->next_seq - 1, (unsigned long long)le->events, all->mse,
             all->accuracy, all->auc, all->logloss, (unsigned long long)ls.rows_live,
             (unsigned long long)ls.row_bytes, le->dense.count);
    return aa_ckpt_about(w, text, err);
}

aa_status
learner_save(const learner *le, aa_ckpt_writer *w, aa_err *err)
{
    const saved_head head = head_of(le);
    const void      *quality_data;
    const size_t     quality_len = quality_bytes(le->qu, &quality_data);
    aa_status        st = aa_ckpt_section(w, "learner", &head, sizeof head, err);
    if (st == AA_OK) st = aa_ckpt_section(w, "dense", le->dense.w, adam_bytes(&le->dense), err);
    for (size_t f = 0; st == AA_OK && f < le->F; f++)
        st = rows_save(le->tables[f], w, err);
    if (st == AA_OK) st = le->cr ? critic_save(le->cr, w, err) : worth_save(&le->wo, w, err);
    if (st == AA_OK) st = aa_ckpt_section(w, "metric", quality_data, quality_len, err);
    if (st == AA_OK) st = save_rewards(le, w, err);
    if (st == AA_OK) st = save_about(le, w, err);
    return st;
}

/* ---- restore ---- */

static aa_status
restore_head(learner *le, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    saved_head  head = {0};
    aa_status   st = aa_ckpt_get(r, "learner", &data, &len, err);
    if (st != AA_OK) return st;
    if (len == sizeof head) memcpy(&head, data, len);
    if (head.fields != le->F || head.width != le->W || head.weights != le->dense.count ||
        head.ring_count != le->ring_count || head.next_seq == 0)
        return aa_fail(err, AA_EPARSE, "learner: %zu bytes of another shape", len);
    le->next_seq = head.next_seq;
    le->events = head.events;
    le->live_peak = head.live_peak;
    le->dense.events = head.adam_events;
    le->rw.st = head.rewards;
    st = aa_ckpt_get(r, "dense", &data, &len, err);
    if (st != AA_OK) return st;
    if (len != adam_bytes(&le->dense))
        return aa_fail(err, AA_EPARSE, "dense: %zu bytes of another shape", len);
    memcpy(le->dense.w, data, len);
    return AA_OK;
}

/* Kept batch i from the front of (at, left); moves them on. */
static aa_status
restore_batch(learner *le, size_t i, const unsigned char **at, size_t *left, aa_err *err)
{
    saved_rewards head = {0};
    if (*left >= sizeof head) memcpy(&head, *at, sizeof head);
    const uint64_t most = *left / sizeof(float);
    if (*left < sizeof head || head.n > most || head.m > most ||
        (head.n + 2 * head.m) * sizeof(float) > *left - sizeof head)
        return aa_fail(err, AA_EPARSE, "rewards: cut off");
    if (head.seq != 0 && head.seq % le->ring_count != i)
        return aa_fail(err, AA_EPARSE, "rewards: batch %llu at place %zu",
                       (unsigned long long)head.seq, i);
    aa_reward_batch *b = &le->ring[i];
    aa_status        st = aa_reward_batch_reserve(b, head.n, head.m, err);
    if (st != AA_OK) return st;
    const unsigned char *from = *at + sizeof head;
    memcpy(b->loss, from, head.n * sizeof(float));
    memcpy(b->reward, from + head.n * sizeof(float), head.m * sizeof(float));
    memcpy(b->advantage, from + (head.n + head.m) * sizeof(float), head.m * sizeof(float));
    b->hd = (aa_header){.run_id = head.run_id, .seq = head.seq, .lane = (uint32_t)head.lane};
    b->n = head.n;
    b->m = head.m;
    *at += rewards_bytes(b);
    *left -= rewards_bytes(b);
    return AA_OK;
}

static aa_status
restore_rewards(learner *le, aa_ckpt_reader *r, aa_err *err)
{
    const void          *data;
    size_t               left;
    aa_status            st = aa_ckpt_get(r, "rewards", &data, &left, err);
    const unsigned char *at = data;
    for (size_t i = 0; st == AA_OK && i < le->ring_count; i++)
        st = restore_batch(le, i, &at, &left, err);
    if (st == AA_OK && left) st = aa_fail(err, AA_EPARSE, "rewards: %zu bytes too many", left);
    return st;
}

static aa_status
restore_metric(learner *le, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    aa_status   st = aa_ckpt_get(r, "metric", &data, &len, err);
    if (st == AA_OK && quality_set_bytes(le->qu, data, len) != 0)
        st = aa_fail(err, AA_EPARSE, "quality: %zu bytes of another shape", len);
    return st;
}

aa_status
learner_restore(learner *le, aa_ckpt_reader *r, aa_err *err)
{
    learner  *fresh = NULL;
    aa_status st = learner_new(&fresh, le->cfg, err);
    if (st == AA_OK) st = restore_head(fresh, r, err);
    for (size_t f = 0; st == AA_OK && f < le->F; f++)
        st = rows_restore(fresh->tables[f], r, err);
    if (st == AA_OK)
        st = fresh->cr ? critic_restore(fresh->cr, r, err) : worth_restore(&fresh->wo, r, err);
    if (st == AA_OK) st = restore_metric(fresh, r, err);
    if (st == AA_OK) st = restore_rewards(fresh, r, err);
    if (st == AA_OK) {
        const learner was = *le;
        *le = *fresh;
        *fresh = was;
    }
    learner_free(&fresh);
    return st;
}
