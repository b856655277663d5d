#include "assigner/assigner.h"
#include "assigner/field/idpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "assigner/field/lean.h"
#include "tests/check.h"
#include "tests/world.h"

/* A configuration in which everything happens: budget, decay, forgetting, sweeps, exploration. */
static void
busy_conf(world *wo, enum aa_agent_mode mode)
{
    world_conf(wo, mode);
    bool fixed = mode == AA_MODE_UNIQUE || mode == AA_MODE_HASH;
    wo->cfg.fields[0].budget_rows = fixed ? 0 : 20;
    wo->cfg.agent.half_life_events = 700;
    wo->cfg.agent.forget_events = 400;
    wo->cfg.agent.quiet_events = 60;
    wo->cfg.agent.quiet_gaps = 3;
    wo->cfg.agent.rows_least = 60;
    wo->cfg.agent.rows_share = 0.1;
    wo->cfg.agent.policy_rate = 0.1;
    wo->cfg.agent.actor_rate = 0.01;
    wo->cfg.agent.warm_up_events = mode == AA_MODE_PAPER ? 100 : 0;
    wo->cfg.fields[0].threshold = 3;
}

/* ---- order ---- */

static void
batches_and_rewards_out_of_order_are_refused_and_change_nothing(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    wo.cfg.pipeline.depth = 2;
    world_open(&wo);
    aa_err err = AA_ERR_INIT;
    world_random(&wo, 1, 4, 10, 100, 1);
    assert_int_equal(assigner_next_batch(wo.as), 5);
    assert_int_equal(assigner_next_reward(wo.as), 3);
    uint64_t d = assigner_digest(wo.as);

    const uint64_t wrong[] = {1, 2, 4, 5, 99};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        world_rewards(&wo, 3);
        wo.rw.hd.seq = wrong[i];
        assert_int_equal(assigner_learn(wo.as, &wo.rw, &err), AA_EPARSE);
    }
    world_rewards(&wo, 3);
    wo.rw.n--;
    assert_int_equal(assigner_learn(wo.as, &wo.rw, &err), AA_EPARSE);
    wo.rw.n++;
    wo.rw.m--;
    assert_int_equal(assigner_learn(wo.as, &wo.rw, &err), AA_EPARSE);
    wo.in.hd.seq = 6;
    assert_int_equal(assigner_step(wo.as, &wo.in, &wo.out, &err), AA_EPARSE);
    wo.in.hd.seq = 5; /* the rewards of batch 3 are missing */
    assert_int_equal(assigner_step(wo.as, &wo.in, &wo.out, &err), AA_EPARSE);
    assert_true(assigner_digest(wo.as) == d);
    world_random(&wo, 1, 1, 10, 100, 1);
    assert_int_equal(assigner_next_batch(wo.as), 6);
    world_close(&wo);
}

static void
rewards_of_a_batch_not_assigned_yet_are_refused(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_DEFAULT);
    world_open(&wo);
    aa_err err = AA_ERR_INIT;
    assert_int_equal(aa_reward_batch_reserve(&wo.rw, 1, 1, NULL), AA_OK);
    wo.rw.hd.seq = 1;
    assert_int_equal(assigner_learn(wo.as, &wo.rw, &err), AA_EPARSE);
    world_close(&wo);
}

static void
an_empty_batch_is_a_batch(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        world wo;
        world_conf(&wo, mode);
        world_open(&wo);
        for (size_t b = 0; b < 8; b++)
            world_step(&wo);
        world_random(&wo, 1, 2, 10, 100, 1);
        assert_int_equal(assigner_next_batch(wo.as), 11);
        world_close(&wo);
    }
}

/* ---- determinism ---- */

static void
the_same_batches_give_the_same_state_and_the_seed_matters(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        uint64_t digest[3];
        for (size_t run = 0; run < 3; run++) {
            world wo;
            busy_conf(&wo, mode);
            wo.cfg.pipeline.seed = run == 2 ? 2 : 1;
            world_open(&wo);
            world_random(&wo, 11, 40, 30, 400, 1);
            digest[run] = assigner_digest(wo.as);
            world_close(&wo);
        }
        assert_true(digest[0] == digest[1]);
        assert_true(digest[0] != digest[2]); /* what is kept of an ID is rounded at random */
    }
}

