#include "common/service/rate.h"

/* A rate below one per second still lets one pass now and then. */
static double
most(const aa_rate *ra)
{
    return ra->per_s > 1 ? ra->per_s : 1;
}

void
aa_rate_init(aa_rate *ra, double per_s, int64_t now_us)
{
    *ra = (aa_rate){.per_s = per_s, .us = now_us};
    ra->left = most(ra);
}

bool
aa_rate_take(aa_rate *ra, int64_t now_us)
{
    if (ra->per_s <= 0) return true;
    if (now_us > ra->us) {
        ra->left += (double)(now_us - ra->us) / 1e6 * ra->per_s;
        ra->us = now_us;
    }
    if (ra->left > most(ra)) ra->left = most(ra);
    if (ra->left < 1) return false;
    ra->left -= 1;
    return true;
}
