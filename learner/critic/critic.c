#include "learner/critic/critic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/agent_state.h"
#include "common/agent/nn.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/messages/batch.h"

#define POLYAK     0.05f
#define MANY       10000.0 /* choices in a state after which older ones count half */
#define ERROR_RATE 0.01    /* of the running mean of |Q - y| */

struct critic {
    uint32_t k;
    size_t   S; /* states */
    float    gamma;
    double   rate;
    aa_nn    nn;                    /* Q */
    float   *target;                /* (P) weights of the target network */
    float   *x, *h;                 /* (S,inputs), (S,hidden) */
    float   *q, *q_target, *dq;     /* (S,A) */
    float   *v, *v_target;          /* (S) */
    float   *dw;                    /* (P) */
    double  *chosen;                /* (S,A) how often the actor chose a in s */
    double  *y_sum, *count;         /* (S,A) of this batch */
    double   error_sum, error_mean; /* of this batch; running */
    uint64_t decisions;             /* of this batch */
};

/* V of a table of Q. */
static void
values(const critic *cr, const float *q, float *v)
{
    for (size_t s = 0; s < cr->S; s++) {
        const uint32_t position = aa_state_position((uint32_t)s, cr->k);
        double         sum = 0.0, total = 0.0;
        for (uint32_t a = 0; a < AA_ACTIONS; a++) {
            double weight = cr->chosen[s * AA_ACTIONS + a] + aa_action_is_legal(a, position, cr->k);
            sum += weight * (double)q[s * AA_ACTIONS + a];
            total += weight;
        }
        v[s] = (float)(sum / total); /* "unchanged" is always legal */
    }
}

static void
tabulate(critic *cr)
{
    aa_nn target = cr->nn;
    target.w = cr->target;
    aa_nn_forward(&target, cr->x, cr->S, cr->h, cr->q_target);
    aa_nn_forward(&cr->nn, cr->x, cr->S, cr->h, cr->q); /* last: its h is for the backward pass */
    values(cr, cr->q_target, cr->v_target);
    values(cr, cr->q, cr->v);
}

static aa_status
allocate_tables(critic *cr, aa_err *err)
{
    const size_t S = cr->S, A = AA_ACTIONS, P = cr->nn.count;
    struct {
        float **array;
        size_t  count;
    } floats[] = {{&cr->target, P},
                  {&cr->x, S * AA_STATE_INPUTS},
                  {&cr->h, S * AA_NN_HIDDEN},
                  {&cr->q, S * A},
                  {&cr->q_target, S * A},
                  {&cr->dq, S * A},
                  {&cr->v, S},
                  {&cr->v_target, S},
                  {&cr->dw, P}};
    double **doubles[] = {&cr->chosen, &cr->y_sum, &cr->count};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (!(*floats[i].array = calloc(floats[i].count, sizeof(float)))) goto fail;
    for (size_t i = 0; i < 3; i++)
        if (!(*doubles[i] = calloc(S * A, sizeof(double)))) goto fail;
    return AA_OK;
fail:
    return aa_fail(err, AA_ENOMEM, "critic of %zu states", S);
}

aa_status
critic_new(critic **out, const aa_conf *cfg, aa_err *err)
{
    critic *cr = calloc(1, sizeof *cr);
    if (!cr) return aa_fail(err, AA_ENOMEM, "critic");
    cr->k = (uint32_t)cfg->agent.positions;
    cr->S = aa_state_count(cr->k);
    cr->gamma = (float)cfg->agent.gamma;
    cr->rate = cfg->agent.critic_rate;
    aa_status st = aa_nn_init(&cr->nn, AA_STATE_INPUTS, AA_ACTIONS, (uint64_t)cfg->pipeline.seed,
                              AA_RNG_CRITIC, 0, err);
    if (st == AA_OK) st = allocate_tables(cr, err);
    if (st != AA_OK) {
        critic_free(&cr);
        return st;
    }
    memcpy(cr->target, cr->nn.w, cr->nn.count * sizeof *cr->target);
    for (uint32_t s = 0; s < cr->S; s++)
        aa_state_input(s, cr->k, cr->x + (size_t)s * AA_STATE_INPUTS);
    tabulate(cr);
    *out = cr;
    return AA_OK;
}

void
critic_free(critic **cr_p)
{
    if (!cr_p || !*cr_p) return;
    critic *cr = *cr_p;
    float  *floats[] = {cr->target, cr->x, cr->h,        cr->q, cr->q_target,
                        cr->dq,     cr->v, cr->v_target, cr->dw};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        free(floats[i]);
    free(cr->chosen);
    free(cr->y_sum);
    free(cr->count);
    aa_nn_fini(&cr->nn);
    free(cr);
    *cr_p = NULL;
}

int
critic_knows(const critic *cr, uint32_t word, uint32_t next)
{
    if (word == AA_NO_STATE) return 1;
    return AA_STATE_IDX(word) < cr->S && AA_STATE_ACTION(word) < AA_ACTIONS && next < cr->S;
}

float
critic_decision(critic *cr, uint32_t word, uint32_t next, float reward)
{
    if (word == AA_NO_STATE) return 0.0f;
    const size_t s = AA_STATE_IDX(word), at = s * AA_ACTIONS + AA_STATE_ACTION(word);
    const float  y = reward + cr->gamma * cr->v_target[next];
    cr->y_sum[at] += (double)y;
    cr->count[at] += 1.0;
    cr->error_sum += fabs((double)cr->q[at] - (double)y);
    cr->decisions++;
    return y - cr->v[s];
}

