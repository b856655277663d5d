/* common/base/clock - the only source of time. Steps (`<process>.c`) never read it: main passes
 * times in. */
#ifndef AA_COMMON_BASE_CLOCK_H
#define AA_COMMON_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** Monotonic. */
int64_t aa_now_us(void);
int64_t aa_now_ms(void);
/** Since the machine began: runs on while it sleeps, which the monotonic time does not. */
int64_t aa_boot_ms(void);
/** Since 1970. */
int64_t aa_wall_ms(void);
/** The same in so many ms from now, as pthread_cond_timedwait takes it. */
struct timespec aa_wall_in(int64_t ms);

#endif
