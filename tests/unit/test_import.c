/* A table from outside: whatever the mode, an imported ID reads what was imported, and the two
 * halves make checkpoints that restore. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assigner/assigner.h"
#include "common/agent/mode.h"
#include "common/model/signal.h"
#include "common/state/checkpoint.h"
#include "learner/learner.h"
#include "tests/check.h"
#include "tests/fakes/ckpt_folder.h"

enum { K = 4, W = K + 1, IDS = 40, SLOTS = 256 };

typedef struct {
    aa_conf       cfg;
    assigner     *as;
    learner      *le;
    size_t        shared;
    aa_assignment a[IDS];
    float         w[IDS][W];
    float         row[SLOTS][W]; /* what scorers get of field 0's rows */
} fixture;

static aa_import_id
id_of(const aa_conf *cfg, size_t i)
{
    const float end = (float)(aa_lean_bins(cfg) - 1); /* the last bin */
    const float place = i % 5 == 0 ? -1.0f : i % 5 == 4 ? end : 0.4f * (float)(i % 5);
    /* a lean within the bins, or none: that of the place */
    const float lean = i % 5 == 0 ? 0.0f : (place - 0.5f * end) / (end + 1.0f);
    return (aa_import_id){.key = 1000 + i,
                          .signal = aa_signal_code(lean, 0.1f * (float)(i % 7), -0.1f * (float)i),
                          .own = i % 2 == 0,
                          .position = (uint32_t)(1 + i % 4),
                          .place = place};
}

static void
set_up(fixture *fx, enum aa_agent_mode mode)
{
    aa_err err = AA_ERR_INIT;
    *fx = (fixture){0};
    aa_conf_defaults(&fx->cfg);
    fx->cfg.agent.mode = mode;
    fx->cfg.model.dim = K;
    ckpt_folder_make(&fx->cfg);
    assert_int_equal(aa_conf_finish(&fx->cfg, &err), AA_OK);
    assert_int_equal(assigner_new(&fx->as, &fx->cfg, &err), AA_OK);
    assert_int_equal(learner_new(&fx->le, &fx->cfg, &err), AA_OK);
    fx->shared = learner_shared_rows(fx->le);
}

static void
tear_down(fixture *fx)
{
    ckpt_folder_remove(&fx->cfg);
    assigner_free(&fx->as);
    learner_free(&fx->le);
}

static void
import_all(fixture *fx)
{
    aa_err            err = AA_ERR_INIT;
    aa_assigned_batch ops = {.hd = {.seq = 1}};
    aa_reward_batch   rewards = {0};
    float            *shared = calloc(fx->shared * W + 1, sizeof *shared);
    assert_non_null(shared);
    for (size_t i = 0; i < fx->shared * W; i++)
        shared[i] = 0.01f * (float)(i * i % 97);
    learner_import_shared(fx->le, 0, shared);
    assert_int_equal(aa_assigned_batch_reserve(&ops, 0, fx->cfg.field_count, &err), AA_OK);
    for (size_t i = 0; i < IDS; i++) {
        const aa_import_id id = id_of(&fx->cfg, i);
        for (size_t k = 0; k < W; k++)
            fx->w[i][k] = 0.1f * (float)(i + 3 * k) - 1.0f;
        assert_int_equal(assigner_import(fx->as, 0, &id, &fx->a[i], &err), AA_OK);
        assert_int_equal(fx->a[i].born > 0, id.own);
        const aa_op op = {.kind = fx->shared ? AA_OP_PROMOTE : AA_OP_INIT,
                          .slot = fx->a[i].slot,
                          .source = fx->shared ? 0 : AA_NO_SLOT};
        if (id.own) assert_int_equal(aa_assigned_batch_op(&ops, op, &err), AA_OK);
    }
    assert_int_equal(learner_step(fx->le, &ops, &rewards, NULL, &err), AA_OK);
    for (size_t i = 0; i < IDS; i++)
        if (fx->a[i].born > 0)
            assert_int_equal(learner_import_row(fx->le, 0, fx->a[i].slot, fx->a[i].alt_slot,
                                                fx->a[i].alt_mix, fx->w[i], &err),
                             AA_OK);
    assigner_import_end(fx->as, 0.3);
    aa_assigned_batch_fini(&ops);
    aa_reward_batch_fini(&rewards);
    free(shared);
}

