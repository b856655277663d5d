/* bench_delay - what predictions are worth when labels come late.
 *
 *   bench_delay EVENTS [section.key=value]... < stream.csv      user,item,label,timestamp with a header
 *
 * The label of an event is known EVENTS events after the event, to signals and training alike; its
 * score is asked for at once. Assigner, learner and a scorer's replica run in one process, joined by
 * the bytes of the two compacted topics, which are published exactly after each batch. A batch of
 * which the labels are not known yet is scored and waits. So the score of an event knows no label of
 * the EVENTS events before it, nor of those of its batch. EVENTS 0: batches of one event, all labels
 * before it are known: then scores are the learner's own predictions, bit by bit.
 *
 * Prints one JSON object.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/assigner.h"
#include "common/agent/mode.h"
#include "common/base/hash.h"
#include "common/model/row.h"
#include "learner/learner.h"
#include "scorer/replica/replica.h"

enum { F = 2, CHANGES = 1024, MOST_BATCH = 500, BATCHES_OF_DELAY = 4 };

typedef struct {
    aa_conf           cfg;
    assigner         *as;
    learner          *le;
    replica          *rp;
    replica_reader   *rr;
    quality          *qu;
    aa_event_batch   *waiting; /* ring of `wait + 1` batches; the one at seq is being filled */
    aa_assigned_batch assigned;
    aa_reward_batch   rewards;
    aa_bytes          by;
    size_t            batch, wait; /* events of a batch; batches that wait for their labels */
    uint64_t          seq;         /* of the batch that is being filled, from 1 */
    uint64_t          learned;     /* batches */
    assigner_change   as_change[CHANGES];
    learner_change    le_change[CHANGES];
} bench;

static aa_err err = AA_ERR_INIT;

static void
check(aa_status st)
{
    if (st == AA_OK) return;
    fprintf(stderr, "bench_delay: %s\n", err.text);
    exit(1);
}

/* by NULL: deleted */
static void
put(bench *b, uint8_t kind, uint32_t field, uint64_t id, const aa_bytes *by)
{
    uint8_t            key[AA_TOPIC_KEY_BYTES];
    const aa_topic_key k = {.kind = kind, .field = field, .id = id};
    replica_effect     effect;
    aa_topic_key_put(key, &k);
    check(replica_apply(b->rp, key, sizeof key, by ? by->data : NULL, by ? by->len : 0, &effect,
                        &err));
}

static void
publish_assignments(bench *b)
{
    size_t count = CHANGES;
    assigner_changes_exact(b->as);
    while (count == CHANGES) {
        check(assigner_changes(b->as, false, b->as_change, CHANGES, &count, &err));
        for (size_t i = 0; i < count; i++) {
            assigner_change *ch = &b->as_change[i];
            ch->a.run_id = 1;
            if (!ch->deleted) check(aa_wire_pack_assignment(&b->by, &ch->a, &err));
            put(b, AA_KEY_ASSIGNMENT, ch->field, ch->key, ch->deleted ? NULL : &b->by);
        }
    }
    for (uint32_t f = 0; f < F; f++) {
        aa_assignment a;
        assigner_new_id(b->as, f, &a);
        a.run_id = 1;
        check(aa_wire_pack_assignment(&b->by, &a, &err));
        put(b, AA_KEY_NEW_ID, f, 0, &b->by);
    }
}

static void
publish_model(bench *b)
{
    size_t           count = CHANGES;
    aa_dense_message d = {.run_id = 1,
                          .version = b->learned,
                          .F = F,
                          .K = (size_t)b->cfg.model.dim,
                          .hidden_count = b->cfg.hidden_count,
                          .residual_rows = aa_residual_rows(&b->cfg)};
    while (count == CHANGES) {
        check(learner_changes(b->le, false, b->le_change, CHANGES, &count, &err));
        for (size_t i = 0; i < count; i++) {
            const learner_change *ch = &b->le_change[i];
            const aa_row_head     rh = {.run_id = 1, .version = b->learned, .born = ch->born};
            if (!ch->deleted) check(aa_wire_pack_row(&b->by, &rh, ch->w, aa_row_width(d.K), &err));
            put(b, AA_KEY_ROW, ch->field, ch->slot, ch->deleted ? NULL : &b->by);
        }
    }
    for (size_t h = 0; h < d.hidden_count; h++)
        d.hidden[h] = b->cfg.hidden[h];
    snprintf(d.model, sizeof d.model, "%.31s", aa_model_id_text(b->cfg.model.kind));
    d.w = learner_dense(b->le, &d.w_count);
    check(aa_wire_pack_dense(&b->by, &d, &err));
    put(b, AA_KEY_DENSE, 0, 0, &b->by);
}

