#include "learner/critic/worth.h"

#include <math.h>
#include <string.h>

#include "common/base/hash.h"

#define ERROR_RATE 1e-4

void
worth_init(worth *wo, const aa_conf *cfg)
{
    *wo = (worth){.F = cfg->field_count,
                  .gamma = cfg->agent.gamma,
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

/* The table in plain bytes: v, count, error_mean. It has room for 8 fields, as when that was the
 * most there could be, or for AA_MAX_FIELDS: checkpoints and digests of few fields stay as they
 * were. */
typedef struct {
    double x[2 * AA_MAX_FIELDS * AA_FREQ_BUCKETS + 1];
    size_t half, bytes;
} flat_table;

static flat_table
flatten_table(const worth *wo)
{
    flat_table ft;
    ft.half = (wo->F <= 8 ? 8 : AA_MAX_FIELDS) * (size_t)AA_FREQ_BUCKETS;
    ft.bytes = (2 * ft.half + 1) * sizeof *ft.x;
    memcpy(ft.x, wo->t.v, ft.half * sizeof *ft.x);
    memcpy(ft.x + ft.half, wo->t.count, ft.half * sizeof *ft.x);
    ft.x[2 * ft.half] = wo->t.error_mean;
    return ft;
}

uint64_t
worth_digest(const worth *wo, uint64_t d)
{
    const flat_table ft = flatten_table(wo);
    return aa_digest(d, ft.x, ft.bytes);
}

aa_status
worth_save(const worth *wo, aa_ckpt_writer *w, aa_err *err)
{
    const flat_table ft = flatten_table(wo);
    return aa_ckpt_section(w, "worth", ft.x, ft.bytes, err);
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
    flat_table  ft = flatten_table(wo);
    worth_table t = wo->t;
    const void *data;
    size_t      len;
    aa_status   st = aa_ckpt_get(r, "worth", &data, &len, err);
    if (st != AA_OK) return st;
    if (len != ft.bytes) return aa_fail(err, AA_EPARSE, "worth: %zu bytes of another shape", len);
    memcpy(ft.x, data, len);
    memcpy(t.v, ft.x, ft.half * sizeof *ft.x);
    memcpy(t.count, ft.x + ft.half, ft.half * sizeof *ft.x);
    t.error_mean = ft.x[2 * ft.half];
    if (!is_sound(&t)) return aa_fail(err, AA_EPARSE, "worth: numbers that no table has");
    wo->t = t;
    return AA_OK;
}