/* One pass over the events in batches of another size: all but the actor's timing is the same. */
static void
where_batches_are_cut_makes_no_difference_to_a_rule(void **state)
{
    (void)state;
    uint64_t ids[2], rows[2];
    for (size_t run = 0; run < 2; run++) {
        world wo;
        busy_conf(&wo, AA_MODE_RULE);
        world_open(&wo);
        for (uint64_t n = 0; n < 1200; n++) {
            uint64_t key[2] = {1 + (uint64_t)pow(300, aa_rng_uniform(1, AA_RNG_TEST, n, 0)),
                               1 + n % 7};
            world_event(&wo, key, n % 3 == 0 ? 1.0f : 0.0f);
            if (n % (run == 0 ? 40 : 75) == 0) world_step(&wo);
        }
        world_step(&wo);
        assigner_stats st;
        assigner_stats_get(wo.as, 0, &st);
        ids[run] = st.ids_seen * 1000 + st.promotions;
        rows[run] = st.rows_unique;
        world_close(&wo);
    }
    assert_int_equal(ids[0], ids[1]);
    assert_int_equal(rows[0], rows[1]);
}

/* ---- checkpoints ---- */

static void
checkpoint_dir(world *wo, char folder[32])
{
    strcpy(folder, "/tmp/aa-assigner-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(wo->cfg.checkpoint.dir, sizeof wo->cfg.checkpoint.dir, "%s", folder);
}

static void
remove_checkpoint(const world *wo, const char *folder)
{
    char path[AA_CONF_STR + 128];
    assert_int_equal(aa_ckpt_path(path, sizeof path, &wo->cfg, "assigner", 1, NULL), AA_OK);
    unlink(path);
    for (char *cut = strrchr(path, '/'); cut && strlen(path) > strlen(folder);
         cut = strrchr(path, '/')) {
        *cut = '\0';
        rmdir(path);
    }
}

static void
a_restored_assigner_goes_on_bit_for_bit(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        world  wo;
        char   folder[32];
        aa_err err = AA_ERR_INIT;
        busy_conf(&wo, mode);
        checkpoint_dir(&wo, folder);
        world_open(&wo);
        world_random(&wo, 11, 35, 30, 400, 1);
        assert_int_equal(assigner_next_batch(wo.as) - assigner_next_reward(wo.as), 4);
        world_save(&wo);
        uint64_t  at_save = assigner_digest(wo.as);
        assigner *second = NULL;
        if (world_restore(&wo.cfg, &second, &err) != AA_OK) fail_msg("%s", err.text);
        assert_true(assigner_digest(second) == at_save);

        assigner *first = wo.as; /* the world goes on with either; its rows are the same */
        world_random(&wo, 12, 0, 30, 400, 1);
        for (size_t b = 0; b < 25; b++) {
            unsigned char *live[2];
            world          before = wo;
            for (size_t f = 0; f < 2; f++) {
                live[f] = malloc(WORLD_ROWS);
                assert_non_null(live[f]);
                memcpy(live[f], wo.live[f], WORLD_ROWS);
            }
            wo.as = first;
            world_random(&wo, 12, 1, 30, 400, 1 + b * 20);
            uint64_t d = assigner_digest(first);
            for (size_t f = 0; f < 2; f++) {
                memcpy(wo.live[f], live[f], WORLD_ROWS);
                free(live[f]);
                wo.rows[f] = before.rows[f];
                wo.most[f] = before.most[f];
            }
            wo.as = second;
            world_random(&wo, 12, 1, 30, 400, 1 + b * 20);
            assert_true(assigner_digest(second) == d);
        }
        assigner_free(&first);
        world_close(&wo);
        remove_checkpoint(&wo, folder);
    }
}

static void
a_fresh_assigner_can_be_saved_and_restored(void **state)
{
    (void)state;
    world     wo;
    char      folder[32];
    assigner *second = NULL;
    busy_conf(&wo, AA_MODE_PAPER);
    checkpoint_dir(&wo, folder);
    world_open(&wo);
    world_save(&wo);
    assert_int_equal(world_restore(&wo.cfg, &second, NULL), AA_OK);
    assert_true(assigner_digest(second) == assigner_digest(wo.as));
    assigner_free(&second);
    world_close(&wo);
    remove_checkpoint(&wo, folder);
}

