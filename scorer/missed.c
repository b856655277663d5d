#include "scorer/missed.h"

enum {
    PARTS = 8, /* of the retention between two questions */
    MOST_MS = 30000,
    AGAIN_MS = 1000 /* after a question without an answer, at the least */
};

static int64_t
usual_ms(const missed *mi)
{
    const int64_t ms = mi->retention_ms / PARTS;
    return ms < MOST_MS ? ms : MOST_MS;
}

void
missed_set_retention(missed *mi, int64_t retention_ms)
{
    mi->retention_ms = retention_ms > MISSED_LEAST_MS ? retention_ms : MISSED_LEAST_MS;
    mi->every_ms = usual_ms(mi);
    if (mi->next_ms > mi->read_ms + mi->every_ms) mi->next_ms = mi->read_ms + mi->every_ms;
}

void
missed_begin(missed *mi, int64_t retention_ms, int64_t now_ms)
{
    *mi = (missed){.read_ms = now_ms, .asked_ms = now_ms, .next_ms = INT64_MAX, .came_ms = -1};
    missed_set_retention(mi, retention_ms);
}

void
missed_came(missed *mi, int64_t now_ms)
{
    const int64_t before_ms = mi->came_ms >= 0 ? mi->came_ms : mi->read_ms;
    mi->halted = mi->halted || (!mi->complete && now_ms - before_ms > mi->retention_ms);
    mi->came_ms = now_ms;
}

bool
missed_asks(const missed *mi, int64_t now_ms)
{
    return mi->complete && now_ms >= mi->next_ms;
}

void
missed_asked(missed *mi, int64_t asked_ms, bool answered, bool there, int64_t position)
{
    if (!answered) {
        mi->next_ms = asked_ms + (mi->every_ms > AGAIN_MS ? mi->every_ms : AGAIN_MS);
        return;
    }
    /* a question moves the ends away from a reader that is behind: ask it ever less often */
    mi->every_ms = there || mi->asked_ms < 0 ? usual_ms(mi) : 2 * mi->every_ms;
    mi->next_ms = asked_ms + mi->every_ms;
    const bool nothing_written = there && position == mi->position;
    mi->some = mi->some || (!nothing_written && asked_ms - mi->read_ms > mi->retention_ms);
    mi->asked_ms = there ? -1 : asked_ms;
    if (!there) return;
    mi->read_ms = asked_ms;
    mi->position = position;
}

void
missed_reached(missed *mi, int64_t now_ms, int64_t position)
{
    if (mi->asked_ms < 0) return;
    const bool late = now_ms - mi->read_ms > mi->retention_ms;
    if (mi->came_ms >= 0) missed_came(mi, now_ms);
    mi->slow = mi->slow || (late && !mi->complete && !mi->halted);
    mi->some = mi->some || (late && (mi->complete || mi->halted));
    mi->complete = true;
    mi->read_ms = mi->asked_ms;
    mi->position = position;
    mi->asked_ms = -1;
}