/* The batch's choices join the estimate of the policy. */
static void
count_choices(critic *cr)
{
    for (size_t s = 0; s < cr->S; s++) {
        double *chosen = cr->chosen + s * AA_ACTIONS, total = 0.0;
        for (size_t a = 0; a < AA_ACTIONS; a++)
            total += chosen[a] += cr->count[s * AA_ACTIONS + a];
        for (size_t a = 0; total > MANY && a < AA_ACTIONS; a++)
            chosen[a] *= 0.5;
    }
}

void
critic_learn(critic *cr)
{
    if (cr->decisions == 0) return;
    const double n = (double)cr->decisions;
    for (size_t i = 0; i < cr->S * AA_ACTIONS; i++)
        cr->dq[i] = (float)((cr->count[i] * (double)cr->q[i] - cr->y_sum[i]) / n);
    memset(cr->dw, 0, cr->nn.count * sizeof *cr->dw);
    aa_nn_backward(&cr->nn, cr->x, cr->h, cr->dq, cr->S, cr->dw);
    aa_nn_adam(&cr->nn, cr->dw, cr->rate);
    for (size_t i = 0; i < cr->nn.count; i++)
        cr->target[i] += POLYAK * (cr->nn.w[i] - cr->target[i]);
    count_choices(cr);
    tabulate(cr);
    cr->error_mean += ERROR_RATE * (cr->error_sum / n - cr->error_mean);
    memset(cr->y_sum, 0, cr->S * AA_ACTIONS * sizeof *cr->y_sum);
    memset(cr->count, 0, cr->S * AA_ACTIONS * sizeof *cr->count);
    cr->error_sum = 0.0;
    cr->decisions = 0;
}

const float *
critic_q(const critic *cr)
{
    return cr->q;
}

const float *
critic_v(const critic *cr)
{
    return cr->v;
}

double
critic_td_error(const critic *cr)
{
    return cr->error_mean;
}

size_t
critic_bytes(const critic *cr)
{
    const size_t S = cr->S, A = AA_ACTIONS, P = cr->nn.count;
    return sizeof *cr + aa_nn_bytes(&cr->nn) + 2 * P * sizeof(float) + 3 * S * A * sizeof(double) +
           S * (AA_STATE_INPUTS + AA_NN_HIDDEN + 3 * A + 2) * sizeof(float);
}

/* ---- checkpoint: between batches; the tables follow from the rest ---- */

typedef struct {
    uint64_t weights, states, steps;
    double   error_mean;
} saved_head;

static saved_head
head_of(const critic *cr)
{
    return (saved_head){cr->nn.count, cr->S, cr->nn.steps, cr->error_mean};
}

uint64_t
critic_digest(const critic *cr, uint64_t d)
{
    const saved_head head = head_of(cr);
    d = aa_digest(d, &head, sizeof head);
    d = aa_digest(d, cr->nn.w, aa_nn_bytes(&cr->nn));
    d = aa_digest(d, cr->target, cr->nn.count * sizeof(float));
    return aa_digest(d, cr->chosen, cr->S * AA_ACTIONS * sizeof(double));
}

static size_t
saved_bytes(const critic *cr)
{
    return sizeof(saved_head) + aa_nn_bytes(&cr->nn) + cr->nn.count * sizeof(float) +
           cr->S * AA_ACTIONS * sizeof(double);
}

aa_status
critic_save(const critic *cr, aa_ckpt_writer *w, aa_err *err)
{
    const saved_head head = head_of(cr);
    aa_status        st = aa_ckpt_begin(w, "critic", saved_bytes(cr), err);
    if (st == AA_OK) st = aa_ckpt_append(w, &head, sizeof head, err);
    if (st == AA_OK) st = aa_ckpt_append(w, cr->nn.w, aa_nn_bytes(&cr->nn), err);
    if (st == AA_OK) st = aa_ckpt_append(w, cr->target, cr->nn.count * sizeof(float), err);
    if (st == AA_OK) st = aa_ckpt_append(w, cr->chosen, cr->S * AA_ACTIONS * sizeof(double), err);
    return st;
}

aa_status
critic_restore(critic *cr, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    saved_head  head = {0};
    aa_status   st = aa_ckpt_get(r, "critic", &data, &len, err);
    if (st != AA_OK) return st;
    if (len == saved_bytes(cr)) memcpy(&head, data, sizeof head);
    if (head.weights != cr->nn.count || head.states != cr->S)
        return aa_fail(err, AA_EPARSE, "critic: %zu bytes of another shape", len);
    const unsigned char *at = (const unsigned char *)data + sizeof head;
    memcpy(cr->nn.w, at, aa_nn_bytes(&cr->nn));
    at += aa_nn_bytes(&cr->nn);
    memcpy(cr->target, at, cr->nn.count * sizeof(float));
    at += cr->nn.count * sizeof(float);
    memcpy(cr->chosen, at, cr->S * AA_ACTIONS * sizeof(double));
    cr->nn.steps = head.steps;
    cr->error_mean = head.error_mean;
    tabulate(cr);
    return AA_OK;
}
