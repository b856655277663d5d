/* export - the table that scorers serve, as files: for other programs, and for `import`.
 *
 * Built like a scorer's replica, from the two compacted topics, so it needs nothing but read access
 * to them and disturbs nobody. What the files hold is in tools/table.h.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/agent/mode.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_reader.h"
#include "common/kafka/owners.h"
#include "common/messages/mark.h"
#include "common/model/row.h"
#include "common/service/tool.h"
#include "scorer/replica/names.h"
#include "scorer/replica/replica.h"
#include "tools/npy.h"
#include "tools/table.h"

enum { RECORDS = 1024 };

static const char usage_text[] =
    "export - write the embedding table that scorers serve into files\n"
    "\n"
    "usage: export [option]... DIR\n"
    "  DIR                      where to; it is made\n"
    "  -c FILE                  the pipeline's configuration, for topics, fields and kafka\n"
    "  -o section.key=value     set one key; again and again if need be\n"
    "  --format npy|csv         <field>.ids and <field>.npy (npy), or <field>.csv\n"
    "  --help, --version\n"
    "\n"
    "Each field gets its IDs with the row that the model reads for them (the linear weight last),\n"
    "and the shared rows; dense.npy gets the dense weights, meta.json what they belong to.\n"
    "Exit codes: 0 written, 1 Kafka or disk trouble, 2 usage or configuration, 3 out of memory.\n";

typedef struct {
    const char     *dir;
    aa_table_format format;
} options;

/* The IDs of a field, in the order in which they came. */
typedef struct {
    uint64_t *key;
    size_t    n, cap;
} ids;

/* The text of an ID; the replica's. */
typedef struct {
    uint64_t key;
    aa_text  text;
} named;

typedef struct {
    const aa_conf  *cfg;
    aa_owners       owners; /* other pipelines whose records were met */
    replica        *rp;
    replica_reader *rr;
    bool            pinned;
    ids             field[AA_MAX_FIELDS];
    named          *item; /* (item_count) by key */
    size_t          item_count;
    json_t         *meta;
} job;

/* ---- reading the topics ---- */

static aa_status
note_key(ids *is, uint64_t key, aa_err *err)
{
    if (is->n == is->cap) {
        size_t    cap = is->cap ? 2 * is->cap : 4096;
        uint64_t *grown = realloc(is->key, cap * sizeof *grown);
        if (!grown) return aa_fail(err, AA_ENOMEM, "%zu IDs", cap);
        is->key = grown;
        is->cap = cap;
    }
    is->key[is->n++] = key;
    return AA_OK;
}

static aa_status
apply_one(job *jb, const aa_kafka_record *rec, aa_err *err)
{
    replica_effect effect;
    aa_topic_key   k;
    if (aa_owners_note(&jb->owners, aa_mark_of(jb->cfg->pipeline.name), rec)) return AA_OK;
    aa_status st =
        replica_apply(jb->rp, rec->key, rec->key_len, rec->value, rec->len, &effect, err);
    if (st == AA_EPARSE) {
        aa_warn("RECORD-BAD", "%s", err->text);
        return AA_OK;
    }
    if (st != AA_OK || effect == REPLICA_OTHER_LANE) return st;
    st = aa_topic_key_get(&k, rec->key, rec->key_len, err);
    if (st != AA_OK || k.kind != AA_KEY_ASSIGNMENT || !rec->value) return st;
    return k.field < jb->cfg->field_count ? note_key(&jb->field[k.field], k.id, err) : AA_OK;
}

/* The tables of two pipelines with equal keys: what compaction has left of ours is not a table. */
static aa_status
refuse_others(const job *jb, aa_err *err)
{
    char name[192];
    aa_owners_name(&jb->owners.owner[0], name, sizeof name);
    return aa_fail(err, AA_ECONFIG, "the topics %s and %s hold records of %s, not only of '%s'",
                   jb->cfg->topics.assignments, jb->cfg->topics.model, name,
                   jb->cfg->pipeline.name);
}

static aa_status
read_topics(job *jb, aa_err *err)
{
    const char      *topics[] = {jb->cfg->topics.assignments, jb->cfg->topics.model};
    aa_reader       *rd = NULL;
    aa_kafka_record *rec = calloc(RECORDS, sizeof *rec);
    size_t           count;
    aa_status        st = rec ? AA_OK : aa_fail(err, AA_ENOMEM, "records");
    if (st == AA_OK) st = aa_reader_open(&rd, jb->cfg, topics, 2, err);
    while (st == AA_OK && !aa_reader_caught_up(rd)) {
        st = aa_reader_poll(rd, rec, RECORDS, 100, &count, err);
        for (size_t i = 0; st == AA_OK && i < count; i++)
            st = apply_one(jb, &rec[i], err);
    }
    aa_reader_free(&rd);
    free(rec);
    if (st == AA_OK && jb->owners.count > 0) st = refuse_others(jb, err);
    const char *missing = st == AA_OK ? replica_missing(jb->rp) : NULL;
    return missing ? aa_fail(err, AA_EIO, "nothing to export: %s", missing) : st;
}

