#include "ingest/decode/rfc3339.h"

typedef struct {
    const char *at, *end;
} text_cursor;

/* So many digits, no more and no fewer, of a value from low to high. */
static bool
take_number_of(text_cursor *tc, int digits, int low, int high, int *out)
{
    *out = 0;
    if (tc->end - tc->at < digits) return false;
    for (int i = 0; i < digits; i++) {
        const char c = *tc->at++;
        if (c < '0' || c > '9') return false;
        *out = *out * 10 + (c - '0');
    }
    return *out >= low && *out <= high;
}

static bool
take_one_of(text_cursor *tc, const char *set)
{
    if (tc->at == tc->end) return false;
    for (; *set; set++) {
        if (*tc->at != *set) continue;
        tc->at++;
        return true;
    }
    return false;
}

/* Days from 1970-01-01; the year counted from March, so that the leap day is its last. */
static int64_t
days_of(int year, int month, int day)
{
    const int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    const int64_t era = (y >= 0 ? y : y - 399) / 400, in_era = y - era * 400;
    const int64_t in_year = (153 * m + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static bool
is_day(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool       leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap);
}

/* .25 is 250 ms; nothing is 0 */
static bool
take_fraction(text_cursor *tc, int *ms)
{
    int scale = 100;
    *ms = 0;
    if (!take_one_of(tc, ".")) return true;
    const char *from = tc->at;
    for (; tc->at < tc->end && *tc->at >= '0' && *tc->at <= '9'; scale /= 10)
        *ms += scale * (*tc->at++ - '0');
    return tc->at > from;
}

/* Z, or +01:00; *minutes east of it */
static bool
take_zone(text_cursor *tc, int *minutes)
{
    int hour, minute;
    *minutes = 0;
    if (take_one_of(tc, "Zz")) return true;
    const bool west = tc->at < tc->end && *tc->at == '-';
    if (!take_one_of(tc, "+-") || !take_number_of(tc, 2, 0, 23, &hour)) return false;
    if (!take_one_of(tc, ":") || !take_number_of(tc, 2, 0, 59, &minute)) return false;
    *minutes = west ? -(hour * 60 + minute) : hour * 60 + minute;
    return true;
}

bool
rfc3339_ms(const char *text, size_t len, int64_t *ms)
{
    text_cursor tc = {text, text + len};
    int         year, month, day, hour, minute, second, fraction_ms, east;
    const bool  date = take_number_of(&tc, 4, 0, 9999, &year) && take_one_of(&tc, "-") &&
                      take_number_of(&tc, 2, 1, 12, &month) && take_one_of(&tc, "-") &&
                      take_number_of(&tc, 2, 1, 31, &day) && is_day(year, month, day);
    if (!date || !take_one_of(&tc, "Tt ")) return false;
    const bool time = take_number_of(&tc, 2, 0, 23, &hour) && take_one_of(&tc, ":") &&
                      take_number_of(&tc, 2, 0, 59, &minute) && take_one_of(&tc, ":") &&
                      take_number_of(&tc, 2, 0, 60, &second);
    if (!time || !take_fraction(&tc, &fraction_ms) || !take_zone(&tc, &east)) return false;
    if (tc.at < tc.end) return false;
    const int64_t minutes = days_of(year, month, day) * 1440 + (int64_t)hour * 60 + minute - east;
    *ms = (minutes * 60 + second) * 1000 + fraction_ms;
    return true;
}
