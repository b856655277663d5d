/* import - begins a pipeline with an embedding table that is there already.
 *
 * Writes what a checkpoint of epoch 1 is made of (assigner: the IDs; learner: rows and dense
 * weights; ingest: where the topic is read from) and then commits that epoch to the group, as
 * ingest does at every checkpoint. So the processes begin from it as from any other commit, and
 * nothing of the exactly-once protocol is special. The pipeline must be fresh.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/assigner.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"
#include "common/messages/mark.h"
#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"
#include "common/model/row.h"
#include "common/service/tool.h"
#include "common/state/checkpoint.h"
#include "learner/learner.h"
#include "tools/npy.h"
#include "tools/startpoint.h"
#include "tools/table.h"

enum { EPOCH = 1 };

static const char usage_text[] =
    "import - begin a pipeline with an embedding table that is there already\n"
    "\n"
    "usage: import [option]... DIR\n"
    "  DIR                      <field>.csv, or <field>.ids and <field>.npy, for each field of "
    "the\n"
    "                           configuration (docs/OPERATING.md, Import and export), also\n"
    "                           <field>.shared.npy and dense.npy as `export` writes them\n"
    "  -c FILE                  the pipeline's configuration; its pipeline.name must be a new one\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --from PLACE             where to begin in topics.interactions: end, beginning, time:MS "
    "(end)\n"
    "  --label-mean X           mean label to begin with (0.5)\n"
    "  --check                  read and check the files; write and commit nothing\n"
    "  --help, --version\n"
    "\n"
    "Writes checkpoints of epoch 1 into checkpoint.dir and commits that epoch to the consumer "
    "group;\n"
    "then start the four processes. Missing shared rows begin as the mean of the imported ones.\n"
    "Exit codes: 0 done, 1 Kafka or disk trouble, 2 usage, configuration or files that do not fit, "
    "3\n"
    "out of memory.\n";

typedef struct {
    const char *dir, *from;
    double      label_mean;
    bool        check;
} options;

typedef struct {
    const aa_conf *cfg;
    size_t         W;
    assigner      *as;
    learner       *le;
    aa_table       table[AA_MAX_FIELDS];
    aa_assignment *reading[AA_MAX_FIELDS]; /* (n of the field's table) */
    size_t         not_given;              /* rows that a budget did not allow */
} job;

/* ---- the tables ---- */

/* Rows that nobody exported: the mean of the imported ones, which is what a new ID looks like. */
static aa_status
mean_as_shared(aa_table *tb, size_t count, aa_err *err)
{
    tb->shared = calloc(count * tb->W + 1, sizeof *tb->shared);
    if (!tb->shared) return aa_fail(err, AA_ENOMEM, "%zu shared rows", count);
    tb->shared_count = count;
    for (size_t k = 0; k < tb->W && tb->n > 0; k++) {
        double sum = 0.0;
        for (size_t i = 0; i < tb->n; i++)
            sum += (double)tb->w[i * tb->W + k];
        for (size_t slot = 0; slot < count; slot++)
            tb->shared[slot * tb->W + k] = (float)(sum / (double)tb->n);
    }
    return AA_OK;
}

static aa_status
read_table(job *jb, const char *dir, uint32_t f, aa_err *err)
{
    const size_t shared = learner_shared_rows(jb->le);
    aa_table    *tb = &jb->table[f];
    const char  *name = jb->cfg->fields[f].name;
    aa_status    st = aa_table_read(tb, jb->W, dir, name, err);
    if (st != AA_OK) return st;
    if (tb->shared && tb->shared_count != shared)
        return aa_fail(err, AA_EPARSE,
                       "%s/%s.shared.npy: %zu rows, want %zu (agent.positions * agent.lean_bins); "
                       "without the file the mean row is taken",
                       dir, name, tb->shared_count, shared);
    if (!tb->shared) st = mean_as_shared(tb, shared, err);
    if (st == AA_OK) learner_import_shared(jb->le, f, tb->shared);
    return st;
}

/* IDs into the assigner; ops into the batch for rows of their own. */
static aa_status
take_ids(job *jb, uint32_t f, aa_assigned_batch *ops, aa_err *err)
{
    const aa_table *tb = &jb->table[f];
    const bool      shared = learner_shared_rows(jb->le) > 0;
    aa_status       st = AA_OK;
    jb->reading[f] = calloc(tb->n + 1, sizeof *jb->reading[f]);
    if (!jb->reading[f]) return aa_fail(err, AA_ENOMEM, "%zu IDs", tb->n);
    for (size_t i = 0; st == AA_OK && i < tb->n; i++) {
        const aa_table_id *id = &tb->id[i];
        const aa_import_id in = {id->key, id->own, id->position, id->place, id->signal};
        aa_assignment     *a = &jb->reading[f][i];
        st = assigner_import(jb->as, f, &in, a, err);
        if (st != AA_OK) return st;
        jb->not_given += id->own && a->born == 0;
        const aa_op op = {.kind = shared ? AA_OP_PROMOTE : AA_OP_INIT,
                          .field = (uint8_t)f,
                          .slot = a->slot,
                          .source = shared ? 0 : AA_NO_SLOT};
        if (a->born > 0) st = aa_assigned_batch_op(ops, op, err);
    }
    return st;
}