/* The file's own digests are right, but what is in it does not fit together. */
static void
rewrite(const world *wo, const char *section, size_t at, unsigned char with)
{
    aa_ckpt_reader *r;
    aa_ckpt_writer *w;
    aa_ckpt_info    info;
    assert_int_equal(aa_ckpt_open(&r, &wo->cfg, "assigner", 1, NULL), AA_OK);
    assert_int_equal(aa_ckpt_create(&w, &wo->cfg, "assigner", 1, NULL), AA_OK);
    aa_ckpt_info_get(r, &info);
    bool changed = false;
    for (size_t i = 0; i < info.section_count; i++) {
        const char *name;
        const void *data;
        size_t      len;
        uint64_t    digest;
        aa_ckpt_section_at(r, i, &name, &len, &digest);
        if (strcmp(name, AA_CKPT_SETTINGS) == 0) continue; /* the writer's own */
        assert_int_equal(aa_ckpt_get(r, name, &data, &len, NULL), AA_OK);
        unsigned char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, data, len);
        if (strcmp(name, section) == 0) {
            assert_true(at < len && copy[at] != with);
            copy[at] = with;
            changed = true;
        }
        assert_int_equal(aa_ckpt_section(w, name, copy, len, NULL), AA_OK);
        free(copy);
    }
    assert_true(changed);
    aa_ckpt_close(&r);
    assert_int_equal(aa_ckpt_commit(&w, 0, NULL), AA_OK);
}

#define HOLDER 1000000u /* and more: from the first ID on that has a row of its own */

static size_t
holder_at(const world *wo, const char *section)
{
    aa_ckpt_reader *r;
    const void     *data;
    size_t          len, at = 0;
    assert_int_equal(aa_ckpt_open(&r, &wo->cfg, "assigner", 1, NULL), AA_OK);
    assert_int_equal(aa_ckpt_get(r, section, &data, &len, NULL), AA_OK);
    while ((((const unsigned char *)data)[at] >> 1 & 15) != IDPACK_OWN)
        at += IDPACK_BYTES;
    assert_true(at < len);
    aa_ckpt_close(&r);
    return at;
}

static void
a_checkpoint_that_does_not_fit_together_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char   *section;
        size_t        at;
        unsigned char with;
    } damage[] = {
        {"assigner.whole", 16, 200},       /* next_reward beyond next_batch */
        {"assigner.whole", 0, 3},          /* fewer events than IDs say */
        {"field.0.ids", 0, 0},             /* the first ID: not one */
        {"field.1.ids", HOLDER + 17, 255}, /* got its row in the future */
        {"field.0.ids", HOLDER + 11, 255}, /* a row that there is not */
        {"field.0.ids", HOLDER + 0, 1},    /* a row that nobody holds any more */
        {"field.0.tops", 2, 1},            /* more IDs than there are */
        {"field.0.clock", 8, 9},           /* unit of the last events */
        {"field.0.holders", 0, 77},        /* holder of the first unique row */
        {"field.0.peak", 0, 0},            /* fewer than are held */
        {"field.0.bid", 7, 0x7f},          /* theta: not finite, with the byte before */
        {"price.state", 7, 0x7f},          /* price: the same */
        {"inflight.word", 3, 0x17},        /* action that there is not */
        {"inflight.word", 2, 0x17},        /* state that there is not */
        {"inflight.sizes", 0, 29},         /* an event less */
    };
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        world     wo;
        char      folder[32];
        assigner *second = NULL;
        aa_err    err = AA_ERR_INIT;
        busy_conf(&wo, AA_MODE_DEFAULT);
        checkpoint_dir(&wo, folder);
        world_open(&wo);
        world_random(&wo, 11, 35, 30, 400, 1);
        world_save(&wo);
        const size_t at = damage[i].at >= HOLDER
                              ? damage[i].at - HOLDER + holder_at(&wo, damage[i].section)
                              : damage[i].at;
        rewrite(&wo, damage[i].section, at, damage[i].with);
        if (damage[i].with == 0x7f) rewrite(&wo, damage[i].section, at - 1, 0xff);
        if (world_restore(&wo.cfg, &second, &err) != AA_EPARSE)
            fail_msg("damage %zu was not seen", i);
        assert_true(strlen(err.text) > 0);
        assigner_free(&second);
        world_close(&wo);
        remove_checkpoint(&wo, folder);
    }
}

