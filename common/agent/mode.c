#include "common/agent/mode.h"

#include <assert.h>

#define ROW_OF(mode, event, visit, ...) [mode] = {__VA_ARGS__},
static const aa_mode rows[] = {AA_MODES(ROW_OF)};

#define PLUS_ONE(mode, event, visit, ...) +1
static_assert(0 AA_MODES(PLUS_ONE) == aa_agent_mode_count, "each mode of settings.h has one row");

const aa_mode *
aa_mode_of(const aa_conf *cfg)
{
    return &rows[cfg->agent.mode];
}

uint32_t
aa_shared_positions(const aa_conf *cfg)
{
    return aa_mode_of(cfg)->shared == AA_SHARED_ONE ? 1 : (uint32_t)cfg->agent.positions;
}

uint32_t
aa_lean_bins(const aa_conf *cfg)
{
    switch (aa_mode_of(cfg)->shared) {
    case AA_SHARED_ONE:
    case AA_SHARED_POSITIONS: return 1;
    case AA_SHARED_NONE:
    case AA_SHARED_BINS: break;
    }
    return (uint32_t)cfg->agent.lean_bins;
}

uint32_t
aa_shared_rows(const aa_conf *cfg)
{
    if (aa_mode_of(cfg)->shared == AA_SHARED_NONE) return 0;
    return aa_shared_positions(cfg) * aa_lean_bins(cfg);
}

bool
aa_residual_rows(const aa_conf *cfg)
{
    return aa_mode_of(cfg)->own == AA_OWN_ADDS;
}
