/* Restoring: a checkpoint whose digests are right, but whose sections hold anything. Assigner and
 * learner must refuse it, or be fit to go on. Inputs descend from real checkpoints of a short run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "assigner/assigner.h"
#include "common/state.h"
#include "learner/learner.h"
#include "tests/checkpoint_repair.h"
#include "tests/wire_samples.h"

#define EVENTS         12 /* of a batch */
#define BATCHES        40
#define MAX_FILE_BYTES ((size_t)1 << 25)

static aa_conf           cfg;
static aa_event_batch    ev;
static aa_assigned_batch as_batch;
static aa_reward_batch   rw;
typedef struct {
    uint8_t *data;
    size_t   len;
} bytes;
static bytes seed_file[2]; /* assigner's, learner's without its metrics */
static bytes metrics;      /* the section that it lacks, with its head and tail */

static void
must(aa_status st, const aa_err *err)
{
    if (st) fprintf(stderr, "fuzz_restore: %s\n", err->text);
    AA_REQUIRE(st == AA_OK);
}

static void
load(const char *process, size_t which)
{
    char   path[1024];
    aa_err err = AA_ERR_INIT;
    must(aa_ckpt_path(path, sizeof path, &cfg, process, 1, &err), &err);
    FILE *f = fopen(path, "rb");
    AA_REQUIRE(f);
    seed_file[which].data = malloc(MAX_FILE_BYTES);
    AA_REQUIRE(seed_file[which].data);
    seed_file[which].len = fread(seed_file[which].data, 1, MAX_FILE_BYTES, f);
    AA_REQUIRE(seed_file[which].len < MAX_FILE_BYTES);
    fclose(f);
    unlink(path);
    for (int up = 0; up < 3; up++) { /* its folder, lane and pipeline, as far as they are empty */
        *strrchr(path, '/') = '\0';
        if (rmdir(path) != 0) break;
    }
}

/* Move the section called metric from the learner's file to `metrics`. */
static void
take_metrics(bytes *file)
{
    ckpt_end end;
    size_t   at = sizeof(ckpt_head), stop = file->len - sizeof end;
    while (at < stop) {
        ckpt_section h;
        memcpy(&h, file->data + at, sizeof h);
        const size_t len = sizeof h + h.len_bytes + ckpt_padding(h.len_bytes) + 8;
        if (strcmp(h.name, "metric") == 0) {
            metrics = (bytes){malloc(len), len};
            AA_REQUIRE(metrics.data);
            memcpy(metrics.data, file->data + at, len);
            memmove(file->data + at, file->data + at + len, file->len - at - len);
            file->len -= len;
            stop -= len;
            continue;
        }
        if (metrics.data) h.index--;
        memcpy(file->data + at, &h, sizeof h);
        at += len;
    }
    AA_REQUIRE(metrics.data);
    memcpy(&end, file->data + stop, sizeof end);
    end.section_count--;
    end.file_bytes = file->len;
    memcpy(file->data + stop, &end, sizeof end);
}

/* A copy of a whole file with `metrics` as its last section, digests right. */
static uint8_t *
put_metrics_back(const uint8_t *file, size_t size)
{
    ckpt_end     end;
    ckpt_section h;
    uint8_t     *whole = aligned_alloc(64, size + metrics.len);
    AA_REQUIRE(whole);
    memcpy(&end, file + size - sizeof end, sizeof end);
    memcpy(&h, metrics.data, sizeof h);
    h.index = end.section_count;
    end.section_count++;
    end.file_bytes += metrics.len;
    memcpy(whole, file, size - sizeof end);
    memcpy(whole + size - sizeof end, metrics.data, metrics.len);
    memcpy(whole + size - sizeof end, &h, sizeof h);
    memcpy(whole + size + metrics.len - sizeof end, &end, sizeof end);
    repair_checkpoint(whole, size + metrics.len);
    return whole;
}

/* A short run of both, with few IDs so that some are promoted, saved in the middle of it. */
static void
make_seed_files(void)
{
    aa_err          err = AA_ERR_INIT;
    assigner       *as = NULL;
    learner        *le = NULL;
    aa_ckpt_writer *w = NULL;
    sample_rng      rng = {.seed = 7};
    must(assigner_new(&as, &cfg, &err), &err);
    must(learner_new(&le, &cfg, &err), &err);
    for (uint64_t seq = 1; seq <= BATCHES; seq++) {
        sample_events(&ev, &rng, EVENTS, cfg.field_count);
        ev.hd = (aa_header){.run_id = 1, .seq = seq};
        for (size_t i = 0; i < EVENTS * cfg.field_count; i++)
            ev.key[i] = 1 + ev.key[i] % 9;
        for (size_t i = 0; i < EVENTS; i++)
            ev.label[i] = (float)(i % 2);
        must(assigner_step(as, &ev, &as_batch, &err), &err);
        must(learner_step(le, &as_batch, &rw, NULL, &err), &err);
        must(assigner_learn(as, &rw, &err), &err);
    }
    must(aa_ckpt_create(&w, &cfg, "assigner", 1, &err), &err);
    must(assigner_save(as, w, &err), &err);
    must(aa_ckpt_commit(&w, 0, &err), &err);
    must(aa_ckpt_create(&w, &cfg, "learner", 1, &err), &err);
    must(learner_save(le, w, &err), &err);
    must(aa_ckpt_commit(&w, 0, &err), &err);
    assigner_free(&as);
    learner_free(&le);
    load("assigner", 0);
    load("learner", 1);
    take_metrics(&seed_file[1]);
    rmdir(cfg.checkpoint.dir);
}