static void
take_rows(fixture *fx)
{
    learner_change ch[SLOTS];
    size_t         count;
    aa_err         err = AA_ERR_INIT;
    assert_int_equal(learner_changes(fx->le, true, ch, SLOTS, &count, &err), AA_OK);
    assert_true(count < SLOTS);
    for (size_t i = 0; i < count; i++)
        if (ch[i].field == 0) memcpy(fx->row[ch[i].slot], ch[i].w, sizeof fx->row[0]);
}

/* The reading as scorers put it together. */
static void
read_id(const fixture *fx, const aa_assignment *a, float *x)
{
    const bool     own = a->born > 0, residual = aa_residual_rows(&fx->cfg);
    const uint32_t slot = own && residual ? a->alt_slot : a->slot;
    const float    mix = own && !residual ? 0.0f : own ? a->alt_mix : a->mix;
    for (size_t k = 0; k < W; k++) {
        x[k] = slot == AA_NO_SLOT ? 0.0f : fx->row[slot][k];
        if (mix > 0.0f) x[k] = (1.0f - mix) * x[k] + mix * fx->row[slot + 1][k];
        if (own && residual) x[k] += fx->row[a->slot][k];
    }
}

static void
check_readings(const fixture *fx)
{
    const uint32_t p = aa_lean_bins(&fx->cfg);
    const double   rounding = fx->cfg.model.row_format == AA_ROW_BF16 ? 1.0 / 128.0 : 1e-6;
    for (size_t i = 0; i < IDS; i++) {
        const aa_import_id   id = id_of(&fx->cfg, i);
        const aa_assignment *a = &fx->a[i];
        float                x[W];
        read_id(fx, a, x);
        assert_int_equal(a->signal, id.signal);
        for (size_t k = 0; id.own && k < W; k++)
            check_close(x[k], fx->w[i][k], rounding, rounding, i * W + k);
        const uint32_t slot = id.own ? a->alt_slot : a->slot;
        const float    mix = id.own ? a->alt_mix : a->mix;
        if (slot == AA_NO_SLOT || p == 1) continue;
        const float place = id.place < 0.0f ? 0.5f * (float)(p - 1) : id.place;
        if (place >= (float)(p - 1)) assert_true((float)(slot % p) + mix == (float)(p - 1));
        check_close((float)(slot % p) + mix, place, 1.1 * p / 32768.0, 0,
                    i); /* half a unit of lean */
    }
}

static void
save_and_restore(fixture *fx)
{
    aa_ckpt_writer *w = NULL;
    aa_ckpt_reader *r = NULL;
    assigner       *as = NULL;
    learner        *le = NULL;
    aa_err          err = AA_ERR_INIT;
    assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "assigner", 1, &err), AA_OK);
    assert_int_equal(assigner_save(fx->as, w, &err), AA_OK);
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "learner", 1, &err), AA_OK);
    assert_int_equal(learner_save(fx->le, w, &err), AA_OK);
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    assert_int_equal(assigner_new(&as, &fx->cfg, &err), AA_OK);
    assert_int_equal(learner_new(&le, &fx->cfg, &err), AA_OK);
    assert_int_equal(aa_ckpt_open(&r, &fx->cfg, "assigner", 1, &err), AA_OK);
    if (assigner_restore(as, r, &err) != AA_OK) fail_msg("%s", err.text);
    aa_ckpt_close(&r);
    assert_int_equal(aa_ckpt_open(&r, &fx->cfg, "learner", 1, &err), AA_OK);
    if (learner_restore(le, r, &err) != AA_OK) fail_msg("%s", err.text);
    aa_ckpt_close(&r);
    assert_true(assigner_digest(as) == assigner_digest(fx->as));
    assert_true(learner_digest(le) == learner_digest(fx->le));
    assert_int_equal(assigner_next_batch(as), 2);
    assert_int_equal(learner_next_batch(le), 2);
    assigner_free(&as);
    learner_free(&le);
}

