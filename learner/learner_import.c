/* A table that comes from outside, into a new learner (the tool `import`). */
#include <stdlib.h>
#include <string.h>

#include "learner/learner_internal.h"

size_t
learner_shared_rows(const learner *le)
{
    return le->shared;
}

void
learner_import_shared(learner *le, uint32_t f, const float *w)
{
    AA_REQUIRE(f < le->F && le->events == 0);
    rows_import_shared(le->tables[f], w);
}

aa_status
learner_import_row(learner *le, uint32_t f, uint32_t slot, uint32_t alt_slot, float alt_mix,
                   const float *x, aa_err *err)
{
    AA_REQUIRE(f < le->F && le->events == 0);
    if (slot < le->shared || slot == AA_NO_SLOT || !rows_planned(le->tables[f], slot, 0.0f) ||
        !rows_planned(le->tables[f], alt_slot, alt_mix))
        return aa_fail(err, AA_EPARSE, "field %u: slot %u beside %u + %g", f, slot, alt_slot,
                       (double)alt_mix);
    float *beside = malloc(le->W * sizeof *beside);
    if (!beside) return aa_fail(err, AA_ENOMEM, "a row");
    rows_read(le->tables[f], alt_slot, alt_mix, beside);
    rows_import_own(le->tables[f], slot, x, beside);
    free(beside);
    return AA_OK;
}

aa_status
learner_import_dense(learner *le, const float *w, size_t count, aa_err *err)
{
    if (count != le->dense.count)
        return aa_fail(err, AA_EPARSE, "%zu dense weights, the configured model has %zu", count,
                       le->dense.count);
    memcpy(le->dense.w, w, count * sizeof *w);
    return AA_OK;
}
