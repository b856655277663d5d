#include "learner/learner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/agent_state.h"
#include "common/agent/mode.h"
#include "common/base/hash.h"
#include "common/model/row.h"
#include "common/model/signal.h"
#include "learner/learner_internal.h"

#define AHEAD 4 /* events between asking memory for a row and reading it */

/* ---- life ---- */

static void
work_free(learner_work *wk)
{
    float *floats[] = {wk->x,           wk->dx,      wk->shared_x,    wk->logit, wk->dlogit,
                       wk->p,           wk->scratch, wk->shared_loss, wk->alt_x, wk->alt_logit,
                       wk->alt_scratch, wk->signal,  wk->alt_signal};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        free(floats[i]);
    free(wk->slot);
    *wk = (learner_work){0};
}

/* Room for steps of B events. */
static aa_status
work_reserve(learner *le, size_t B, aa_err *err)
{
    learner_work *wk = &le->wk;
    if (B <= wk->cap) return AA_OK;
    work_free(wk);
    const size_t rows_B = B * le->F, alt_x = LEARNER_ALT_MAX * le->F * le->W;
    struct {
        float **array;
        size_t  count;
    } floats[] = {{&wk->x, rows_B * le->W},
                  {&wk->dx, rows_B * le->W},
                  {&wk->shared_x, rows_B * le->W},
                  {&wk->signal, B * le->sh.S + 1},
                  {&wk->alt_signal, LEARNER_ALT_MAX * le->sh.S + 1},
                  {&wk->logit, B},
                  {&wk->dlogit, B},
                  {&wk->p, B},
                  {&wk->scratch, le->kind->scratch_count(&le->sh, B)},
                  {&wk->shared_loss, rows_B},
                  {&wk->alt_x, alt_x},
                  {&wk->alt_logit, LEARNER_ALT_MAX},
                  {&wk->alt_scratch, le->kind->scratch_count(&le->sh, LEARNER_ALT_MAX)}};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (!(*floats[i].array = malloc(floats[i].count * sizeof(float)))) goto fail;
    if (!(wk->slot = malloc(rows_B * sizeof *wk->slot))) goto fail;
    for (size_t f = 0; f < le->F; f++) {
        aa_status st = rows_reserve(le->tables[f], B, err);
        if (st != AA_OK) return st;
    }
    wk->cap = B;
    return AA_OK;
fail:
    work_free(wk);
    return aa_fail(err, AA_ENOMEM, "optimizer step of %zu events", B);
}

static uint64_t
live_rows(const learner *le)
{
    uint64_t live = 0;
    for (size_t f = 0; f < le->F; f++) {
        rows_stats rs;
        rows_stats_get(le->tables[f], &rs);
        live += rs.live;
    }
    return live;
}

static aa_status
build_learner(learner *le, const aa_conf *cfg, aa_err *err)
{
    const bool mse = cfg->model.loss == AA_LOSS_MSE;
    le->cfg = cfg;
    le->kind = aa_model_find(cfg->model.kind);
    aa_model_shape_of(&le->sh, cfg);
    le->F = le->sh.F;
    le->W = aa_row_width(le->sh.K);
    le->step = (size_t)cfg->model.step;
    le->dense_step = (size_t)cfg->model.dense_step;
    le->shared = aa_shared_rows(cfg);
    le->states = aa_state_count((uint32_t)cfg->agent.positions);
    le->residual = aa_residual_rows(cfg);
    le->loss = mse ? aa_mse : aa_logloss;
    le->loss_all = mse ? aa_mse_all : aa_logloss_all;
    le->next_seq = 1;
    le->ring_count = (size_t)cfg->pipeline.depth + 1;
    reward_init(&le->rw, cfg);
    aa_status st = adam_init(&le->dense, le->kind->weight_count(&le->sh), err);
    worth_init(&le->wo, cfg);
    if (st == AA_OK && aa_mode_of(cfg)->critic == AA_CRITIC_Q) st = critic_new(&le->cr, cfg, err);
    for (size_t f = 0; st == AA_OK && f < le->F; f++)
        st = rows_new(&le->tables[f], (uint32_t)f, cfg, err);
    if (st != AA_OK) return st;
    le->kind->init(&le->sh, le->dense.w, (uint64_t)cfg->pipeline.seed);
    le->live_peak = live_rows(le);
    le->dw = calloc(le->dense.count, sizeof *le->dw);
    le->ring = calloc(le->ring_count, sizeof *le->ring);
    le->qu = quality_new((uint64_t)cfg->pipeline.late_from);
    if (!le->dw || !le->ring || !le->qu) return aa_fail(err, AA_ENOMEM, "learner");
    return work_reserve(le, 1, err);
}