static aa_status
take_rows(job *jb, uint32_t f, aa_err *err)
{
    const aa_table *tb = &jb->table[f];
    aa_status       st = AA_OK;
    for (size_t i = 0; st == AA_OK && i < tb->n; i++) {
        const aa_assignment *a = &jb->reading[f][i];
        if (a->born == 0) continue;
        st =
            learner_import_row(jb->le, f, a->slot, a->alt_slot, a->alt_mix, tb->w + i * tb->W, err);
    }
    return st;
}

static aa_status
take_dense(job *jb, const char *dir, aa_err *err)
{
    char   path[1024];
    aa_npy a = {0};
    snprintf(path, sizeof path, "%s/dense.npy", dir);
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("no dense.npy: the dense weights begin at random\n");
        return AA_OK;
    }
    fclose(f);
    aa_status st = aa_npy_read(path, &a, err);
    if (st == AA_OK) st = learner_import_dense(jb->le, a.x, a.rows * a.columns, err);
    free(a.x);
    return st;
}

static aa_status
build(job *jb, const options *opt, aa_err *err)
{
    const uint32_t    F = (uint32_t)jb->cfg->field_count;
    aa_assigned_batch ops = {.hd = {.seq = EPOCH, .lane = (uint32_t)jb->cfg->pipeline.lane}};
    aa_reward_batch   rewards = {0};
    aa_status         st = assigner_new(&jb->as, jb->cfg, err);
    if (st == AA_OK) st = learner_new(&jb->le, jb->cfg, err);
    if (st == AA_OK) st = aa_assigned_batch_reserve(&ops, 0, F, err);
    for (uint32_t f = 0; st == AA_OK && f < F; f++)
        st = read_table(jb, opt->dir, f, err);
    for (uint32_t f = 0; st == AA_OK && f < F; f++)
        st = take_ids(jb, f, &ops, err);
    ops.F = F;
    if (st == AA_OK) st = learner_step(jb->le, &ops, &rewards, NULL, err);
    for (uint32_t f = 0; st == AA_OK && f < F; f++)
        st = take_rows(jb, f, err);
    if (st == AA_OK) st = take_dense(jb, opt->dir, err);
    if (st == AA_OK) assigner_import_end(jb->as, opt->label_mean);
    aa_assigned_batch_fini(&ops);
    aa_reward_batch_fini(&rewards);
    return st;
}

/* ---- the checkpoint and the commit ---- */

static aa_status
save_assigner(const job *jb, aa_err *err)
{
    aa_ckpt_writer *w = NULL;
    aa_status       st = aa_ckpt_create(&w, jb->cfg, "assigner", EPOCH, err);
    if (st == AA_OK) st = assigner_save(jb->as, w, err);
    if (st == AA_OK) st = aa_ckpt_commit(&w, 0, err);
    aa_ckpt_abort(&w);
    return st;
}

static aa_status
save_learner(const job *jb, aa_err *err)
{
    aa_ckpt_writer *w = NULL;
    aa_status       st = aa_ckpt_create(&w, jb->cfg, "learner", EPOCH, err);
    if (st == AA_OK) st = learner_save(jb->le, w, err);
    if (st == AA_OK) st = aa_ckpt_commit(&w, 0, err);
    aa_ckpt_abort(&w);
    return st;
}

static aa_status
check_fresh(const aa_conf *cfg, aa_err *err)
{
    uint64_t  epoch = 0, seq = 0;
    aa_status st = startpoint_committed(cfg, &epoch, &seq, err);
    if (st == AA_OK && epoch > 0)
        st = aa_fail(err, AA_ECONFIG,
                     "pipeline.name %s has commits (epoch %" PRIu64 "): an import needs a new name",
                     cfg->pipeline.name, epoch);
    return st;
}

