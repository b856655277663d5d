#include "assigner/field/victims.h"

#include <math.h>

#include "assigner/policy/policy.h"
#include "common/base/elementary.h"

#define ADVANCE 4u

float
victims_worth(const aa_conf *cfg, const id_entry *e, float frequency, uint64_t now)
{
    float gap = e->gap > 1.0f ? e->gap : 1.0f;
    float patience = (float)cfg->agent.quiet_gaps * gap;
    float silence = (float)(now - e->last);
    return patience > 0.0f ? frequency * aa_exp2f(-silence / patience) : frequency;
}

/* Worth of the slot's holder now; below 0: nobody holds it. */
static float
worth_at(const aa_conf *cfg, const idtable *tbl, const slots *sl, uint32_t slot, uint64_t now)
{
    id_entry e;
    if (!slots_held(sl, slot)) return -1.0f;
    idtable_get_holder(tbl, slot, now, &e);
    return victims_worth(cfg, &e, policy_frequency(cfg, &e, now), now);
}

static void
drop_candidate(victims *vi, uint32_t i)
{
    vi->count--;
    vi->slot[i] = vi->slot[vi->count];
    vi->worth[i] = vi->worth[vi->count];
    vi->slot[vi->count] = 0;
    vi->worth[vi->count] = 0.0f;
}

static uint32_t
least(const victims *vi)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < vi->count; i++)
        if (vi->worth[i] < vi->worth[best]) best = i;
    return best;
}

/* Into the pool, in place of the most valuable when it is full. */
static void
offer(victims *vi, uint32_t slot, float worth)
{
    uint32_t at = vi->count, most = 0;
    for (uint32_t i = 0; i < vi->count; i++) {
        if (vi->slot[i] == slot) at = i;
        if (vi->worth[i] > vi->worth[most]) most = i;
    }
    if (at == VICTIMS_POOL) {
        if (vi->worth[most] <= worth) return;
        at = most;
    }
    if (at == vi->count) vi->count++;
    vi->slot[at] = slot;
    vi->worth[at] = worth;
}

void
victims_advance(victims *vi, const aa_conf *cfg, const idtable *tbl, const slots *sl, uint64_t now)
{
    for (uint32_t n = 0; n < ADVANCE && n < sl->end; n++) {
        if (vi->hand >= sl->end) vi->hand = 0;
        uint32_t slot = sl->base + vi->hand++;
        float    worth = worth_at(cfg, tbl, sl, slot, now);
        if (worth >= 0.0f) offer(vi, slot, worth);
    }
}

uint32_t
victims_find(victims *vi, const aa_conf *cfg, const idtable *tbl, const slots *sl, float candidate,
             uint64_t now)
{
    victims_advance(vi, cfg, tbl, sl, now);
    float enough = candidate / (float)cfg->agent.swap_margin;
    while (vi->count > 0) {
        uint32_t i = least(vi);
        if (vi->worth[i] >= enough) /* worth as remembered may be high, never trusted when low */
            return AA_NO_SLOT;
        uint32_t slot = vi->slot[i];
        float    worth = worth_at(cfg, tbl, sl, slot, now);
        if (worth < 0.0f || worth >= enough) { /* gone, or came back to life */
            drop_candidate(vi, i);
            continue;
        }
        drop_candidate(vi, i);
        return slot;
    }
    return AA_NO_SLOT;
}
