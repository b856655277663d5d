/* IDs to assignments in a few bytes each: nothing is rounded, nothing is confused. */
#include "scorer/replica/idmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assigner/field/lean.h"
#include "common/agent/mode.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/messages/batch.h"
#include "scorer/replica/idcode.h"

enum { MANY = 300000 };

typedef struct {
    aa_conf  cfg;
    reclaim *rl;
    runtags  rt;
    idmap   *im;
    aa_err   err;
} fixture;

static int
set_up(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    aa_conf_defaults(&fx->cfg);
    fx->rl = reclaim_new();
    fx->rt.run[1] = 1;
    fx->im = idmap_new(&fx->cfg, fx->rl, &fx->rt);
    assert_non_null(fx->im);
    *state = fx;
    return 0;
}

static int
tear_down(void **state)
{
    fixture *fx = *state;
    idmap_free(&fx->im);
    reclaim_free(&fx->rl);
    free(fx);
    return 0;
}

static void
put(fixture *fx, uint64_t key, const aa_assignment *a)
{
    bool applied;
    assert_int_equal(idmap_put(fx->im, key, a, &applied, &fx->err), AA_OK);
    assert_true(applied);
}

/* Of every form: shared, own row beside a shared reading, own row instead of it, and what has a
 * mix or a position of another origin. */
static aa_assignment
assignment_of(const fixture *fx, uint64_t n)
{
    const uint64_t bits = aa_rng_bits(5, AA_RNG_TEST, n, 0);
    aa_assignment  a = {.run_id = 1, .alt_slot = AA_NO_SLOT}, reading = {0};
    lean_reading(1 + (uint32_t)(bits % 8), (float)(bits >> 40) / (float)(1 << 24) - 0.5f,
                 aa_lean_bins(&fx->cfg), &reading.slot, &reading.mix);
    switch (bits >> 8 & 7) {
    case 0:
    case 1:
        a.slot = (uint32_t)n;
        a.born = 1 + n;
        a.position = (uint32_t)fx->cfg.agent.positions + 1;
        if (bits >> 8 & 7) return a;
        a.alt_slot = reading.slot;
        a.alt_mix = reading.mix;
        return a;
    case 2:
        a.slot = reading.slot;
        a.mix = 0.1f;
        a.position = 14;
        return a;
    default:
        a.slot = reading.slot;
        a.mix = reading.mix;
        a.position = 1 + (uint32_t)(bits % 8);
        return a;
    }
}

static void
check_same(const aa_assignment *got, const aa_assignment *want)
{
    assert_int_equal(got->slot, want->slot);
    assert_memory_equal(&got->mix, &want->mix, sizeof got->mix);
    assert_int_equal(got->position, want->position);
    assert_int_equal(got->born, want->born);
    assert_int_equal(got->alt_slot, want->alt_slot);
    assert_memory_equal(&got->alt_mix, &want->alt_mix, sizeof got->alt_mix);
}

static void
what_is_put_is_read_to_the_last_bit(void **state)
{
    fixture      *fx = *state;
    aa_assignment got;
    for (uint64_t n = 0; n < MANY; n++) {
        const aa_assignment a = assignment_of(fx, n);
        put(fx, aa_id_key_number((int64_t)n), &a);
    }
    assert_int_equal(idmap_count(fx->im), MANY);
    for (uint64_t n = 0; n < MANY; n++) {
        const aa_assignment want = assignment_of(fx, n);
        assert_true(idmap_get(fx->im, aa_id_key_number((int64_t)n), &got));
        check_same(&got, &want);
        assert_false(idmap_get(fx->im, aa_id_key_number((int64_t)n + MANY), &got));
    }
}