static void
start(void)
{
    if (seed_file[0].data) return;
    aa_conf_defaults(&cfg);
    strcpy(cfg.checkpoint.dir, "/tmp/aa-fuzz-XXXXXX");
    AA_REQUIRE(mkdtemp(cfg.checkpoint.dir));
    cfg.model.dim = 2;
    cfg.hidden[0] = 3;
    cfg.hidden_count = 1;
    cfg.agent.positions = 2;
    make_seed_files();
}

static void
try_assigner(aa_ckpt_reader *r)
{
    static assigner_change changes[256];
    aa_err                 err = AA_ERR_INIT;
    size_t                 count = 0;
    assigner              *as = NULL;
    must(assigner_new(&as, &cfg, &err), &err);
    if (assigner_restore(as, r, &err) != AA_OK) goto out; /* must not be used then */
    (void)!assigner_changes(as, true, changes, 256, &count, &err);
    sample_rng rng = {.seed = assigner_digest(as)};
    sample_events(&ev, &rng, EVENTS, cfg.field_count);
    ev.hd = (aa_header){.run_id = 2, .seq = assigner_next_batch(as)};
    if (assigner_next_reward(as) + (uint64_t)cfg.pipeline.depth > ev.hd.seq)
        (void)!assigner_step(as, &ev, &as_batch, &err);
out:
    assigner_free(&as);
}

static void
try_learner(aa_ckpt_reader *r)
{
    static learner_change changes[256];
    aa_err                err = AA_ERR_INIT;
    size_t                count = 0;
    learner              *le = NULL;
    must(learner_new(&le, &cfg, &err), &err);
    const uint64_t before = learner_digest(le);
    if (learner_restore(le, r, &err) != AA_OK) {
        AA_REQUIRE(learner_digest(le) == before);
        goto out;
    }
    (void)!learner_changes(le, true, changes, 256, &count, &err);
    sample_rng rng = {.seed = learner_digest(le)};
    sample_assigned(&as_batch, &rng, EVENTS, cfg.field_count, true);
    as_batch.hd = (aa_header){.run_id = 2, .seq = learner_next_batch(le)};
    for (size_t i = 0; i < EVENTS * cfg.field_count; i++) {
        as_batch.slot[i] %= 12; /* shared ones, and some of its own */
        const bool own = as_batch.slot[i] >= aa_shared_rows(&cfg);
        as_batch.alt_slot[i] = own ? as_batch.slot[i] % aa_shared_rows(&cfg) : AA_NO_SLOT;
        as_batch.mix[i] = as_batch.alt_mix[i] = 0.0f;
        as_batch.state[i] = as_batch.next_state[i] = (uint32_t)(i % 40);
    }
    for (size_t i = 0; i < EVENTS; i++)
        as_batch.label[i] = (float)(i % 2);
    as_batch.op_count = as_batch.sweep_count = 0;
    (void)!learner_step(le, &as_batch, &rw, NULL, &err);
    (void)learner_rewards(le, as_batch.hd.seq);
out:
    learner_free(&le);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    start();
    uint8_t *right = aligned_alloc(64, (size + 64) / 64 * 64);
    if (!right) return 0;
    memcpy(right, data, size);
    repair_checkpoint(right, size);
    if (aa_ckpt_open_bytes(&r, right, size, &err) != AA_OK) goto out;
    const void *data_unused;
    size_t      len_unused;
    if (aa_ckpt_get(r, "learner", &data_unused, &len_unused, &err) != AA_OK) {
        try_assigner(r);
        goto out;
    }
    aa_ckpt_close(&r);
    uint8_t *whole = put_metrics_back(right, size);
    if (aa_ckpt_open_bytes(&r, whole, size + metrics.len, &err) == AA_OK) try_learner(r);
    free(whole);
out:
    aa_ckpt_close(&r);
    free(right);
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* Change a few words of a section's bytes, to a near or to a special value; or anything. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const uint64_t special[] = {0, 1, UINT32_MAX, UINT64_MAX, INT64_MAX, 0x7fc00000};
    sample_rng            rng = {.seed = seed};
    start();
    const uint32_t which = sample_below(&rng, 2);
    if (seed_file[which].len <= max_size && (size < 2 || sample_below(&rng, 8) == 0)) {
        size = seed_file[which].len;
        memcpy(data, seed_file[which].data, size);
    }
    if (size < 1024 || sample_below(&rng, 4) == 0) return LLVMFuzzerMutate(data, size, max_size);
    for (uint32_t i = sample_below(&rng, 4); i < 4; i++) {
        uint64_t word;
        size_t   at = 384 + sample_below(&rng, (uint32_t)(size - 448)) / 4 * 4;
        memcpy(&word, data + at, sizeof word);
        word = sample_below(&rng, 2) ? special[sample_below(&rng, 6)]
                                     : word + sample_below(&rng, 9) - 4;
        memcpy(data + at, &word, sample_below(&rng, 2) ? 4 : 8);
    }
    return size;
}
