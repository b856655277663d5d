#include "common/base/clock.h"

static int64_t
read_us(clockid_t which)
{
    struct timespec ts = {0};
    clock_gettime(which, &ts); /* cannot fail for the clocks used here */
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
aa_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t
aa_now_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
aa_boot_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t
aa_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

struct timespec
aa_wall_in(int64_t ms)
{
    const int64_t at_us = read_us(CLOCK_REALTIME) + ms * 1000;
    return (struct timespec){.tv_sec = (time_t)(at_us / 1000000),
                             .tv_nsec = (long)(at_us % 1000000 * 1000)};
}
