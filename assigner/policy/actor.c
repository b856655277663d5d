#include "assigner/policy/actor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/sections.h"
#include "common/base/elementary.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

#define A AA_ACTIONS

static size_t
table_count(const actor *ac)
{
    return ac->S * A;
}

/* Elements of each array, in the order of the struct. */
static size_t
float_count(const actor *ac)
{
    return ac->S * (AA_STATE_INPUTS + AA_NN_HIDDEN) + table_count(ac) * (5 + ac->R) + ac->nn.count;
}

static aa_status
allocate_states(actor *ac, aa_err *err)
{
    size_t T = table_count(ac);
    ac->x = calloc(float_count(ac), sizeof *ac->x);
    ac->gain = calloc(T, sizeof *ac->gain);
    if (!ac->x || !ac->gain) return aa_fail(err, AA_ENOMEM, "actor of %zu states", ac->S);
    ac->h = ac->x + ac->S * AA_STATE_INPUTS;
    ac->y = ac->h + ac->S * AA_NN_HIDDEN;
    ac->prior = ac->y + T;
    ac->pi = ac->prior + T;
    ac->dy = ac->pi + T;
    ac->taken = ac->dy + T;
    ac->then = ac->taken + T;
    ac->dw = ac->then + T * ac->R;
    return AA_OK;
}

aa_status
actor_init(actor *ac, uint32_t k, size_t depth, uint64_t seed, uint32_t field, aa_err *err)
{
    *ac = (actor){.k = k, .S = aa_state_count(k), .R = depth + 1, .ratio_clip = 1.0};
    aa_status st = aa_nn_init(&ac->nn, AA_STATE_INPUTS, A, seed, AA_RNG_ACTOR, field, err);
    if (st == AA_OK) st = allocate_states(ac, err);
    if (st != AA_OK) return st;
    for (uint32_t s = 0; s < ac->S; s++) {
        aa_state_input(s, k, ac->x + (size_t)s * AA_STATE_INPUTS);
        uint32_t position = aa_state_position(s, k);
        for (uint32_t a = 0; a < A; a++)
            if (!aa_action_is_legal(a, position, k)) ac->prior[s * A + a] = -INFINITY;
    }
    actor_refresh(ac);
    return AA_OK;
}

void
actor_fini(actor *ac)
{
    aa_nn_fini(&ac->nn);
    free(ac->x);
    free(ac->gain);
    *ac = (actor){0};
}

void
actor_refresh(actor *ac)
{
    aa_nn_forward(&ac->nn, ac->x, ac->S, ac->h, ac->y);
    for (size_t s = 0; s < ac->S; s++) {
        float z[A], top = -INFINITY, sum = 0.0f;
        for (size_t a = 0; a < A; a++) {
            z[a] = ac->prior[s * A + a] + ac->y[s * A + a];
            top = z[a] > top ? z[a] : top;
        }
        for (size_t a = 0; a < A; a++)
            sum += z[a] = aa_expf(z[a] - top);
        for (size_t a = 0; a < A; a++)
            ac->pi[s * A + a] = z[a] / sum;
    }
}

static float *
then_of(const actor *ac, uint64_t seq)
{
    return ac->then + (size_t)(seq % ac->R) * table_count(ac);
}

void
actor_keep(actor *ac, uint64_t seq)
{
    memcpy(then_of(ac, seq), ac->pi, table_count(ac) * sizeof *ac->pi);
}

/* dL/dlogits of one state, not yet divided by N. */
static void
state_gradient(const actor *ac, size_t s, const float *then, double *dz)
{
    const float *pi = ac->pi + s * A, *n = ac->taken + s * A;
    double       sum = 0.0, H = 0.0, visits = 0.0;
    for (size_t a = 0; a < A; a++) {
        dz[a] = 0.0;
        visits += (double)n[a];
        if (pi[a] > 0.0f) H -= (double)pi[a] * aa_log((double)pi[a]);
        if (n[a] == 0.0f) continue;
        double ratio = (double)pi[a] / (double)then[s * A + a];
        double gain = (ratio < ac->ratio_clip ? ratio : ac->ratio_clip) * ac->gain[s * A + a];
        dz[a] -= gain;
        sum += gain;
    }
    for (size_t a = 0; a < A; a++) {
        if (pi[a] == 0.0f) continue;
        double p = (double)pi[a];
        dz[a] += sum * p + ac->entropy * visits * p * (aa_log(p) + H);
    }
}