aa_status
learner_new(learner **out, const aa_conf *cfg, aa_err *err)
{
    AA_REQUIRE(cfg->field_count > 0 && cfg->field_count <= AA_MAX_FIELDS);
    learner *le = calloc(1, sizeof *le);
    if (!le) return aa_fail(err, AA_ENOMEM, "learner");
    aa_status st = build_learner(le, cfg, err);
    if (st != AA_OK)
        learner_free(&le);
    else
        *out = le;
    return st;
}

void
learner_free(learner **le_p)
{
    if (!le_p || !*le_p) return;
    learner *le = *le_p;
    for (size_t f = 0; f < le->F; f++)
        rows_free(&le->tables[f]);
    for (size_t i = 0; le->ring && i < le->ring_count; i++)
        aa_reward_batch_fini(&le->ring[i]);
    free(le->ring);
    free(le->dw);
    adam_fini(&le->dense);
    critic_free(&le->cr);
    quality_free(&le->qu);
    work_free(&le->wk);
    free(le);
    *le_p = NULL;
}

/* ---- one optimizer step: events start .. start+B-1 of the batch ---- */

typedef struct {
    const aa_assigned_batch *in;
    aa_reward_batch         *out;
    float                   *prediction; /* (n) or NULL */
    size_t                   next_op;
} pass;

/* Readings of a row that is given away within the step: their gradient has nowhere to go. */
static void
forget_readings(learner *le, const aa_op *op, size_t events)
{
    for (size_t i = 0; i < events; i++) {
        uint32_t *slot = &le->wk.slot[i * le->F + op->field];
        if (*slot == op->slot) *slot = AA_NO_SLOT;
    }
}

/* Ops before event e, of which `read` earlier events of this step have read their rows. */
static void
apply_ops(learner *le, pass *ps, size_t e, size_t read)
{
    const aa_assigned_batch *in = ps->in;
    for (; ps->next_op < in->op_count && in->op[ps->next_op].event_idx <= e; ps->next_op++) {
        const aa_op *op = &in->op[ps->next_op];
        rows_apply(le->tables[op->field], op, in->hd.seq, ps->next_op);
        if (op->kind == AA_OP_FREE) {
            forget_readings(le, op, read);
        } else {
            uint64_t live = live_rows(le);
            if (live > le->live_peak) le->live_peak = live;
        }
    }
}

/* What event from/F of the batch reads in its field, at place `to` of the step. */
static void
read_field(learner *le, const aa_assigned_batch *in, size_t from, size_t to)
{
    const rows  *table = le->tables[from % le->F];
    const size_t W = le->W;
    float       *x = le->wk.x + to * W, *shared_x = le->wk.shared_x + to * W;
    const bool   beside = in->alt_slot[from] != AA_NO_SLOT;
    le->wk.slot[to] = in->slot[from];
    if (beside) rows_read(table, in->alt_slot[from], in->alt_mix[from], shared_x);
    if (beside && le->residual)
        rows_read_own(table, in->slot[from], shared_x, x);
    else
        rows_read(table, in->slot[from], in->mix[from], x);
}

/* Rows far apart in memory are slow to come: they are asked for before they are read. */
static void
prefetch_rows(const learner *le, const aa_assigned_batch *in, size_t event)
{
    if (event >= in->n) return;
    for (size_t f = 0; f < le->F; f++)
        rows_prefetch(le->tables[f], in->slot[event * le->F + f]);
}

static void
gather_step(learner *le, pass *ps, size_t start, size_t B)
{
    for (size_t i = 0; i < B; i++) {
        prefetch_rows(le, ps->in, start + i + AHEAD);
        apply_ops(le, ps, start + i, i);
        for (size_t f = 0; f < le->F; f++)
            read_field(le, ps->in, (start + i) * le->F + f, i * le->F + f);
        for (size_t f = 0; le->sh.S > 0 && f < le->F; f++)
            aa_signal_read(ps->in->signal[(start + i) * le->F + f],
                           le->wk.signal + i * le->sh.S + f * AA_SIGNALS);
    }
}

