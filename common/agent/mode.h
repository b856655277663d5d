/* common/agent/mode - the modes of agent.mode: what differs between them, one row each.
 *
 * Nothing else in the tree compares a mode with another. Assigner, learner and tools ask its row
 * (aa_mode_of) or the numbers that follow from it. To add a mode: its name in settings.h, its row
 * here, and its functions in assigner/policy/policy_<name>.c.
 */
#ifndef AA_COMMON_AGENT_MODE_H
#define AA_COMMON_AGENT_MODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/conf.h"

/* ---- the columns ---- */

/* The shared rows of a field, which exist from the start. */
typedef enum {
    AA_SHARED_NONE,      /* none: every row is made by an op, and nobody keeps a budget */
    AA_SHARED_ONE,       /* one row */
    AA_SHARED_POSITIONS, /* k positions of one row each */
    AA_SHARED_BINS,      /* k positions of p lean bins each */
} aa_shared_kind;

/* The row of its own that an ID gets. */
typedef enum {
    AA_OWN_NEVER,  /* it gets none */
    AA_OWN_ADDS,   /* adds to the shared reading, begins at 0 (residual): the ID goes on profiting
                      from what the shared rows learn */
    AA_OWN_COPIES, /* stands instead of the shared reading, begins as a copy of it */
    AA_OWN_RANDOM, /* begins at random */
    AA_OWN_BY_KEY, /* begins at random, before the first event; chosen by the ID's key (hash) */
} aa_own_kind;

/* Who decides, and learns from rewards to decide. */
typedef enum {
    AA_ACTOR_NONE,
    AA_ACTOR_ROW,     /* assigner/policy/row_actor: takes a row or not; rows have a price */
    AA_ACTOR_NETWORK, /* assigner/policy/actor: ascend, unchanged or descend; a network per field */
} aa_actor_kind;

typedef enum {
    AA_CRITIC_WORTH, /* learner/critic/worth: what a row is worth, by frequency */
    AA_CRITIC_Q,     /* learner/critic/critic: Q(s,a); idle where there is no actor */
} aa_critic_kind;

/* What a decision was worth (learner/critic/reward). */
typedef enum {
    AA_REWARD_COMPARED,  /* loss with the shared reading alone - loss */
    AA_REWARD_LOSS_DROP, /* mean of the ID's last losses, which the assigner keeps - loss */
} aa_reward_kind;

/* Whom the sweep looks at (assigner/field/field_sweep.c), and asks the mode's `visit` about. */
typedef enum { AA_VISIT_NOBODY, AA_VISIT_HOLDERS, AA_VISIT_ALL } aa_visit_kind;

typedef struct {
    aa_shared_kind shared;
    aa_own_kind    own;
    aa_actor_kind  actor;
    aa_critic_kind critic;
    aa_reward_kind reward;
    aa_visit_kind  visits;
    bool           ladder; /* how often an ID was seen says at which shared position it stands */
} aa_mode;

/* ---- the rows ---- */

/* M(mode, event, visit, columns): the functions are assigner/policy's, and only it uses them. They
 * say where an ID goes at an event, and at a visit of the sweep. */
/* clang-format off */
#define AA_MODES(M)                                                                                \
    /* the agent: tables and a price of rows */                                                    \
    M(AA_MODE_DEFAULT, policy_default_event, policy_stay,                                          \
      .shared = AA_SHARED_BINS, .own = AA_OWN_ADDS, .actor = AA_ACTOR_ROW,                         \
      .critic = AA_CRITIC_WORTH, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_NOBODY,          \
      .ladder = true)                                                                              \
    /* AutoAssign+ as we read it */                                                                \
    M(AA_MODE_PAPER, policy_paper_event, policy_paper_visit,                                       \
      .shared = AA_SHARED_POSITIONS, .own = AA_OWN_COPIES, .actor = AA_ACTOR_NETWORK,              \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_LOSS_DROP, .visits = AA_VISIT_ALL)                \
    /* the full table */                                                                           \
    M(AA_MODE_UNIQUE, policy_unique_event, policy_stay,                                            \
      .shared = AA_SHARED_NONE, .own = AA_OWN_RANDOM, .actor = AA_ACTOR_NONE,                      \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_NOBODY)              \
    M(AA_MODE_HASH, policy_hash_event, policy_stay,                                                \
      .shared = AA_SHARED_NONE, .own = AA_OWN_BY_KEY, .actor = AA_ACTOR_NONE,                      \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_NOBODY)              \
    M(AA_MODE_THRESHOLD, policy_rule_event, policy_rule_visit,                                     \
      .shared = AA_SHARED_ONE, .own = AA_OWN_COPIES, .actor = AA_ACTOR_NONE,                       \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_HOLDERS,             \
      .ladder = true)                                                                              \
    /* threshold with the default's rows */                                                        \
    M(AA_MODE_RULE, policy_rule_event, policy_rule_visit,                                          \
      .shared = AA_SHARED_BINS, .own = AA_OWN_ADDS, .actor = AA_ACTOR_NONE,                        \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_HOLDERS,             \
      .ladder = true)                                                                              \
    M(AA_MODE_RANDOM, policy_random_event, policy_random_visit,                                    \
      .shared = AA_SHARED_BINS, .own = AA_OWN_ADDS, .actor = AA_ACTOR_NONE,                        \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_HOLDERS,             \
      .ladder = true)                                                                              \
    M(AA_MODE_SHARED_ONLY, policy_stay, policy_stay,                                               \
      .shared = AA_SHARED_BINS, .own = AA_OWN_NEVER, .actor = AA_ACTOR_NONE,                       \
      .critic = AA_CRITIC_Q, .reward = AA_REWARD_COMPARED, .visits = AA_VISIT_NOBODY,              \
      .ladder = true)
/* clang-format on */

const aa_mode *aa_mode_of(const aa_conf *cfg);

/* ---- what follows from a row ---- */

/** Shared positions k that the mode reads: 1 where there is one shared row. */
uint32_t aa_shared_positions(const aa_conf *cfg);
/** Lean bins p of a position, 1: none. */
uint32_t aa_lean_bins(const aa_conf *cfg);
/** Shared rows of a field, slots 0 .. k*p-1. */
uint32_t aa_shared_rows(const aa_conf *cfg);
/** Is what an ID with a row of its own reads shared reading + row? Else the row alone. */
bool aa_residual_rows(const aa_conf *cfg);

#endif
