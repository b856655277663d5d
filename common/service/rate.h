/* common/service/rate - at most so many per second.
 *
 * A bucket of one second's worth: who was quiet may send that much at once, and then goes on at the
 * rate. No clock of its own; belongs to one thread, or to the holder of a lock.
 */
#ifndef AA_COMMON_SERVICE_RATE_H
#define AA_COMMON_SERVICE_RATE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double  per_s; /* 0: no limit */
    double  left;
    int64_t us; /* when left was right */
} aa_rate;

void aa_rate_init(aa_rate *ra, double per_s, int64_t now_us);
/** One more: true if it may pass. */
bool aa_rate_take(aa_rate *ra, int64_t now_us);

#endif