/* Predict, and record before anything is learned. */
static void
predict(learner *le, pass *ps, size_t start, size_t B)
{
    learner_work *wk = &le->wk;
    le->kind->forward(&le->sh, le->dense.w, wk->x, wk->signal, B, wk->logit, wk->scratch);
    for (size_t i = 0; i < B; i++) {
        const size_t  e = start + i;
        const float   label = ps->in->label[e];
        const aa_loss lo = le->loss_all(wk->logit[i], label);
        wk->p[i] = lo.p;
        ps->out->loss[e] = lo.loss;
        wk->dlogit[i] = lo.gradient;
    }
    quality_add_all(le->qu, wk->p, ps->in->label + start, ps->in->seen + start, B);
    if (ps->prediction) memcpy(ps->prediction + start, wk->p, B * sizeof *wk->p);
}

/* Forward the first n of the other readings, and note their losses. */
static void
compare(learner *le, const float *label, size_t n)
{
    learner_work *wk = &le->wk;
    if (n == 0) return;
    le->kind->forward(&le->sh, le->dense.w, wk->alt_x, wk->alt_signal, n, wk->alt_logit,
                      wk->alt_scratch);
    for (size_t j = 0; j < n; j++)
        wk->shared_loss[wk->alt_of[j]] = le->loss(wk->alt_logit[j], label[wk->alt_of[j] / le->F]);
}

/* The same events once more, with the shared reading of one field that reads a row of its own. */
static void
compare_with_shared(learner *le, const pass *ps, size_t start, size_t B)
{
    const size_t             F = le->F, W = le->W, S = le->sh.S;
    const aa_assigned_batch *in = ps->in;
    learner_work            *wk = &le->wk;
    size_t                   n = 0;
    for (size_t at = 0; at < B * F; at++) {
        const size_t i = at / F, f = at % F, from = start * F + at;
        wk->shared_loss[at] = NAN;
        if (in->alt_slot[from] == AA_NO_SLOT) continue;
        float *x = wk->alt_x + n * F * W;
        memcpy(x, wk->x + i * F * W, F * W * sizeof *x);
        memcpy(x + f * W, wk->shared_x + at * W, W * sizeof *x);
        if (S > 0) memcpy(wk->alt_signal + n * S, wk->signal + i * S, S * sizeof *wk->signal);
        wk->alt_of[n++] = at;
        if (n == LEARNER_ALT_MAX) {
            compare(le, in->label + start, n);
            n = 0;
        }
    }
    compare(le, in->label + start, n);
}

/* The gradient of what was read goes to the rows that it was made of; with an own row beside it the
 * shared reading gets only a share, for its rows are there for those who have none. */
static void
learn_field(learner *le, const aa_assigned_batch *in, size_t from, size_t at)
{
    rows        *table = le->tables[from % le->F];
    const float *dx = le->wk.dx + at * le->W;
    rows_learn(table, le->wk.slot[at], in->mix[from], 1.0f, dx);
    if (le->residual && in->alt_slot[from] != AA_NO_SLOT)
        rows_learn(table, in->alt_slot[from], in->alt_mix[from],
                   (float)le->cfg->model.shared_gradient, dx);
}

/* One step of the dense weights, down the mean of the gradients gathered. */
static void
step_dense(learner *le)
{
    if (le->gathered == 0) return;
    adam_step(&le->dense, le->dw, 1.0f / (float)le->gathered, le->gathered,
              le->cfg->model.dense_rate);
    le->gathered = 0;
}

/* Each row learns from every event that read it, in order; dense weights gather the gradients of
 * model.dense_step events. */
static void
train(learner *le, const pass *ps, size_t start, size_t B)
{
    const size_t  F = le->F;
    learner_work *wk = &le->wk;
    if (le->gathered == 0) /* w may be another than at the last backward pass, and scratch too */
        le->kind->prepare(&le->sh, le->dense.w, wk->scratch);
    le->kind->backward(&le->sh, le->dense.w, wk->x, wk->signal, B, wk->dlogit, wk->scratch, wk->dx,
                       le->dw);
    le->gathered += B;
    if (le->gathered >= le->dense_step) step_dense(le);
    for (size_t at = 0; at < B * F; at++)
        learn_field(le, ps->in, start * F + at, at);
    for (size_t f = 0; f < F; f++)
        rows_update(le->tables[f]);
}

static inline uint32_t
bucket_of(const learner *le, uint32_t state_idx)
{
    return aa_state_bucket(state_idx, (uint32_t)le->cfg->agent.positions);
}