double
actor_gradient(actor *ac, uint64_t seq, float *dw)
{
    const size_t T = table_count(ac);
    const float *then = then_of(ac, seq);
    double       N = 0.0;
    for (size_t i = 0; i < T; i++)
        N += (double)ac->taken[i];
    memset(dw, 0, ac->nn.count * sizeof *dw);
    if (N == 0.0) return N;
    for (size_t s = 0; s < ac->S; s++) {
        const float *n = ac->taken + s * A;
        double       dz[A] = {0};
        if (n[0] + n[1] + n[2] > 0.0f) state_gradient(ac, s, then, dz);
        for (size_t a = 0; a < A; a++)
            ac->dy[s * A + a] = (float)(dz[a] / N);
    }
    aa_nn_backward(&ac->nn, ac->x, ac->h, ac->dy, ac->S, dw);
    return N;
}

void
actor_learn(actor *ac, uint64_t seq)
{
    if (actor_gradient(ac, seq, ac->dw) > 0.0) {
        aa_nn_adam(&ac->nn, ac->dw, ac->rate);
        actor_refresh(ac);
    }
    memset(ac->gain, 0, table_count(ac) * sizeof *ac->gain);
    memset(ac->taken, 0, table_count(ac) * sizeof *ac->taken);
}

size_t
actor_bytes(const actor *ac)
{
    return float_count(ac) * sizeof *ac->x + table_count(ac) * sizeof *ac->gain +
           aa_nn_bytes(&ac->nn);
}

/* ---- digest and checkpoint: the network and the tables in flight; pi follows from them ---- */

uint64_t
actor_digest(const actor *ac, uint64_t d, uint64_t first, uint64_t last)
{
    d = aa_digest(d, &ac->nn.steps, sizeof ac->nn.steps);
    d = aa_digest(d, ac->nn.w, aa_nn_bytes(&ac->nn));
    for (uint64_t seq = first; seq < last; seq++)
        d = aa_digest(d, then_of(ac, seq), table_count(ac) * sizeof *ac->then);
    return d;
}

aa_status
actor_save(const actor *ac, const char *prefix, uint64_t first, uint64_t last, aa_ckpt_writer *w,
           aa_err *err)
{
    size_t    len = table_count(ac) * sizeof *ac->then;
    aa_status st = sections_put(w, prefix, "actor_steps", &ac->nn.steps, sizeof ac->nn.steps, err);
    if (st == AA_OK) st = sections_put(w, prefix, "actor", ac->nn.w, aa_nn_bytes(&ac->nn), err);
    if (st == AA_OK)
        st = sections_begin(w, prefix, "actor_then", (size_t)(last - first) * len, err);
    for (uint64_t seq = first; st == AA_OK && seq < last; seq++)
        st = aa_ckpt_append(w, then_of(ac, seq), len, err);
    return st;
}

static aa_status
check_finite(const float *a, size_t n, const char *prefix, aa_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(a[i]))
            return aa_fail(err, AA_EPARSE, "%s: value %zu of the actor is not finite", prefix, i);
    return AA_OK;
}

aa_status
actor_restore(actor *ac, const char *prefix, uint64_t first, uint64_t last, aa_ckpt_reader *r,
              aa_err *err)
{
    const void *then;
    size_t      len = table_count(ac) * sizeof *ac->then, got;
    AA_REQUIRE(first <= last && last - first <= ac->R);
    aa_status st = sections_copy(r, prefix, "actor_steps", &ac->nn.steps, sizeof ac->nn.steps, err);
    if (st == AA_OK) st = sections_copy(r, prefix, "actor", ac->nn.w, aa_nn_bytes(&ac->nn), err);
    if (st == AA_OK) st = check_finite(ac->nn.w, 3 * ac->nn.count, prefix, err);
    if (st == AA_OK) st = sections_get(r, prefix, "actor_then", len, &then, &got, err);
    if (st == AA_OK && got != (size_t)(last - first) * len)
        st = aa_fail(err, AA_EPARSE, "%s: %zu bytes of policies in flight", prefix, got);
    for (uint64_t seq = first; st == AA_OK && seq < last; seq++) {
        memcpy(then_of(ac, seq), (const unsigned char *)then + (size_t)(seq - first) * len, len);
        st = check_finite(then_of(ac, seq), table_count(ac), prefix, err);
    }
    if (st == AA_OK) actor_refresh(ac);
    return st;
}