/* ---- lean ---- */

static void
readings_follow_a_plain_recomputation_of_the_lean(void **state)
{
    (void)state;
    enum { IDS = 12, N = 600 };
    world wo;
    world_conf(&wo, AA_MODE_SHARED_ONLY);
    world_open(&wo);
    double sum[2][IDS] = {0}, label_sum = 0.5;
    size_t n[2][IDS] = {0};
    for (size_t t = 0; t < N; t += 20) {
        size_t id[20][2];
        float  label[20];
        for (size_t i = 0; i < 20; i++) {
            for (uint64_t f = 0; f < 2; f++)
                id[i][f] = aa_rng_bits(3, AA_RNG_TEST, t + i, f) % IDS;
            uint64_t key[2] = {id[i][0] + 1, id[i][1] + 1};
            label[i] =
                aa_rng_uniform(3, AA_RNG_TEST, t + i, 2) < 0.1 * (double)id[i][0] ? 1.0f : 0.0f;
            world_event(&wo, key, label[i]);
        }
        world_step(&wo);
        for (size_t i = 0; i < 20; i++) {
            double lean[2], mean = label_sum / (1.0 + (double)(t + i));
            for (size_t f = 0; f < 2; f++) {
                size_t *seen = &n[f][id[i][f]];
                lean[f] = sum[f][id[i][f]] / ((double)*seen + 4.0);
                double   c = fmin(fmax(1.0 + 3.0 * lean[f], 0.0), 2.0);
                uint32_t position =
                    *seen == 0 ? 1 : (uint32_t)fmin(2 + floor(log2((double)*seen)), 5);
                double got = (double)wo.out.slot[i * 2 + f] + (double)wo.out.mix[i * 2 + f];
                check_close(got, (position - 1) * 3 + c, 2e-3, 0.0, t + i);
            }
            for (size_t f = 0; f < 2; f++) {
                sum[f][id[i][f]] += (double)label[i] - mean - lean[1 - f];
                n[f][id[i][f]]++;
            }
            label_sum += (double)label[i];
        }
    }
    world_close(&wo);
}

/* ---- publication ---- */

enum { HEARD = 4096 };
typedef struct {
    uint64_t      key[HEARD];
    aa_assignment a[HEARD];
    size_t        count, messages, deletions;
} heard;

static size_t
place(heard *hr, uint64_t key)
{
    size_t i = 0;
    while (i < hr->count && hr->key[i] != key)
        i++;
    return i;
}

static void
listen(world *wo, heard *hr, uint32_t field, bool all)
{
    assigner_change change[7]; /* small, so that it takes several calls */
    size_t          count;
    do {
        assert_int_equal(assigner_changes(wo->as, all, change, 7, &count, NULL), AA_OK);
        all = false;
        for (size_t c = 0; c < count; c++) {
            if (change[c].field != field) continue;
            size_t i = place(hr, change[c].key);
            hr->messages++;
            if (change[c].deleted) {
                hr->deletions++;
                if (i == hr->count) continue;
                hr->count--;
                hr->key[i] = hr->key[hr->count];
                hr->a[i] = hr->a[hr->count];
                continue;
            }
            assert_int_equal(change[c].a.version, assigner_next_batch(wo->as) - 1);
            if (i == hr->count) {
                assert_true(hr->count < HEARD);
                hr->key[hr->count++] = change[c].key;
            }
            hr->a[i] = change[c].a;
        }
    } while (count > 0);
}

/* What the next batch reads against what a scorer would: the heard one, or an unseen ID's. */
static void
check_heard(world *wo, heard *hr, const uint64_t *keys, size_t n, double tolerance)
{
    aa_assignment unseen;
    assigner_new_id(wo->as, 0, &unseen);
    for (size_t i = 0; i < n; i++) {
        size_t               at = place(hr, keys[i * 2]);
        const aa_assignment *a = at < hr->count ? &hr->a[at] : &unseen;
        bool                 unique = wo->out.slot[i * 2] >= aa_shared_rows(&wo->cfg);
        if (unique || a->position > wo->cfg.agent.positions) {
            if (a->slot != wo->out.slot[i * 2]) { /* promoted by this very event */
                bool promoted = false;
                for (size_t j = 0; j < wo->out.op_count; j++)
                    promoted |= wo->out.op[j].event_idx == i &&
                                wo->out.op[j].kind == AA_OP_PROMOTE && wo->out.op[j].field == 0;
                assert_true(promoted);
            } else { /* the shared reading, to which its row adds */
                check_close((double)a->alt_slot + (double)a->alt_mix,
                            (double)wo->out.alt_slot[i * 2] + (double)wo->out.alt_mix[i * 2],
                            tolerance, 0.0, i);
            }
            continue;
        }
        double got = (double)a->slot + (double)a->mix;
        check_close(got, (double)wo->out.slot[i * 2] + (double)wo->out.mix[i * 2], tolerance, 0.0,
                    i);
    }
}