/* ---- names: published of items only ---- */

static int
compare_names(const void *a, const void *b)
{
    const uint64_t x = ((const named *)a)->key, y = ((const named *)b)->key;
    return (x > y) - (x < y);
}

static aa_status
take_names(job *jb, aa_err *err)
{
    replica_pin(jb->rr); /* to the end: the texts are the replica's */
    const names_list *nm = replica_items(jb->rr);
    size_t            end = names_end(nm);
    jb->pinned = true;
    jb->item = calloc(end + 1, sizeof *jb->item);
    if (!jb->item) return aa_fail(err, AA_ENOMEM, "%zu names", end);
    for (size_t i = 0; i < end; i++) {
        named *na = &jb->item[jb->item_count];
        if (names_get(nm, i, &na->key, &na->text)) jb->item_count++;
    }
    qsort(jb->item, jb->item_count, sizeof *jb->item, compare_names);
    return AA_OK;
}

/* Text of an ID, empty if it is not known. */
static aa_text
file_name_of(const job *jb, size_t f, uint64_t key)
{
    const named  want = {.key = key};
    const named *na = f == AA_RANKED_FIELD ? bsearch(&want, jb->item, jb->item_count,
                                                     sizeof *jb->item, compare_names)
                                           : NULL;
    return na ? na->text : (aa_text){0};
}

/* ---- writing ---- */

