#include "assigner/policy/bid.h"

#include <math.h>

#include "assigner/sections.h"
#include "common/base/hash.h"
#include "common/messages/batch.h"

#define SOFTNESS  4.0  /* d logit / d theta: bid_chance has the same 4 */
#define MOST_GAIN 2.0  /* of q: a row that is worth far more than its price teaches no more */
#define MOST      60.0 /* |theta|: exp stays a number */

void
bid_init(bid_table *bt, const aa_conf *cfg)
{
    *bt = (bid_table){.rate = cfg->agent.policy_rate, .ratio_clip = cfg->agent.ratio_clip};
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        bt->theta[b] = fmax(log(aa_worth_prior(cfg, b)), -MOST);
    bid_refresh(bt);
}

void
bid_refresh(bid_table *bt)
{
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++) {
        bt->exp_theta[b] = (float)exp(bt->theta[b]);
        bt->worth[b] = fmaxf(bt->exp_theta[b], BID_LEAST);
    }
}

void
bid_learn(bid_table *bt, uint32_t bucket, uint32_t action, bid_odds odds, float value)
{
    const bool   up = action == AA_ASCEND;
    const double r = (double)odds.rate;
    const double p = (double)bid_chance(odds.rate * bt->exp_theta[bucket]);
    const double ratio = fmin((up ? p : 1.0 - p) / (double)odds.chance, bt->ratio_clip);
    const double q = fmin(r * (double)fmaxf(value, BID_LEAST) - 1.0, MOST_GAIN);
    const double advantage = up ? (1.0 - p) * q : -p * q;
    const double slope = SOFTNESS * (up ? 1.0 - p : -p);
    const double theta = bt->theta[bucket] + bt->rate * ratio * advantage * slope;
    bt->theta[bucket] = fmin(fmax(theta, -MOST), MOST);
}

uint64_t
bid_digest(const bid_table *bt, uint64_t d)
{
    return aa_digest(d, bt->theta, sizeof bt->theta);
}

aa_status
bid_save(const bid_table *bt, const char *prefix, aa_ckpt_writer *w, aa_err *err)
{
    return sections_put(w, prefix, "bid", bt->theta, sizeof bt->theta, err);
}

aa_status
bid_restore(bid_table *bt, const char *prefix, aa_ckpt_reader *r, aa_err *err)
{
    aa_status st = sections_copy(r, prefix, "bid", bt->theta, sizeof bt->theta, err);
    if (st != AA_OK) return st;
    for (uint32_t b = 0; b < AA_FREQ_BUCKETS; b++)
        if (!(fabs(bt->theta[b]) <= MOST))
            return aa_fail(err, AA_EPARSE, "%s: worth %u of the actor is out of range", prefix, b);
    bid_refresh(bt);
    return AA_OK;
}
