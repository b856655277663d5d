/* common/agent/agent_state - the agent's state s = (frequency, position), as actor and critic share it.
 *
 * The frequency is log-bucketed, so states are few: whatever depends on the state only (policy,
 * values) is a table that is recomputed when the network behind it changes, not per event.
 */
#ifndef AA_COMMON_AGENT_AGENT_STATE_H
#define AA_COMMON_AGENT_AGENT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/config/conf.h"

#define AA_FREQ_BUCKETS 32

/** Bucket of a decayed frequency: 0,1,2,3,4 for 0..4, then 4 per doubling, the last one open. */
uint32_t aa_freq_bucket(float frequency);
/** Smallest frequency of a bucket. */
float aa_freq_bucket_floor(uint32_t bucket);

/** State index of (bucket, position 1..k+1) for k shared positions; count = aa_state_count(k). */
static inline uint32_t
aa_state_idx(uint32_t bucket, uint32_t position, uint32_t k)
{
    return bucket * (k + 1) + (position - 1);
}
static inline uint32_t
aa_state_count(uint32_t k)
{
    return AA_FREQ_BUCKETS * (k + 1);
}

/** Shared positions k that a mode reads: threshold has one shared row, the others all of them. */
static inline uint32_t
aa_shared_positions(const aa_conf *cfg)
{
    return strcmp(cfg->agent.mode, "threshold") == 0 ? 1 : (uint32_t)cfg->agent.positions;
}
/** Lean bins p of a position; the paper's policy and threshold have none. */
static inline uint32_t
aa_lean_bins(const aa_conf *cfg)
{
    const char *mode = cfg->agent.mode;
    bool        none = strcmp(mode, "paper") == 0 || strcmp(mode, "threshold") == 0;
    return none ? 1 : (uint32_t)cfg->agent.lean_bins;
}
/** Shared rows k*p of a field, slots 0 .. k*p-1: they exist from the start. The modes in which
 *  every row is made by an op (unique, hash) have none. */
static inline uint32_t
aa_shared_rows(const aa_conf *cfg)
{
    if (strcmp(cfg->agent.mode, "unique") == 0 || strcmp(cfg->agent.mode, "hash") == 0) return 0;
    return aa_shared_positions(cfg) * aa_lean_bins(cfg);
}

/** Do rows of their own add to the shared reading (default, rule, random), or stand instead of it,
 * as the paper has it? A residual row begins at 0 and is read as shared reading + row: the ID keeps
 *  profiting from what the shared rows learn after its promotion. */
static inline bool
aa_residual_rows(const aa_conf *cfg)
{
    const char *mode = cfg->agent.mode;
    return strcmp(mode, "default") == 0 || strcmp(mode, "rule") == 0 || strcmp(mode, "random") == 0;
}

/** How rows of an ID's own are stored (learner/rows/rowform). */
static inline bool
aa_row_bf16(const aa_conf *cfg)
{
    return strcmp(cfg->model.row_format, "bf16") == 0;
}
static inline bool
aa_row_rowwise(const aa_conf *cfg)
{
    return strcmp(cfg->model.row_optimizer, "rowwise") == 0;
}
/** Bytes of such a row, weights and optimizer state. */
static inline size_t
aa_row_bytes(const aa_conf *cfg)
{
    const size_t W = (size_t)cfg->model.dim + 1;
    return W * (aa_row_bf16(cfg) ? 2 : 4) + (aa_row_rowwise(cfg) ? 2 : W) * 4;
}

/** Input of the actor's and the critic's networks: x (AA_STATE_INPUTS), each about -1..1. */
#define AA_STATE_INPUTS 4
void aa_state_input(uint32_t state, uint32_t k, float x[AA_STATE_INPUTS]);

/** Worth of a row of its own, in loss per event of the ID, before anything is learned: where the
 *  critic of the default mode begins, and its actor. */
static inline double
aa_worth_prior(const aa_conf *cfg, uint32_t bucket)
{
    const double n = (double)aa_freq_bucket_floor(bucket);
    return cfg->agent.worth_prior * (n + 0.5) / (n + cfg->agent.worth_prior_half);
}

#endif