static void
reward_events(learner *le, const pass *ps, size_t start, size_t B)
{
    const aa_assigned_batch *in = ps->in;
    for (size_t i = 0; i < B; i++) {
        const float loss = ps->out->loss[start + i];
        for (size_t f = 0; f < le->F; f++) {
            const size_t      at = (start + i) * le->F + f;
            const reward_case rc = {.loss = loss,
                                    .baseline = in->baseline[at],
                                    .shared_loss = le->wk.shared_loss[i * le->F + f],
                                    .own_row =
                                        in->slot[at] >= le->shared && in->slot[at] != AA_NO_SLOT};
            ps->out->reward[at] = reward_of(&le->rw, &rc);
            if (!le->cr && in->state[at] != AA_NO_STATE && !isnan(rc.shared_loss))
                worth_event(&le->wo, f, bucket_of(le, AA_STATE_IDX(in->state[at])),
                            bucket_of(le, in->next_state[at]), rc.shared_loss - loss);
        }
        reward_event(&le->rw, loss);
    }
}

/* ---- one batch ---- */

/* What the critic says of a decision with this reward. */
static float
advantage(learner *le, size_t f, uint32_t word, uint32_t next, float r)
{
    if (le->cr) return critic_decision(le->cr, word, next, r);
    return word == AA_NO_STATE ? 0.0f : worth_of(&le->wo, f, bucket_of(le, AA_STATE_IDX(word)));
}

/* Rewards of the sweep, the advantages of all decisions, and the critic's update. In the default
 * mode the worth of a row is sent as the advantage: the assigner knows its price. */
static void
judge(learner *le, const aa_assigned_batch *in, aa_reward_batch *out)
{
    const size_t   events = in->n * le->F;
    const uint32_t k = (uint32_t)le->cfg->agent.positions;
    for (size_t d = 0; d < events; d++)
        out->advantage[d] =
            advantage(le, d % le->F, in->state[d], in->next_state[d], out->reward[d]);
    for (size_t s = 0; s < in->sweep_count; s++) {
        const uint32_t next = in->sweep_next_state[s];
        const bool  own = in->sweep_state[s] != AA_NO_STATE && aa_state_position(next, k) == k + 1;
        const float r = reward_between(&le->rw, own);
        out->reward[events + s] = r;
        out->advantage[events + s] = advantage(le, in->sweep_field[s], in->sweep_state[s], next, r);
    }
    if (le->cr) critic_learn(le->cr);
}

/* Copy of out for learner_rewards. @pre kept has room */
static void
keep_rewards(aa_reward_batch *kept, const aa_reward_batch *out)
{
    kept->hd = out->hd;
    kept->n = out->n;
    kept->m = out->m;
    if (out->n) memcpy(kept->loss, out->loss, out->n * sizeof *out->loss);
    if (out->m) memcpy(kept->reward, out->reward, out->m * sizeof *out->reward);
    if (out->m) memcpy(kept->advantage, out->advantage, out->m * sizeof *out->advantage);
}

static aa_status
check_finite(const char *what, const float *x, size_t n, uint64_t seq, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return aa_fail(err, AA_EDIVERGED, "batch %llu: %s[%zu] is %g: the model has diverged",
                           (unsigned long long)seq, what, i, (double)x[i]);
    return AA_OK;
}

/* Once per batch, not per event: what is not finite in a row shows when an event reads it. */
static aa_status
check_converging(const learner *le, const aa_reward_batch *out, aa_err *err)
{
    const uint64_t seq = out->hd.seq;
    aa_status      st = check_finite("loss", out->loss, out->n, seq, err);
    if (st == AA_OK) st = check_finite("reward", out->reward, out->m, seq, err);
    if (st == AA_OK) st = check_finite("advantage", out->advantage, out->m, seq, err);
    return st == AA_OK ? check_finite("dense weight", le->dense.w, le->dense.count, seq, err) : st;
}

