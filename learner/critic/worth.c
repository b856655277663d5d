#include "learner/critic/worth.h"

#include <math.h>
#include <string.h>

#include "common/base/hash.h"

#define ERROR_RATE 1e-4

void
worth_init(worth *wo, const aa_conf *cfg)
{
    *wo = (worth){.gamma = cfg->agent.gamma,
                  .weight = cfg->agent.worth_weight,
                  .least_rate = cfg->agent.worth_rate};
    for (size_t f = 0; f < AA_MAX_FIELDS; f++)
        for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
            wo->t.v[f][b] = aa_worth_prior(cfg, b);
}

void
worth_event(worth *wo, size_t f, uint32_t bucket, uint32_t next_bucket, float gain)
{
    double      *v = wo->t.v[f], *count = &wo->t.count[f][bucket];
    const double known = *count + wo->weight;
    double       rate = known > 1.0 ? 1.0 / known : 1.0;
    const double error = (1.0 - wo->gamma) * (double)gain + wo->gamma * v[next_bucket] - v[bucket];
    if (rate < wo->least_rate) rate = wo->least_rate;
    v[bucket] += rate * error;
    *count += 1.0;
    wo->t.error_mean += ERROR_RATE * (fabs(error) - wo->t.error_mean);
}

uint64_t
worth_digest(const worth *wo, uint64_t d)
{
    return aa_digest(d, &wo->t, sizeof wo->t);
}

aa_status
worth_save(const worth *wo, aa_ckpt_writer *w, aa_err *err)
{
    return aa_ckpt_section(w, "worth", &wo->t, sizeof wo->t, err);
}

/* What the formula can have made: finite, counts from 0. */
static bool
is_sound(const worth_table *t)
{
    bool sound = isfinite(t->error_mean);
    for (size_t f = 0; f < AA_MAX_FIELDS; f++)
        for (size_t b = 0; b < AA_FREQ_BUCKETS; b++)
            sound = sound && fabs(t->v[f][b]) <= 1e30 && t->count[f][b] >= 0.0;
    return sound;
}

aa_status
worth_restore(worth *wo, aa_ckpt_reader *r, aa_err *err)
{
    const void *data;
    size_t      len;
    worth_table t;
    aa_status   st = aa_ckpt_get(r, "worth", &data, &len, err);
    if (st != AA_OK) return st;
    if (len != sizeof t) return aa_fail(err, AA_EPARSE, "worth: %zu bytes of another shape", len);
    memcpy(&t, data, len);
    if (!is_sound(&t)) return aa_fail(err, AA_EPARSE, "worth: numbers that no table has");
    wo->t = t;
    return AA_OK;
}