static void
scorers_hear_what_the_next_events_will_read(void **state)
{
    (void)state;
    world wo;
    heard hr = {0};
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].threshold = 6;
    wo.cfg.agent.quiet_events = 100;
    world_open(&wo);
    for (uint64_t b = 0; b < 60; b++) {
        uint64_t key[2 * 20];
        for (uint64_t i = 0; i < 20; i++) { /* an ID once per batch, so that none moves within it */
            key[2 * i] = 1 + i * 10 + aa_rng_bits(2, AA_RNG_TEST, b, i) % (b < 30 ? 10 : 3);
            key[2 * i + 1] = 1 + aa_rng_bits(2, AA_RNG_TEST, b, i + 50) % 9;
            world_event(&wo, key + 2 * i, aa_rng_uniform(2, AA_RNG_TEST, b, i + 99) < 0.5 ? 1 : 0);
        }
        world_step(&wo);
        check_heard(&wo, &hr, key, 20, b % 2 ? 1e-6 : 0.055);
        if (b % 2 == 0) assigner_changes_exact(wo.as);
        listen(&wo, &hr, 0, false);
    }
    assert_true(wo.ops[AA_OP_FREE] > 0);
    size_t          before = hr.messages;
    assigner_change none;
    size_t          count;
    assert_int_equal(assigner_changes(wo.as, false, &none, 1, &count, NULL), AA_OK);
    assert_int_equal(count, 0);
    listen(&wo, &hr, 0, true);
    assigner_stats st;
    assigner_stats_get(wo.as, 0, &st);
    assert_int_equal(hr.messages - before, st.ids);
    assert_int_equal(hr.count, st.ids);
    world_close(&wo);
}

/* After a restart: scorers may hold what an abandoned run made of an ID. */
static void
new_ids_that_read_as_unseen_ones_are_sent_when_that_is_wanted(void **state)
{
    (void)state;
    assigner_change change[8];
    size_t          count;
    world           wo;
    world_conf(&wo, AA_MODE_SHARED_ONLY);
    wo.cfg.model.signals = false;
    wo.cfg.agent.lean_bins = 1; /* every ID reads what an unseen one does */
    wo.cfg.agent.positions = 1;
    world_open(&wo);
    for (uint64_t i = 0; i < 4; i++) {
        const uint64_t key[2] = {1 + i, 100 + i};
        assigner_tell_new(wo.as, i % 2 == 1);
        world_event(&wo, key, 1);
        world_step(&wo);
        assert_int_equal(assigner_changes(wo.as, false, change, 8, &count, NULL), AA_OK);
        assert_int_equal(count, i % 2 == 1 ? 2 : 1); /* an item always: it has a name to rank */
    }
    const uint64_t again[2] = {2, 101}; /* has been told: once is enough */
    world_event(&wo, again, 1);
    world_step(&wo);
    assert_int_equal(assigner_changes(wo.as, false, change, 8, &count, NULL), AA_OK);
    assert_int_equal(count, 0);
    world_close(&wo);
}

/* A broker that is always behind: each call takes less than came since the last one. */
static void
under_lasting_pressure_each_field_is_published(void **state)
{
    (void)state;
    enum { CALLS = 30, TAKEN = 4, EVENTS = 20 };
    world  wo;
    size_t sent[2] = {0, 0};
    world_conf(&wo, AA_MODE_RULE);
    world_open(&wo);
    assigner_tell_new(wo.as, true);
    for (uint64_t call = 0; call < CALLS; call++) {
        assigner_change change[TAKEN];
        size_t          count;
        for (uint64_t i = 0; i < EVENTS; i++) {
            const uint64_t n = call * EVENTS + i, key[2] = {1 + n, 100000 + n};
            world_event(&wo, key, 1);
        }
        world_step(&wo);
        assert_int_equal(assigner_changes(wo.as, false, change, TAKEN, &count, NULL), AA_OK);
        assert_int_equal(count, TAKEN);
        for (size_t c = 0; c < count; c++)
            sent[change[c].field]++;
    }
    assert_int_equal(sent[0], CALLS * TAKEN / 2);
    assert_int_equal(sent[1], CALLS * TAKEN / 2);
    world_close(&wo);
}

