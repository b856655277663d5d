/* assigner/inflight - decisions whose rewards have not come yet: a ring of batches by sequence
 * number, saved with every checkpoint, since a restored run must learn from them too. */
#ifndef AA_ASSIGNER_INFLIGHT_H
#define AA_ASSIGNER_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assigner/policy/row_actor.h"
#include "common/base/status.h"
#include "common/state/checkpoint.h"

/* A decision that teaches nobody; otherwise AA_STATE_WORD. */
#define INFLIGHT_NONE UINT32_MAX

typedef struct {
    uint64_t        seq;
    size_t          n, s;  /* events; decisions of the sweep */
    uint32_t       *word;  /* (n*F + s) */
    uint32_t       *field; /* (s) of the sweep's decisions */
    uint64_t       *key;   /* (n*F) IDs, when losses go back to them (paper) */
    row_actor_odds *odds;  /* (n*F) how likely the choices were (default) */
    size_t          word_cap, field_cap, key_cap, odds_cap;
} inflight_batch;

typedef struct {
    size_t          F, R;
    bool            with_keys, with_odds;
    inflight_batch *batch; /* (R), batch seq at seq % R */
} inflight;

aa_status inflight_init(inflight *fl, size_t F, size_t depth, bool with_keys, bool with_odds,
                        aa_err *err) __attribute__((warn_unused_result));
void      inflight_fini(inflight *fl);

/** Room for batch seq of n events; empties what was there. */
aa_status inflight_begin(inflight *fl, uint64_t seq, size_t n, inflight_batch **out, aa_err *err)
    __attribute__((warn_unused_result));
/** Append a decision of the sweep. @pre all n*F words are (to be) written by index */
aa_status inflight_sweep(inflight *fl, inflight_batch *ib, uint32_t field, uint32_t word,
                         aa_err *err) __attribute__((warn_unused_result));
const inflight_batch *inflight_at(const inflight *fl, uint64_t seq);

size_t    inflight_bytes(const inflight *fl);
uint64_t  inflight_digest(const inflight *fl, uint64_t d, uint64_t first, uint64_t last);
aa_status inflight_save(const inflight *fl, uint64_t first, uint64_t last, aa_ckpt_writer *w,
                        aa_err *err) __attribute__((warn_unused_result));
/** @param states  words must name states below this */
aa_status inflight_restore(inflight *fl, uint64_t first, uint64_t last, uint32_t states,
                           aa_ckpt_reader *r, aa_err *err) __attribute__((warn_unused_result));

#endif