static void
imported_ids_read_what_was_imported_in_every_mode(void **state)
{
    (void)state;
    const enum aa_agent_mode mode[] = {AA_MODE_DEFAULT, AA_MODE_RULE, AA_MODE_RANDOM, AA_MODE_PAPER,
                                       AA_MODE_THRESHOLD};
    for (size_t i = 0; i < sizeof mode / sizeof *mode; i++) {
        fixture fx;
        print_message("mode %s\n", aa_agent_mode_text(mode[i]));
        set_up(&fx, mode[i]);
        import_all(&fx);
        take_rows(&fx);
        check_readings(&fx);
        save_and_restore(&fx);
        tear_down(&fx);
    }
}

static void
a_full_table_has_no_shared_reading(void **state)
{
    (void)state;
    fixture fx;
    set_up(&fx, AA_MODE_UNIQUE);
    assert_int_equal(fx.shared, 0);
    aa_err             err = AA_ERR_INIT;
    aa_assignment      a;
    const aa_import_id id = {.key = 7, .own = true, .position = 1, .place = -1.0f};
    assert_int_equal(assigner_import(fx.as, 0, &id, &a, &err), AA_OK);
    assert_int_equal(a.slot, 0);
    assert_true(a.alt_slot == AA_NO_SLOT);
    tear_down(&fx);
}

static void
what_cannot_be_imported_is_refused(void **state)
{
    (void)state;
    fixture       fx;
    aa_err        err = AA_ERR_INIT;
    aa_assignment a;
    set_up(&fx, AA_MODE_DEFAULT);
    const aa_import_id good = {.key = 7, .own = true, .position = 2, .place = 1.0f};
    aa_import_id       bad = good;
    assert_int_equal(assigner_import(fx.as, 0, &good, &a, &err), AA_OK);
    assert_int_equal(assigner_import(fx.as, 0, &good, &a, &err), AA_EPARSE); /* twice */
    assert_int_equal(assigner_import(fx.as, 1, &good, &a, &err), AA_OK);     /* another field */
    bad.key = 8;
    bad.position = 0;
    assert_int_equal(assigner_import(fx.as, 0, &bad, &a, &err), AA_EPARSE);
    bad.position = 200; /* more than there are: the last */
    assert_int_equal(assigner_import(fx.as, 0, &bad, &a, &err), AA_OK);
    assert_int_equal(a.alt_slot / aa_lean_bins(&fx.cfg) + 1, fx.cfg.agent.positions);
    assert_int_equal(learner_import_dense(fx.le, NULL, 3, &err), AA_EPARSE);
    const float x[W] = {0};
    assert_int_equal(learner_import_row(fx.le, 0, 9999, 0, 0.0f, x, &err), AA_EPARSE);
    tear_down(&fx);
}

static void
a_budget_bounds_imported_rows(void **state)
{
    (void)state;
    fixture       fx;
    aa_err        err = AA_ERR_INIT;
    aa_assignment a;
    size_t        own = 0;
    set_up(&fx, AA_MODE_DEFAULT);
    assigner_free(&fx.as);
    fx.cfg.fields[0].budget_rows = 3;
    assert_int_equal(assigner_new(&fx.as, &fx.cfg, &err), AA_OK);
    for (uint64_t i = 1; i <= 10; i++) {
        const aa_import_id id = {.key = i, .own = true, .position = 1, .place = -1.0f};
        assert_int_equal(assigner_import(fx.as, 0, &id, &a, &err), AA_OK);
        own += a.born > 0;
    }
    assert_int_equal(own, 3);
    tear_down(&fx);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(imported_ids_read_what_was_imported_in_every_mode),
        cmocka_unit_test(a_full_table_has_no_shared_reading),
        cmocka_unit_test(what_cannot_be_imported_is_refused),
        cmocka_unit_test(a_budget_bounds_imported_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