/* Scorers rank what the assigner holds, so an item's end is told however short its life was. */
static void
items_are_told_of_from_their_first_event_to_their_last(void **state)
{
    (void)state;
    assigner_change change[16];
    size_t          count, gone[2] = {0, 0};
    world           wo;
    world_conf(&wo, AA_MODE_THRESHOLD);
    wo.cfg.fields[1].threshold = 100;
    wo.cfg.agent.forget_events = 50;
    wo.cfg.agent.lean_bins = 1;
    wo.cfg.model.signals = false;
    world_open(&wo);
    world_one(&wo, 1, 500, 1.0f); /* both read what unseen ones do */
    assert_int_equal(assigner_changes(wo.as, false, change, 16, &count, NULL), AA_OK);
    assert_int_equal(count, 1);
    assert_int_equal(change[0].field, 1);
    assert_true(change[0].key == 500 && !change[0].deleted);
    world_one(&wo, 2, 600, 1.0f); /* comes and goes between two publications */
    for (size_t n = 0; n < 200; n++)
        world_one(&wo, 3, 700, 1.0f);
    do {
        assert_int_equal(assigner_changes(wo.as, false, change, 16, &count, NULL), AA_OK);
        for (size_t c = 0; c < count; c++)
            gone[0] += change[c].deleted && change[c].key == 500,
                gone[1] += change[c].deleted && change[c].key == 600;
    } while (count > 0);
    assert_int_equal(gone[0], 1);
    assert_int_equal(gone[1], 1);
    world_close(&wo);
}

static void
changes_of_one_id_are_sent_once_and_small_ones_not_at_all(void **state)
{
    (void)state;
    world wo;
    heard hr = {0};
    world_conf(&wo, AA_MODE_SHARED_ONLY);
    wo.cfg.model.signals = false;
    world_open(&wo);
    for (size_t n = 0; n < 64; n++)
        world_one(&wo, 1, 1000 + n, n % 2 ? 1.0f : 0.0f);
    listen(&wo, &hr, 0, false);
    assert_int_equal(hr.messages, 1);
    for (size_t n = 0; n < 40; n++) { /* at the top position; the lean moves a little each time */
        world_one(&wo, 1, 2000 + n, n % 2 ? 1.0f : 0.0f);
        listen(&wo, &hr, 0, false);
    }
    assert_true(hr.messages <= 3);
    world_close(&wo);
}

/* A signal is sent when it has moved a step, one that has moved less when all has to be exact. */
static void
signals_are_sent_in_steps_and_exact_in_the_end(void **state)
{
    (void)state;
    assigner_change change[64];
    size_t          count, sent = 0;
    uint32_t        told = 0, used = 0;
    world           wo;
    world_conf(&wo, AA_MODE_UNIQUE); /* whose readings do not change */
    world_open(&wo);
    for (size_t n = 0; n < 400; n++) {
        world_one(&wo, 1, 1000, (n / 20) % 2 ? 1.0f : 0.0f);
        if (n > 0) sent += used != wo.out.signal[0];
        used = wo.out.signal[0];
        assert_int_equal(assigner_changes(wo.as, false, change, 64, &count, NULL), AA_OK);
        for (size_t c = 0; c < count; c++)
            if (change[c].field == 0) told = change[c].a.signal, sent += 1u << 16;
    }
    assert_in_range(sent >> 16, 40, 300);        /* of 400 events */
    assert_true((sent >> 16) < (sent & 0xFFFF)); /* fewer than there were changes */
    assigner_changes_exact(wo.as);
    assert_int_equal(assigner_changes(wo.as, false, change, 64, &count, NULL), AA_OK);
    for (size_t c = 0; c < count; c++)
        if (change[c].field == 0) told = change[c].a.signal;
    world_one(&wo, 1, 1000, 1.0f);
    assert_int_equal(told, wo.out.signal[0]);
    world_close(&wo);
}

