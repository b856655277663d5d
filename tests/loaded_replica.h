/* tests/loaded_replica - for benches and tests: a replica in which every item has a row of its own.
 *
 * Header only. What goes wrong ends the program with exit code 1. Users, and items that are not
 * among the items, read the new ID's row. One thread at a time applies.
 */
#ifndef AA_TESTS_LOADED_REPLICA_H
#define AA_TESTS_LOADED_REPLICA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/hash.h"
#include "common/base/rng.h"
#include "common/config/conf.h"
#include "common/model/model.h"
#include "scorer/replica/replica.h"

enum { LOADED_SEED = 1, LOADED_FIRST_SLOT = 32 };

typedef struct {
    const aa_conf *cfg; /* borrowed */
    replica       *rp;
    size_t         W;     /* K+1 */
    uint32_t       items; /* IDs 0..items-1 */
    float         *dense; /* (dense_count) as published */
    size_t         dense_count;
    aa_bytes       by; /* scratch */
} loaded_replica;

static inline void
check(aa_status st, const aa_err *err)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

static inline double
now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline double
cpu_s(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* by: one record's value */
static inline void
loaded_apply(loaded_replica *lr, uint8_t kind, uint32_t field, uint64_t id)
{
    aa_err         err = AA_ERR_INIT;
    uint8_t        key[AA_TOPIC_KEY_BYTES];
    aa_topic_key   k = {.kind = kind, .field = field, .id = id};
    replica_effect effect;
    aa_topic_key_put(key, &k);
    check(replica_apply(lr->rp, key, sizeof key, lr->by.data, lr->by.len, &effect, &err), &err);
}

static inline void
loaded_put_row(loaded_replica *lr, uint32_t field, uint32_t slot, uint64_t version, uint64_t born)
{
    aa_err      err = AA_ERR_INIT;
    float       w[1025];
    aa_row_head rh = {.run_id = 1, .version = version, .born = born};
    aa_rng_normal(w, lr->W, 0.1, LOADED_SEED, AA_RNG_TEST, slot);
    check(aa_wire_pack_row(&lr->by, &rh, w, lr->W, &err), &err);
    loaded_apply(lr, AA_KEY_ROW, field, slot);
}

/* The same dense weights, as of another batch. */
static inline void
loaded_put_dense(loaded_replica *lr, uint64_t version)
{
    aa_err               err = AA_ERR_INIT;
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(lr->cfg->model.kind);
    aa_model_shape_of(&sh, lr->cfg);
    aa_dense_message d = {.run_id = 1,
                          .version = version,
                          .F = sh.F,
                          .K = sh.K,
                          .hidden_count = sh.H,
                          .w = lr->dense,
                          .w_count = lr->dense_count};
    memcpy(d.hidden, sh.hidden, sizeof sh.hidden);
    snprintf(d.model, sizeof d.model, "%s", kind->name);
    check(aa_wire_pack_dense(&lr->by, &d, &err), &err);
    loaded_apply(lr, AA_KEY_DENSE, 0, 0);
}

static inline void
loaded_put_item(loaded_replica *lr, uint32_t i, bool named)
{
    aa_err        err = AA_ERR_INIT;
    aa_assignment a = {.run_id = 1,
                       .version = 1,
                       .slot = LOADED_FIRST_SLOT + i,
                       .born = 1,
                       .position = (uint32_t)lr->cfg->agent.positions + 1};
    char          text[16];
    check(aa_wire_pack_assignment(&lr->by, &a, &err), &err);
    loaded_apply(lr, AA_KEY_ASSIGNMENT, REPLICA_ITEM, aa_id_key_number(i));
    loaded_put_row(lr, REPLICA_ITEM, a.slot, 1, 1);
    if (!named) return;
    int len = snprintf(text, sizeof text, "%u", i);
    check(aa_wire_pack_name(&lr->by, text, (size_t)len, &err), &err);
    loaded_apply(lr, AA_KEY_NAME, REPLICA_ITEM, aa_id_key_number(i));
}

/** The first `named` of the items are known by their text, and can be ranked. cfg is kept. */
static inline void
loaded_replica_init(loaded_replica *lr, const aa_conf *cfg, uint32_t items, uint32_t named)
{
    aa_err               err = AA_ERR_INIT;
    aa_model_shape       sh;
    const aa_model_kind *kind = aa_model_find(cfg->model.kind);
    *lr = (loaded_replica){.cfg = cfg, .items = items, .W = (size_t)cfg->model.dim + 1};
    check(replica_new(&lr->rp, cfg, &err), &err);
    for (uint32_t f = 0; f < cfg->field_count; f++) {
        aa_assignment fresh = {.run_id = 1, .version = 1, .position = 1};
        check(aa_wire_pack_assignment(&lr->by, &fresh, &err), &err);
        loaded_apply(lr, AA_KEY_NEW_ID, f, 0);
        loaded_put_row(lr, f, 0, 1, 0);
    }
    for (uint32_t i = 0; i < items; i++)
        loaded_put_item(lr, i, i < named);
    aa_model_shape_of(&sh, cfg);
    lr->dense_count = kind->weight_count(&sh);
    lr->dense = calloc(lr->dense_count + 1, sizeof *lr->dense);
    AA_REQUIRE(lr->dense);
    kind->init(&sh, lr->dense, LOADED_SEED);
    loaded_put_dense(lr, 1);
}

static inline void
loaded_replica_fini(loaded_replica *lr)
{
    replica_free(&lr->rp);
    free(lr->dense);
    aa_bytes_fini(&lr->by);
}

/** The i-th random item of a request. */
static inline uint32_t
loaded_candidate(const loaded_replica *lr, uint64_t request, uint64_t i)
{
    return (uint32_t)(aa_rng_bits(LOADED_SEED, AA_RNG_TEST, request, i) % lr->items);
}

/** Another version of a random item's row. */
static inline void
loaded_update(loaded_replica *lr, uint64_t update)
{
    uint32_t slot = LOADED_FIRST_SLOT + loaded_candidate(lr, update, 1);
    loaded_put_row(lr, REPLICA_ITEM, slot, 2 + update, 1);
}

#endif
