#include "assigner/worth.h"

#include <math.h>

#include "assigner/sections.h"
#include "common/batch.h"
#include "common/hash.h"

#define SOFTNESS  4.0  /* d logit / d theta: worth_chance has the same 4 */
#define MOST_GAIN 2.0  /* of q: a row that is worth far more than its price teaches no more */
#define MOST      60.0 /* |theta|: exp stays a number */

void
worth_init(worth_table *wt, const aa_conf *cfg)
{
    *wt = (worth_table){.rate = cfg->agent.policy_rate, .ratio_clip = cfg->agent.ratio_clip};
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        wt->theta[b] = fmax(log(aa_worth_prior(cfg, b)), -MOST);
    worth_refresh(wt);
}

void
worth_refresh(worth_table *wt)
{
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        wt->exp_theta[b] = (float)exp(wt->theta[b]);
        wt->worth[b] = fmaxf(wt->exp_theta[b], WORTH_LEAST);
    }
}

void
worth_learn(worth_table *wt, uint32_t bucket, uint32_t action, worth_odds odds, float value)
{
    const bool   up = action == AA_ASCEND;
    const double r = (double)odds.rate;
    const double p = (double)worth_chance(odds.rate * wt->exp_theta[bucket]);
    const double ratio = fmin((up ? p : 1.0 - p) / (double)odds.chance, wt->ratio_clip);
    const double q = fmin(r * (double)fmaxf(value, WORTH_LEAST) - 1.0, MOST_GAIN);
    const double advantage = up ? (1.0 - p) * q : -p * q;
    const double slope = SOFTNESS * (up ? 1.0 - p : -p);
    const double theta = wt->theta[bucket] + wt->rate * ratio * advantage * slope;
    wt->theta[bucket] = fmin(fmax(theta, -MOST), MOST);
}

uint64_t
worth_digest(const worth_table *wt, uint64_t d)
{
    return aa_digest(d, wt->theta, sizeof wt->theta);
}

aa_status
worth_save(const worth_table *wt, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    return sections_put(w, prefix, "worth", wt->theta, sizeof wt->theta, err);
}

aa_status
worth_restore(worth_table *wt, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    aa_status st = sections_copy(r, prefix, "worth", wt->theta, sizeof wt->theta, err);
    if (st != AA_OK) return st;
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        if (!(fabs(wt->theta[b]) <= MOST))
            return aa_fail(err, AA_EPARSE, "%s: worth %u of the actor is out of range", prefix, b);
    worth_refresh(wt);
    return AA_OK;
}