static void
a_forgotten_id_is_deleted_and_may_return(void **state)
{
    (void)state;
    world wo;
    heard hr = {0};
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.agent.forget_events = 100;
    world_open(&wo);
    for (size_t n = 0; n < 3; n++)
        world_one(&wo, 1, 500, 1.0f);
    listen(&wo, &hr, 0, false);
    assert_int_equal(place(&hr, 1), 0);
    for (size_t n = 0; n < 150; n++)
        world_one(&wo, 2, 500, 1.0f);
    assigner_stats st;
    assigner_stats_get(wo.as, 0, &st);
    assert_int_equal(st.forgotten, 1);
    assert_int_equal(st.ids, 1);
    world_one(&wo, 1, 500, 1.0f); /* back before the news of its going was sent */
    world_one(&wo, 1, 500, 1.0f);
    assert_int_equal(wo.out.seen[0], 1);
    listen(&wo, &hr, 0, false);
    assert_int_equal(hr.deletions, 1);
    assert_true(place(&hr, 1) < hr.count);
    assert_int_equal(hr.a[place(&hr, 1)].position, 3);
    world_close(&wo);
}

static void
an_own_row_is_announced_with_its_birth_and_the_shared_row_to_fall_back_on(void **state)
{
    (void)state;
    world wo;
    heard hr = {0};
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.fields[0].threshold = 3;
    world_open(&wo);
    for (size_t n = 0; n < 4; n++)
        world_one(&wo, 1, 500 + n, 1.0f);
    listen(&wo, &hr, 0, false);
    assert_int_equal(hr.count, 1);
    assert_int_equal(hr.a[0].position, 6);
    assert_int_equal(hr.a[0].born, 4); /* batch 4 promoted it */
    assert_int_equal(hr.a[0].slot, 15);
    assert_int_equal(hr.a[0].alt_slot / 3, 3); /* position 4: seen four times */
    world_close(&wo);
}

static void
nothing_is_kept_for_scorers_when_publishing_is_off(void **state)
{
    (void)state;
    world wo;
    world_conf(&wo, AA_MODE_RULE);
    wo.cfg.publish.enabled = false;
    world_open(&wo);
    world_random(&wo, 1, 20, 50, 200, 1);
    assigner_change change;
    size_t          count = 9;
    assert_int_equal(assigner_changes(wo.as, true, &change, 1, &count, NULL), AA_OK);
    assert_int_equal(count, 0);
    world_close(&wo);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_and_rewards_out_of_order_are_refused_and_change_nothing),
        cmocka_unit_test(rewards_of_a_batch_not_assigned_yet_are_refused),
        cmocka_unit_test(an_empty_batch_is_a_batch),
        cmocka_unit_test(the_same_batches_give_the_same_state_and_the_seed_matters),
        cmocka_unit_test(where_batches_are_cut_makes_no_difference_to_a_rule),
        cmocka_unit_test(a_restored_assigner_goes_on_bit_for_bit),
        cmocka_unit_test(a_fresh_assigner_can_be_saved_and_restored),
        cmocka_unit_test(a_checkpoint_that_does_not_fit_together_is_refused),
        cmocka_unit_test(readings_follow_a_plain_recomputation_of_the_lean),
        cmocka_unit_test(scorers_hear_what_the_next_events_will_read),
        cmocka_unit_test(new_ids_that_read_as_unseen_ones_are_sent_when_that_is_wanted),
        cmocka_unit_test(under_lasting_pressure_each_field_is_published),
        cmocka_unit_test(items_are_told_of_from_their_first_event_to_their_last),
        cmocka_unit_test(changes_of_one_id_are_sent_once_and_small_ones_not_at_all),
        cmocka_unit_test(signals_are_sent_in_steps_and_exact_in_the_end),
        cmocka_unit_test(a_forgotten_id_is_deleted_and_may_return),
        cmocka_unit_test(an_own_row_is_announced_with_its_birth_and_the_shared_row_to_fall_back_on),
        cmocka_unit_test(nothing_is_kept_for_scorers_when_publishing_is_off),
    };
    return cmocka_run_group_tests_name("assigner/assigner", tests, NULL, NULL);
}