/* The readings of every number of bins and positions fit into a word. */
static void
readings_of_the_assigner_take_one_word(void **state)
{
    fixture *fx = *state;
    fx->cfg.agent.positions = 15;
    for (uint32_t p = 1; p <= 15; p++) {
        fx->cfg.agent.lean_bins = p;
        const idcode ic = idcode_of(&fx->cfg);
        for (uint64_t n = 0; n < 20000; n++) {
            const uint64_t bits = aa_rng_bits(6, AA_RNG_TEST, p, n);
            /* a few events: any lean; many: tiny ones too */
            const float sum =
                ((float)(bits >> 40) / (float)(1 << 24) - 0.5f) * (bits & 16 ? 1e-6f : 9);
            const float   lean = sum / (float)(5 + (bits & 15));
            aa_assignment a = {.alt_slot = AA_NO_SLOT, .position = 1 + (uint32_t)(bits >> 5) % 15},
                          got;
            uint32_t word;
            lean_reading(a.position, lean, p, &a.slot, &a.mix);
            if (!idcode_pack_shared(&ic, &a, 3, &word))
                fail_msg("%u bins, slot %u, mix %.9g", p, a.slot, (double)a.mix);
            idcode_unpack_shared(&ic, &word, &got);
            check_same(&got, &a);
            assert_int_equal(got.run_id, 3);
        }
    }
}

static void
an_id_costs_few_bytes_and_what_is_forgotten_none(void **state)
{
    fixture *fx = *state;
    for (uint64_t n = 0; n < MANY; n++) {
        aa_assignment a = {
            .run_id = 1, .slot = 3, .mix = 0.25f, .position = 2, .alt_slot = AA_NO_SLOT};
        put(fx, aa_id_key_number((int64_t)n), &a);
    }
    const double each = (double)idmap_bytes(fx->im) / MANY;
    printf("%.2f bytes per ID\n", each);
    assert_true(each < 13.5); /* 12 in a map of this size, 10 in a larger one; and 4 % of room */
    for (uint64_t n = 0; n < MANY; n++)
        if (n % 50) assert_true(idmap_delete(fx->im, aa_id_key_number((int64_t)n)));
    assert_int_equal(idmap_count(fx->im), MANY / 50);
    assert_true((double)idmap_bytes(fx->im) < each * MANY / 5);
}

/* Keys are hashes; others must not make a map grow without end. */
static void
keys_that_are_no_hashes_are_kept_as_well(void **state)
{
    fixture      *fx = *state;
    aa_assignment a = {.run_id = 1, .slot = 3, .position = 2, .alt_slot = AA_NO_SLOT}, got;
    for (unsigned shift = 0; shift < 50; shift += 7)
        for (uint64_t n = 1; n <= 5000; n++)
            put(fx, n << shift, &a);
    for (unsigned shift = 0; shift < 50; shift += 7)
        for (uint64_t n = 1; n <= 5000; n++)
            assert_true(idmap_get(fx->im, n << shift, &got));
    assert_true(idmap_bytes(fx->im) < idmap_count(fx->im) * 20);
}

static void
an_older_run_changes_nothing(void **state)
{
    fixture      *fx = *state;
    bool          applied;
    aa_assignment a = {.run_id = 7, .slot = 3, .position = 2, .alt_slot = AA_NO_SLOT}, got;
    fx->rt.run[2] = 7;
    put(fx, 1, &a);
    a.run_id = 1;
    a.slot = 4;
    assert_int_equal(idmap_put(fx->im, 1, &a, &applied, &fx->err), AA_OK);
    assert_false(applied);
    assert_true(idmap_get(fx->im, 1, &got));
    assert_int_equal(got.slot, 3);
    assert_int_equal(got.run_id, 2);
    idmap_retag(fx->im, 2); /* many runs later */
    assert_true(idmap_get(fx->im, 1, &got));
    assert_int_equal(got.run_id, RUNTAGS_OLDER);
    put(fx, 1, &a);
    assert_true(idmap_get(fx->im, 1, &got));
    assert_int_equal(got.slot, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_put_is_read_to_the_last_bit),
        TEST(readings_of_the_assigner_take_one_word),
        TEST(an_id_costs_few_bytes_and_what_is_forgotten_none),
        TEST(keys_that_are_no_hashes_are_kept_as_well),
        TEST(an_older_run_changes_nothing),
    };
    return cmocka_run_group_tests_name("scorer/replica/idmap", tests, NULL, NULL);
}