/* So that scorers can name the items that they rank before any event names them. */
static aa_status
publish_names(const job *jb, aa_err *err)
{
    enum { FLUSH_MS = 60000, POLL_EVERY = 1024 };
    const aa_conf  *cfg = jb->cfg;
    const aa_table *tb = &jb->table[AA_RANKED_FIELD];
    aa_producer    *pr = NULL;
    aa_bytes        value = {0};
    if (!cfg->publish.enabled || !cfg->publish.item_names || cfg->field_count <= AA_RANKED_FIELD)
        return AA_OK;
    aa_status st = aa_topic_ensure(cfg, cfg->topics.assignments, 0, true, err);
    if (st == AA_OK) st = aa_producer_open(&pr, cfg, err);
    for (size_t i = 0; st == AA_OK && i < tb->n; i++) {
        uint8_t            key[AA_TOPIC_KEY_BYTES];
        const aa_topic_key k = {.lane = (uint32_t)cfg->pipeline.lane,
                                .kind = AA_KEY_NAME,
                                .field = AA_RANKED_FIELD,
                                .id = tb->id[i].key};
        if (!tb->text[i]) continue;
        aa_topic_key_put(key, &k);
        st = aa_wire_pack_name(&value, tb->text[i], strlen(tb->text[i]), err);
        if (st == AA_OK) st = aa_mark_put(&value, aa_mark_of(cfg->pipeline.name), err);
        if (st == AA_OK)
            st = aa_producer_send(pr, cfg->topics.assignments, -1, key, sizeof key, value.data,
                                  value.len, 0, NULL, 0, err);
        if (i % POLL_EVERY == 0) aa_producer_poll(pr);
    }
    if (st == AA_OK) st = aa_producer_flush(pr, FLUSH_MS, err);
    aa_producer_free(&pr, 1000);
    aa_bytes_fini(&value);
    return st;
}

static aa_status
commit_import(const job *jb, const options *opt, aa_err *err)
{
    resume    re = {.epoch = EPOCH, .seq = EPOCH, .batches = 1};
    aa_status st = startpoint_find(&re, jb->cfg, opt->from, err);
    if (st == AA_OK) st = save_assigner(jb, err);
    if (st == AA_OK) st = save_learner(jb, err);
    if (st == AA_OK) st = resume_save(&re, jb->cfg, err);
    if (st == AA_OK) st = publish_names(jb, err);
    if (st == AA_OK) st = startpoint_commit(&re, jb->cfg, err);
    resume_fini(&re);
    return st;
}

static aa_status
import(job *jb, const options *opt, aa_err *err)
{
    aa_status st = opt->check ? AA_OK : check_fresh(jb->cfg, err);
    if (st == AA_OK) st = build(jb, opt, err);
    if (st == AA_OK && !opt->check) st = commit_import(jb, opt, err);
    if (st != AA_OK) return st;
    for (size_t f = 0; f < jb->cfg->field_count; f++) {
        assigner_stats s;
        assigner_stats_get(jb->as, (uint32_t)f, &s);
        printf("field %s: %" PRIu64 " IDs, %" PRIu64 " with a row of their own\n",
               jb->cfg->fields[f].name, s.ids, s.rows_unique);
    }
    if (jb->not_given > 0) printf("%zu IDs got no row: budget_rows is used up\n", jb->not_given);
    printf(opt->check ? "the files fit; nothing was written\n"
                      : "epoch 1 is committed: start the processes\n");
    return AA_OK;
}

/* ---- all together ---- */

static bool
take_label_mean(void *arg, const char *value)
{
    options *opt = arg;
    char    *end;
    opt->label_mean = strtod(value, &end);
    return end != value && *end == '\0' && opt->label_mean >= 0.0 && opt->label_mean <= 1.0;
}

static aa_status
run_import(void *arg, const aa_conf *cfg, aa_tool_args args, aa_err *err)
{
    options *opt = arg;
    job      jb = {.cfg = cfg, .W = aa_row_width((size_t)cfg->model.dim)};
    opt->dir = args.text[0];
    aa_status st = import(&jb, opt, err);
    for (size_t f = 0; f < AA_MAX_FIELDS; f++) {
        aa_table_fini(&jb.table[f]);
        free(jb.reading[f]);
    }
    assigner_free(&jb.as);
    learner_free(&jb.le);
    return st == AA_EPARSE ? AA_ECONFIG : st; /* files that do not fit are a wrong argument */
}

int
main(int argc, char **argv)
{
    options              opt = {.from = "end", .label_mean = 0.5};
    const aa_tool_option own[] = {
        {.name = "from", .text = &opt.from},
        {.name = "label-mean", .refuse = "not from 0 to 1", .take = take_label_mean},
        {.name = "check", .flag = &opt.check}};
    const aa_tool tool = {.name = "import",
                          .usage = usage_text,
                          .options = own,
                          .option_count = sizeof own / sizeof *own,
                          .min_args = 1,
                          .max_args = 1,
                          .args_needed = "one DIR is needed",
                          .run = run_import,
                          .arg = &opt};
    return aa_tool_main(&tool, argc, argv);
}
