#include "assigner/policy/byte_budget.h"

#include <inttypes.h>

#include "assigner/field/field.h"
#include "assigner/inflight.h"
#include "assigner/policy/price.h"
#include "common/model/model.h"
#include "common/model/row.h"

#define SMALL_PARTS ((uint64_t)1 << 20) /* of each process: actor, critic, quality, lists */
#define WAITING     16384u              /* forgotten IDs to publish, of one field */
#define RESERVED    4u                  /* a quarter */

/* ---- what IDs and rows take at most ---- */

static bool
has_rows(const aa_conf *cfg)
{
    const aa_own_kind own = aa_mode_of(cfg)->own;
    return own != AA_OWN_NEVER && own != AA_OWN_BY_KEY;
}

static uint64_t
bytes_of_ids(const aa_conf *cfg, uint64_t ids)
{
    return idtable_most_bytes(ids, field_extra_bytes(cfg));
}

static uint64_t
bytes_of_rows(const aa_conf *cfg, uint64_t rows)
{
    uint64_t bytes = slots_most_bytes(rows);
    if (aa_mode_of(cfg)->actor == AA_ACTOR_ROW) bytes += price_most_bytes(rows);
    return bytes + aa_rows_chunks_bytes(cfg, aa_shared_rows(cfg) + rows);
}

/* ---- fixed parts ---- */

static uint64_t
learner_bytes(const aa_conf *cfg)
{
    aa_model_shape sh;
    aa_model_shape_of(&sh, cfg);
    const aa_model_kind *kind = aa_model_find(cfg->model.kind);
    const uint64_t       F = cfg->field_count, step = (uint64_t)cfg->model.step;
    const uint64_t       row = aa_row_plain_bytes(aa_row_width(sh.K));
    const uint64_t       dense = 4 * sizeof(float) * kind->weight_count(&sh); /* Adam, gradient */
    const uint64_t       shared = 2 * F * (aa_shared_rows(cfg) + aa_lean_bins(cfg)) * row;
    const uint64_t       scratch = sizeof(float) * kind->scratch_count(&sh, step + 64);
    return dense + shared + scratch + (step + 64) * 10 * F * row;
}

/* Of one process: the ring, batches on their way, and the one that is unpacked. */
static uint64_t
in_flight_bytes(const aa_conf *cfg)
{
    const uint64_t batches = (uint64_t)(cfg->links.in_flight + 2 * cfg->pipeline.depth + 4);
    return batches * (uint64_t)cfg->ingest.batch_events * (32 + 64 * (uint64_t)cfg->field_count);
}

static uint64_t
fixed_bytes(const aa_conf *cfg)
{
    uint64_t bytes = 2 * SMALL_PARTS + learner_bytes(cfg) + 2 * in_flight_bytes(cfg);
    for (size_t f = 0; f < cfg->field_count; f++) {
        bytes += publish_most_bytes(byte_budget_waiting(cfg));
        if (aa_mode_of(cfg)->actor == AA_ACTOR_ROW) bytes += price_most_bytes(0);
        if (aa_mode_of(cfg)->own == AA_OWN_BY_KEY)
            bytes += bytes_of_rows(cfg, (uint64_t)cfg->fields[f].hash_rows);
    }
    return bytes;
}

size_t
byte_budget_waiting(const aa_conf *cfg)
{
    if (cfg->agent.budget_bytes == 0) return 0;
    const size_t batches = 4 * (size_t)cfg->ingest.batch_events;
    return batches > WAITING ? batches : WAITING;
}

/* ---- the budget ---- */

static uint64_t
larger_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What a field counts for with so many, what is reserved included. */
static uint64_t
claim_of(const byte_budget *bb, uint64_t ids, uint64_t rows)
{
    const uint64_t id_bytes = larger_of(bytes_of_ids(bb->cfg, ids), bb->reserved);
    if (!has_rows(bb->cfg)) return id_bytes;
    return id_bytes + larger_of(bytes_of_rows(bb->cfg, rows), bb->reserved);
}

aa_status
byte_budget_init(byte_budget *bb, const aa_conf *cfg, aa_err *err)
{
    *bb = (byte_budget){.cfg = cfg, .bytes = (uint64_t)cfg->agent.budget_bytes};
    if (bb->bytes == 0) return AA_OK;
    AA_REQUIRE(cfg->field_count > 0);
    const uint64_t parts = cfg->field_count * (has_rows(cfg) ? 2 : 1);
    const uint64_t first =
        larger_of(bytes_of_ids(cfg, 1), has_rows(cfg) ? bytes_of_rows(cfg, 1) : 0);
    bb->fixed = fixed_bytes(cfg);
    if (bb->bytes < bb->fixed + RESERVED * parts * first)
        return aa_fail(err, AA_ECONFIG,
                       "agent.budget_bytes: %" PRIu64 " is too little: the parts of a fixed size "
                       "take %" PRIu64 ", the first IDs and rows need %" PRIu64,
                       bb->bytes, bb->fixed, RESERVED * parts * first);
    bb->reserved = (bb->bytes - bb->fixed) / (RESERVED * parts);
    bb->claimed = parts * bb->reserved;
    return AA_OK;
}

bool
byte_budget_admits(const byte_budget *bb, uint32_t f, uint64_t ids, uint64_t rows)
{
    if (bb->bytes == 0) return true;
    const uint64_t others = bb->claimed - claim_of(bb, bb->ids[f], bb->rows[f]);
    return others + claim_of(bb, ids, rows) <= bb->bytes - bb->fixed;
}

void
byte_budget_claim(byte_budget *bb, uint32_t f, uint64_t ids, uint64_t rows)
{
    if (bb->bytes == 0) return;
    bb->claimed -= claim_of(bb, bb->ids[f], bb->rows[f]);
    bb->ids[f] = ids;
    bb->rows[f] = rows;
    bb->claimed += claim_of(bb, ids, rows);
}

uint64_t
byte_budget_used(const byte_budget *bb)
{
    uint64_t bytes = bb->fixed;
    for (uint32_t f = 0; bb->bytes > 0 && f < bb->cfg->field_count; f++) {
        bytes += bytes_of_ids(bb->cfg, bb->ids[f]);
        if (has_rows(bb->cfg)) bytes += bytes_of_rows(bb->cfg, bb->rows[f]);
    }
    return bytes;
}