aa_status
learner_step(learner *le, const aa_assigned_batch *in, aa_reward_batch *out, float *prediction,
             aa_err *err)
{
    const size_t     m = in->n * le->F + in->sweep_count;
    aa_reward_batch *kept = &le->ring[in->hd.seq % le->ring_count];
    aa_status        st = learner_check(le, in, err);
    if (st == AA_OK) st = work_reserve(le, le->step < in->n ? le->step : in->n, err);
    if (st == AA_OK) st = aa_reward_batch_reserve(out, in->n, m, err);
    if (st == AA_OK) st = aa_reward_batch_reserve(kept, in->n, m, err);
    if (st != AA_OK) return st;
    out->hd = in->hd;
    out->n = in->n;
    out->m = m;
    pass ps = {.in = in, .out = out, .prediction = prediction};
    for (size_t f = 0; f < le->F; f++)
        rows_begin(le->tables[f], in->hd.seq);
    for (size_t start = 0; start < in->n; start += le->step) {
        const size_t B = in->n - start < le->step ? in->n - start : le->step;
        gather_step(le, &ps, start, B);
        predict(le, &ps, start, B);
        compare_with_shared(le, &ps, start, B);
        train(le, &ps, start, B);
        reward_events(le, &ps, start, B);
    }
    step_dense(le); /* nothing is left over: checkpoints and scorers have all */
    apply_ops(le, &ps, in->n, 0);
    judge(le, in, out);
    st = check_converging(le, out, err);
    if (st != AA_OK) return st;
    keep_rewards(kept, out);
    le->next_seq++;
    le->events += in->n;
    return AA_OK;
}

/* ---- what others ask for ---- */

const aa_reward_batch *
learner_rewards(const learner *le, uint64_t seq)
{
    const aa_reward_batch *kept = &le->ring[seq % le->ring_count];
    return seq > 0 && seq < le->next_seq && kept->hd.seq == seq ? kept : NULL;
}

uint64_t
learner_next_batch(const learner *le)
{
    return le->next_seq;
}

void
learner_quality(const learner *le, quality_summary *out)
{
    quality_get(le->qu, out);
}

void
learner_window(learner *le, quality_values *out)
{
    quality_window(le->qu, out);
}

aa_status
learner_changes(learner *le, bool all, learner_change *out, size_t max, size_t *count, aa_err *err)
{
    *count = 0;
    for (size_t f = 0; f < le->F; f++) {
        aa_status st = rows_reserve_changes(le->tables[f], max, err);
        if (st != AA_OK) return st;
    }
    for (size_t f = 0; all && f < le->F; f++)
        rows_touch_all(le->tables[f]);
    const size_t first = le->publish_field;
    for (size_t i = 0; i < le->F && *count < max; i++) {
        const size_t f = (first + i) % le->F;
        *count += rows_changes(le->tables[f], out + *count, max - *count);
        le->publish_field = (f + 1) % le->F; /* where max is reached, the others come first next */
    }
    return AA_OK;
}

const float *
learner_dense(const learner *le, size_t *count)
{
    *count = le->dense.count;
    return le->dense.w;
}

static uint64_t
in_flight_bytes(const learner *le)
{
    const learner_work *wk = &le->wk;
    const uint64_t      floats = 3 * wk->cap * le->F * le->W + 2 * wk->cap + 2 * wk->cap * le->F;
    uint64_t bytes = sizeof(float) * (floats + le->kind->scratch_count(&le->sh, wk->cap));
    for (size_t i = 0; i < le->ring_count; i++)
        bytes += sizeof(float) * (le->ring[i].n + 2 * le->ring[i].m);
    return bytes;
}

void
learner_stats_get(const learner *le, learner_stats *out)
{
    rows_stats rs = {0};
    size_t     base_bytes = 0;
    *out =
        (learner_stats){.events = le->events,
                        .dense_bytes = adam_bytes(&le->dense),
                        .critic_bytes = le->cr ? critic_bytes(le->cr) : sizeof le->wo,
                        .td_error_mean_abs = le->cr ? critic_td_error(le->cr) : le->wo.t.error_mean,
                        .reward_mean = le->rw.st.mean_reward};
    for (size_t f = 0; f < le->F; f++) {
        rows_stats_get(le->tables[f], &rs);
        out->rows_live += rs.live;
        out->rows_allocated += rs.allocated;
        base_bytes += rs.base_bytes;
        out->rows_held_bytes += rs.held_bytes;
        out->row_optimizer_bytes += rs.optimizer_bytes;
    }
    out->in_flight_bytes = in_flight_bytes(le);
    out->row_bytes = out->rows_live * rs.row_bytes + base_bytes;
    out->row_bytes_peak = le->live_peak * rs.row_bytes + base_bytes;
}

bool
learner_tidy(learner *le)
{
    if (le->tidy_field < le->F && rows_tidy(le->tables[le->tidy_field])) return true;
    if (++le->tidy_field < le->F) return true;
    le->tidy_field = 0;
    return false;
}