static int
compare_ids(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Where a shared reading stands: slot + mix is (position - 1) * p + place. */
static aa_table_id
place_in_export(const aa_conf *cfg, uint64_t key, const aa_assignment *a,
                const aa_score_reading *rd)
{
    const uint32_t p = aa_lean_bins(cfg);
    const uint32_t slot = a->born > 0 ? a->alt_slot : a->slot;
    const float    mix = a->born > 0 ? a->alt_mix : a->mix;
    aa_table_id    id = {
           .key = key, .own = rd->unique, .position = 1, .place = -1.0f, .signal = a->signal};
    if (slot == AA_NO_SLOT || slot >= aa_shared_rows(cfg)) return id;
    id.position = slot / p + 1;
    id.place = (float)(slot % p) + mix;
    return id;
}

static aa_status
fill_shared(job *jb, size_t f, aa_table *tb, aa_err *err)
{
    const uint32_t shared = aa_shared_rows(jb->cfg);
    if (shared == 0) return AA_OK;
    tb->shared = calloc((size_t)shared * tb->W, sizeof *tb->shared);
    if (!tb->shared) return aa_fail(err, AA_ENOMEM, "%u shared rows", shared);
    tb->shared_count = shared;
    for (uint32_t slot = 0; slot < shared; slot++)
        if (!replica_read_row(jb->rr, f, slot, tb->shared + (size_t)slot * tb->W))
            return aa_fail(err, AA_EIO, "field %s: shared row %u has not been published",
                           jb->cfg->fields[f].name, slot);
    return AA_OK;
}

static aa_status
fill_table(job *jb, size_t f, aa_table *tb, aa_err *err)
{
    ids      *is = &jb->field[f];
    float    *x = calloc(tb->W, sizeof *x);
    uint64_t  before = 0;
    aa_status st = x ? AA_OK : aa_fail(err, AA_ENOMEM, "a row");
    if (is->n > 0) qsort(is->key, is->n, sizeof *is->key, compare_ids);
    for (size_t i = 0; st == AA_OK && i < is->n; i++) {
        aa_assignment    a;
        aa_score_reading rd;
        if (is->key[i] == before) continue; /* it was published again and again */
        before = is->key[i];
        if (!replica_read_id(jb->rr, f, is->key[i], x, &a, &rd)) continue; /* forgotten */
        aa_table_id id = place_in_export(jb->cfg, is->key[i], &a, &rd);
        aa_text     name = file_name_of(jb, f, is->key[i]);
        bool        plain = name.len > 0 && !memchr(name.data, '\0', name.len);
        st = aa_table_add(tb, &id, plain ? name.data : NULL, name.len, x, err);
    }
    free(x);
    return st == AA_OK ? fill_shared(jb, f, tb, err) : st;
}

/* What an ID that is not in the table reads; null if that depends on its key (mode hash). */
static json_t *
unseen_row(job *jb, size_t f, size_t W)
{
    float     *x = calloc(W, sizeof *x);
    const bool read = x && replica_read_unseen(jb->rr, f, x);
    json_t    *row = read ? json_array() : json_null();
    for (size_t i = 0; read && i < W; i++)
        json_array_append_new(row, json_real((double)x[i]));
    free(x);
    return row;
}

static aa_status
write_field(job *jb, const options *opt, size_t f, aa_err *err)
{
    const char *name = jb->cfg->fields[f].name;
    aa_table    tb = {.W = aa_row_width((size_t)jb->cfg->model.dim)};
    size_t      own = 0;
    aa_status   st = fill_table(jb, f, &tb, err);
    if (st == AA_OK) st = aa_table_write(&tb, opt->dir, name, opt->format, err);
    for (size_t i = 0; i < tb.n; i++)
        own += tb.id[i].own;
    if (st == AA_OK)
        printf("field %s: %zu IDs, %zu with a row of their own, %zu shared rows\n", name, tb.n, own,
               tb.shared_count);
    json_t *of_field = json_pack("{s:s,s:I,s:I,s:I,s:o}", "name", name, "ids", (json_int_t)tb.n,
                                 "own", (json_int_t)own, "shared", (json_int_t)tb.shared_count,
                                 "unseen", unseen_row(jb, f, tb.W));
    json_array_append_new(json_object_get(jb->meta, "fields"), of_field);
    aa_table_fini(&tb);
    return st;
}

static aa_status
write_whole(job *jb, const options *opt, aa_err *err)
{
    char          path[1024];
    size_t        count;
    replica_stats rs;
    const float  *w = replica_dense_weights(jb->rp, &count);
    snprintf(path, sizeof path, "%s/dense.npy", opt->dir);
    aa_status st = aa_npy_write(path, w, count, 0, err);
    replica_stats_get(jb->rp, &rs);
    json_object_set_new(jb->meta, "events", json_integer((json_int_t)rs.events));
    json_object_set_new(jb->meta, "version", json_integer((json_int_t)rs.version));
    json_object_set_new(jb->meta, "run_id", json_integer((json_int_t)rs.run_id));
    snprintf(path, sizeof path, "%s/meta.json", opt->dir);
    if (st == AA_OK && json_dump_file(jb->meta, path, JSON_INDENT(2)) != 0)
        st = aa_fail(err, AA_EIO, "%s: cannot be written", path);
    return st;
}

static aa_status export(job *jb, const options *opt, aa_err *err)
{
    const aa_conf *cfg = jb->cfg;
    aa_status      st = replica_new(&jb->rp, cfg, err);
    if (st == AA_OK) st = replica_reader_open(&jb->rr, jb->rp, err);
    if (st == AA_OK && mkdir(opt->dir, 0777) != 0 && errno != EEXIST)
        st = aa_fail(err, AA_EIO, "%s: %s", opt->dir, strerror(errno));
    if (st == AA_OK) st = read_topics(jb, err);
    if (st == AA_OK) st = take_names(jb, err);
    jb->meta = json_pack("{s:i,s:s,s:I,s:s,s:I,s:s,s:s,s:I,s:I,s:b,s:[]}", "format", 1, "pipeline",
                         cfg->pipeline.name, "lane", (json_int_t)cfg->pipeline.lane, "model",
                         aa_model_id_text(cfg->model.kind), "dim", (json_int_t)cfg->model.dim,
                         "hidden", cfg->model.hidden, "mode", aa_agent_mode_text(cfg->agent.mode),
                         "positions", (json_int_t)cfg->agent.positions, "lean_bins",
                         (json_int_t)aa_lean_bins(cfg), "signals", cfg->model.signals, "fields");
    if (st == AA_OK && !jb->meta) st = aa_fail(err, AA_ENOMEM, "meta.json");
    for (size_t f = 0; st == AA_OK && f < cfg->field_count; f++)
        st = write_field(jb, opt, f, err);
    return st == AA_OK ? write_whole(jb, opt, err) : st;
}

/* ---- all together ---- */

static bool
take_format(void *arg, const char *value)
{
    options   *opt = arg;
    const bool csv = strcmp(value, "csv") == 0;
    opt->format = csv ? AA_TABLE_CSV : AA_TABLE_NPY;
    return csv || strcmp(value, "npy") == 0;
}

static aa_status
run_export(void *arg, const aa_conf *cfg, aa_tool_args args, aa_err *err)
{
    options *opt = arg;
    job      jb = {.cfg = cfg};
    opt->dir = args.text[0];
    aa_status st = export(&jb, opt, err);
    free(jb.item);
    if (jb.pinned) replica_unpin(jb.rr);
    replica_reader_close(&jb.rr);
    replica_free(&jb.rp);
    for (size_t f = 0; f < AA_MAX_FIELDS; f++)
        free(jb.field[f].key);
    json_decref(jb.meta);
    return st;
}

int
main(int argc, char **argv)
{
    static const aa_tool_option own[] = {
        {.name = "format", .refuse = "neither npy nor csv", .take = take_format}};
    options       opt = {0};
    const aa_tool tool = {.name = "export",
                          .usage = usage_text,
                          .options = own,
                          .option_count = 1,
                          .min_args = 1,
                          .max_args = 1,
                          .args_needed = "one DIR is needed",
                          .run = run_export,
                          .arg = &opt};
    return aa_tool_main(&tool, argc, argv);
}
