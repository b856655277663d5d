/* assigner/policy/policy - what the modes of agent.mode decide: two functions each.
 *
 * A policy looks at one ID at an event, or at a visit of the sweep, and says which position it goes
 * to. Everything else (rows, budget, readings, learning, publishing) lives in assigner/field and
 * goes by the mode's row in common/agent/mode.h, which names the two functions.
 *
 *   policy_default.c   the agent: actor with the rule as its prior
 *   policy_paper.c     the published method
 *   policy_controls.c  what both are compared with
 */
#ifndef AA_ASSIGNER_POLICY_POLICY_H
#define AA_ASSIGNER_POLICY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "assigner/field/idpack.h"
#include "assigner/policy/actor.h"
#include "assigner/policy/byte_budget.h"
#include "assigner/policy/price.h"
#include "assigner/policy/row_actor.h"
#include "common/agent/mode.h"
#include "common/config/conf.h"

/* What a policy may depend on, besides the ID. */
typedef struct {
    const aa_conf   *cfg;
    uint32_t         f;
    uint32_t         k;   /* shared positions; k+1 is an own row */
    uint32_t         top; /* highest shared position that the mode reads, 1..k */
    float            threshold;
    actor           *ac; /* AA_ACTOR_NETWORK */
    const row_actor *ra; /* AA_ACTOR_ROW */
    price           *pr; /* ... and what rows cost; NULL in the others */
    byte_budget     *bb; /* of all fields */
} policy_env;

/* An ID at an event, before it, or at a visit. */
typedef struct {
    const id_entry *e;
    float           frequency; /* decayed to now: events before this one */
    uint64_t        now;       /* number of the event, from 1; at a visit: of the last event */
    uint64_t        draw;      /* counter for random numbers: the event's number, or the visit's */
} policy_view;

typedef struct {
    uint32_t       from, to; /* positions, before and after */
    uint32_t       action;   /* aa_action: what `from -> to` means to actor and critic */
    bool           chosen;   /* the actor drew it, so it learns from it */
    uint32_t       drawn;    /* prices: what it drew, which may not come to pass, */
    row_actor_odds odds;     /* ... and how likely that was */
} policy_move;

/* Where the ID goes at an event; and at its turn in the sweep. */
typedef policy_move policy_fn(const policy_env *env, const policy_view *v);

typedef struct {
    policy_fn *event, *visit;
} policy;

/* The functions that the rows of common/agent/mode.h name. */
#define POLICY_DECLARE(mode, event, visit, ...) policy_fn event, visit;
AA_MODES(POLICY_DECLARE)

policy policy_of(const aa_conf *cfg);

/* ---- what several of them use ---- */

/** Shared position of an ID seen so often, in the modes where no actor moves IDs among them: 1 for
 *  a new ID, then one more per doubling (2: 1, 3: 2..3, 4: 4..7, ...), at most env->top. */
uint32_t policy_ladder(const policy_env *env, uint32_t seen);
/* policy_stay (declared above) leaves the ID where it is: on its own row, or on the step of the
 * ladder of what was seen of it. */
/** The ID gets a row of its own, or gives it back. */
policy_move policy_up(const policy_env *env, const policy_view *v);
policy_move policy_down(const policy_env *env, const policy_view *v);
/** Silent for more than agent.quiet_gaps of its own mean gaps and at least agent.quiet_events? */
bool policy_quiet(const policy_env *env, const policy_view *v);
/** The factor 2^(-silence / half-life). */
float policy_decay(const aa_conf *cfg, uint64_t silence);
/** Frequency of an ID at event `now`, decayed by agent.half_life_events. */
static inline float
policy_frequency(const aa_conf *cfg, const id_entry *e, uint64_t now)
{
    bool decays = cfg->agent.half_life_events > 0.0 && e->seen > 0;
    return decays ? e->frequency * policy_decay(cfg, now - e->last) : e->frequency;
}

static inline bool
policy_holds_row(const id_entry *e)
{
    return e->slot != AA_NO_SLOT;
}

#endif