/* The labels of the oldest waiting batch have come. */
static void
learn(bench *b)
{
    const uint64_t depth = (uint64_t)b->cfg.pipeline.depth, seq = ++b->learned;
    if (seq > depth) check(assigner_learn(b->as, learner_rewards(b->le, seq - depth), &err));
    check(assigner_step(b->as, &b->waiting[seq % (b->wait + 1)], &b->assigned, &err));
    check(learner_step(b->le, &b->assigned, &b->rewards, NULL, &err));
    publish_assignments(b);
    publish_model(b);
}

/* A batch has come, without labels as far as scores are concerned. */
static void
take_batch(bench *b)
{
    const aa_event_batch *ev = &b->waiting[b->seq % (b->wait + 1)];
    replica_answer        answer;
    for (size_t i = 0; i < ev->n; i++) {
        float score = 0.5f; /* nothing is known yet */
        if (!replica_missing(b->rp))
            check(replica_score(b->rr, &ev->key[i * F], &ev->key[i * F + REPLICA_ITEM], 1, &score,
                                NULL, &answer, &err));
        quality_add(b->qu, score, ev->label[i], 0);
    }
    if (b->seq > b->wait) learn(b);
    aa_event_batch *next = &b->waiting[++b->seq % (b->wait + 1)];
    check(aa_event_batch_reserve(next, b->batch, F, &err));
    next->n = 0;
    next->hd = (aa_header){.run_id = 1, .seq = b->seq};
}

/* False: not an event (the header). */
static bool
take_line(aa_event_batch *ev, char *line)
{
    char *item = strchr(line, ','), *rest = item ? strchr(item + 1, ',') : NULL, *end;
    if (!rest) return false;
    ev->label[ev->n] = strtof(rest + 1, &end);
    if (end == rest + 1) return false;
    ev->time_ms[ev->n] = 0;
    ev->key[ev->n * F] = aa_id_key(line, (size_t)(item - line));
    ev->key[ev->n * F + 1] = aa_id_key(item + 1, (size_t)(rest - item - 1));
    ev->n++;
    return true;
}

static void
open_all(bench *b, size_t delay)
{
    b->batch = delay / BATCHES_OF_DELAY;
    if (b->batch < 1) b->batch = 1;
    if (b->batch > MOST_BATCH) b->batch = MOST_BATCH;
    b->wait = (delay + b->batch - 1) / b->batch;
    check(assigner_new(&b->as, &b->cfg, &err));
    check(learner_new(&b->le, &b->cfg, &err));
    check(replica_new(&b->rp, &b->cfg, &err));
    check(replica_reader_open(&b->rr, b->rp, &err));
    b->qu = quality_new(0);
    b->waiting = calloc(b->wait + 1, sizeof *b->waiting);
    if (!b->qu || !b->waiting) check(aa_fail(&err, AA_ENOMEM, "%zu batches", b->wait + 1));
    b->seq = 1;
    aa_event_batch *first = &b->waiting[b->seq % (b->wait + 1)];
    check(aa_event_batch_reserve(first, b->batch, F, &err));
    first->hd = (aa_header){.run_id = 1, .seq = b->seq};
}

static void
close_all(bench *b)
{
    for (size_t i = 0; i <= b->wait; i++)
        aa_event_batch_fini(&b->waiting[i]);
    free(b->waiting);
    replica_reader_close(&b->rr);
    replica_free(&b->rp);
    learner_free(&b->le);
    assigner_free(&b->as);
    quality_free(&b->qu);
    aa_assigned_batch_fini(&b->assigned);
    aa_reward_batch_fini(&b->rewards);
    aa_bytes_fini(&b->by);
}

int
main(int argc, char **argv)
{
    static bench    b;
    char            line[4096], *end = NULL;
    quality_summary q;
    const long      delay = argc > 1 ? strtol(argv[1], &end, 10) : -1;
    if (delay < 0 || delay > 100000000 || *end != '\0') {
        fprintf(stderr, "usage: bench_delay EVENTS [section.key=value]... <stream.csv\n");
        return 2;
    }
    check(aa_conf_load(&b.cfg, NULL, (const char *const *)argv + 2, (size_t)argc - 2, &err));
    open_all(&b, (size_t)delay);
    while (fgets(line, sizeof line, stdin)) {
        aa_event_batch *ev = &b.waiting[b.seq % (b.wait + 1)];
        if (take_line(ev, line) && ev->n == b.batch) take_batch(&b);
    }
    quality_get(b.qu, &q);
    const quality_values *all = &q.slice[QUALITY_ALL];
    printf("{\"events\": %" PRIu64
           ", \"delay\": %ld, \"batch\": %zu, \"auc\": %.5f, \"mse\": %.5f, "
           "\"logloss\": %.5f}\n",
           all->events, delay, b.batch, all->auc, all->mse, all->logloss);
    close_all(&b);
    return 0;
}
