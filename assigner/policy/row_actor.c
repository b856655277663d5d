#include "assigner/policy/row_actor.h"

#include <math.h>

#include "assigner/sections.h"
#include "common/base/elementary.h"
#include "common/base/hash.h"
#include "common/messages/batch.h"

#define SECTION   "bid" /* of checkpoints: the name that it has had since the first */
#define SOFTNESS  4.0   /* d logit / d theta: row_actor_chance has the same 4 */
#define MOST_GAIN 2.0   /* of q: a row that is worth far more than its price teaches no more */
#define MOST      60.0  /* |theta|: exp stays a number */

void
row_actor_init(row_actor *ra, const aa_conf *cfg)
{
    *ra = (row_actor){.rate = cfg->agent.policy_rate, .ratio_clip = cfg->agent.ratio_clip};
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        ra->theta[b] = fmax(aa_log(aa_worth_prior(cfg, b)), -MOST);
    row_actor_refresh(ra);
}

void
row_actor_refresh(row_actor *ra)
{
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        ra->exp_theta[b] = (float)aa_exp(ra->theta[b]);
        ra->worth[b] = fmaxf(ra->exp_theta[b], ROW_ACTOR_LEAST);
    }
}

void
row_actor_learn(row_actor *ra, uint32_t bucket, uint32_t action, row_actor_odds odds, float value)
{
    const bool   up = action == AA_ASCEND;
    const double r = (double)odds.rate;
    const double p = (double)row_actor_chance(odds.rate * ra->exp_theta[bucket]);
    const double ratio = fmin((up ? p : 1.0 - p) / (double)odds.chance, ra->ratio_clip);
    const double q = fmin(r * (double)fmaxf(value, ROW_ACTOR_LEAST) - 1.0, MOST_GAIN);
    const double advantage = up ? (1.0 - p) * q : -p * q;
    const double slope = SOFTNESS * (up ? 1.0 - p : -p);
    const double theta = ra->theta[bucket] + ra->rate * ratio * advantage * slope;
    ra->theta[bucket] = fmin(fmax(theta, -MOST), MOST);
}

uint64_t
row_actor_digest(const row_actor *ra, uint64_t d)
{
    return aa_digest(d, ra->theta, sizeof ra->theta);
}

aa_status
row_actor_save(const row_actor *ra, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    return sections_put(w, prefix, SECTION, ra->theta, sizeof ra->theta, err);
}

aa_status
row_actor_restore(row_actor *ra, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    aa_status st = sections_copy(r, prefix, SECTION, ra->theta, sizeof ra->theta, err);
    if (st != AA_OK) return st;
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        if (!(fabs(ra->theta[b]) <= MOST))
            return aa_fail(err, AA_EPARSE, "%s: worth %u of the actor is out of range", prefix, b);
    row_actor_refresh(ra);
    return AA_OK;
}
