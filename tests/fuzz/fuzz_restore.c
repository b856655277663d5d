/* Restoring: a checkpoint whose digests are right, but whose sections hold anything. Ingest,
 * assigner and learner must refuse it, or be fit to go on.
 *
 * An input names one of a few real checkpoints of a short run, and edits to its sections:
 *   which u8, then per edit: section u8, kind u8, offset u24, value u8, (value bytes)
 * so it stays small, and is the same whatever the build's sections weigh. */
#include "assigner/assigner.h"
#include "common/agent/mode.h"
#include "ingest/resume.h"
#include "learner/learner.h"
#include "tests/checkpoint_repair.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire_samples.h"

enum { EVENTS = 12, BATCHES = 40, LAG = 2 }; /* rewards of the last LAG batches are still to come */
enum { MAX_EDITS = 64, MAX_SECTIONS = 40, ROOM = 64 * 255 };
enum { REPLACE, INSERT, CUT, SPECIAL, NEAR, DROP, KINDS };

typedef struct {
    enum aa_agent_mode mode;
    const char        *process;
    aa_conf            cfg;
    uint8_t           *data; /* (len) the checkpoint's bytes; NULL: not made yet */
    size_t             len;
} origin;

static origin origins[] = {
    {.mode = AA_MODE_DEFAULT, .process = "learner"},
    {.mode = AA_MODE_DEFAULT, .process = "assigner"},
    {.mode = AA_MODE_DEFAULT, .process = "ingest"},
    {.mode = AA_MODE_PAPER, .process = "learner"},
    {.mode = AA_MODE_PAPER, .process = "assigner"},
};
enum { ORIGINS = sizeof origins / sizeof *origins };

typedef struct {
    char     name[AA_CKPT_NAME_BYTES];
    uint8_t *data; /* (len), with room for more; NULL: dropped */
    size_t   len;
} section;

static aa_event_batch    ev;
static aa_assigned_batch as_batch;
static aa_reward_batch   rw[LAG + 1];

static void
must(aa_status st, const aa_err *err)
{
    if (st != AA_OK) fprintf(stderr, "fuzz_restore: %s\n", err->text);
    AA_REQUIRE(st == AA_OK);
}

/* ---- the real checkpoints ---- */

/* Few IDs, so that some are promoted; labels of both kinds. */
static void
make_events(sample_rng *rng, uint64_t seq, size_t fields)
{
    sample_events(&ev, rng, EVENTS, fields);
    ev.hd = (aa_header){.run_id = 1, .seq = seq};
    for (size_t i = 0; i < EVENTS * fields; i++)
        ev.key[i] = 1 + ev.key[i] % 9;
    for (size_t i = 0; i < EVENTS; i++)
        ev.label[i] = (float)(i % 2);
}

static void
save_assigner_or_learner(const origin *og, aa_ckpt_writer *w)
{
    aa_err     err = AA_ERR_INIT;
    assigner  *as = NULL;
    learner   *le = NULL;
    sample_rng rng = {.seed = 7};
    must(assigner_new(&as, &og->cfg, &err), &err);
    must(learner_new(&le, &og->cfg, &err), &err);
    for (uint64_t seq = 1; seq <= BATCHES; seq++) {
        make_events(&rng, seq, og->cfg.field_count);
        must(assigner_step(as, &ev, &as_batch, &err), &err);
        must(learner_step(le, &as_batch, &rw[seq % (LAG + 1)], NULL, &err), &err);
        if (seq > LAG) must(assigner_learn(as, &rw[(seq - LAG) % (LAG + 1)], &err), &err);
    }
    must(strcmp(og->process, "learner") == 0 ? learner_save(le, w, &err)
                                             : assigner_save(as, w, &err),
         &err);
    assigner_free(&as);
    learner_free(&le);
}

/* The bytes of a file, which goes, with its folders as far as they are empty. */
static void
take_file(origin *og)
{
    char   path[1024];
    aa_err err = AA_ERR_INIT;
    must(aa_ckpt_path(path, sizeof path, &og->cfg, og->process, 1, &err), &err);
    FILE *f = fopen(path, "rb");
    AA_REQUIRE(f && fseek(f, 0, SEEK_END) == 0);
    og->len = (size_t)ftell(f);
    og->data = malloc(og->len);
    rewind(f);
    AA_REQUIRE(og->data && fread(og->data, 1, og->len, f) == og->len);
    fclose(f);
    unlink(path);
    for (int up = 0; up < 4; up++) {
        *strrchr(path, '/') = '\0';
        if (rmdir(path) != 0) break;
    }
}

static origin *
origin_of(uint8_t which)
{
    origin         *og = &origins[which % ORIGINS];
    aa_ckpt_writer *w = NULL;
    aa_err          err = AA_ERR_INIT;
    char            folder[64];
    if (og->data) return og;
    aa_conf_defaults(&og->cfg);
    fuzz_folder_make(folder);
    snprintf(og->cfg.checkpoint.dir, sizeof og->cfg.checkpoint.dir, "%s", folder);
    og->cfg.agent.mode = og->mode;
    og->cfg.model.dim = 2;
    og->cfg.hidden[0] = 3;
    og->cfg.hidden_count = 1;
    og->cfg.agent.positions = 2;
    og->cfg.agent.sweep_every = 20;
    if (strcmp(og->process, "ingest") == 0) {
        resume_part part[2] = {{0, 17, 90}, {3, 0, RESUME_NO_END}};
        resume      re = {.epoch = 1, .seq = BATCHES, .events = 480, .part = part, .part_count = 2};
        must(resume_save(&re, &og->cfg, &err), &err);
    } else {
        must(aa_ckpt_create(&w, &og->cfg, og->process, 1, &err), &err);
        save_assigner_or_learner(og, w);
        must(aa_ckpt_commit(&w, 0, &err), &err);
    }
    take_file(og);
    return og;
}

/* ---- edits ---- */

static size_t
take_sections(const origin *og, section list[MAX_SECTIONS])
{
    size_t count = 0, at = sizeof(ckpt_head);
    for (ckpt_section h; at < og->len - sizeof(ckpt_end); count++) {
        AA_REQUIRE(count < MAX_SECTIONS);
        memcpy(&h, og->data + at, sizeof h);
        section *se = &list[count];
        memcpy(se->name, h.name, sizeof se->name);
        se->len = (size_t)h.len_bytes;
        se->data = malloc(se->len + ROOM);
        AA_REQUIRE(se->data);
        memcpy(se->data, og->data + at + sizeof h, se->len);
        at += sizeof h + se->len + ckpt_padding(h.len_bytes) + 8;
    }
    return count;
}

static void
edit_word(section *se, size_t at, uint8_t kind, uint8_t value)
{
    static const uint64_t special[] = {0,         1,          UINT32_MAX, UINT64_MAX,
                                       INT64_MAX, 0x7fc00000, 0x7f800000, 0x8000000000000000u};
    uint64_t              word = 0;
    const size_t          width = value & 0x80 ? 4 : 8;
    at = at / 4 * 4;
    if (at + width > se->len) return;
    memcpy(&word, se->data + at, width);
    word = kind == SPECIAL ? special[value % 8] : word + (value & 0x7f) - 64;
    memcpy(se->data + at, &word, width);
}

/* One edit off the front of the input. */
static void
edit(section *list, size_t count, fuzz_bytes *in)
{
    section      *se = &list[fuzz_byte(in) % count];
    const uint8_t kind = fuzz_byte(in) % KINDS;
    size_t        at = fuzz_byte(in), n;
    at |= (size_t)fuzz_byte(in) << 8;
    at |= (size_t)fuzz_byte(in) << 16;
    const uint8_t  value = fuzz_byte(in);
    const uint8_t *bytes = fuzz_take(in, kind == REPLACE || kind == INSERT ? value : 0, &n);
    if (!se->data) return;
    at %= se->len + 1;
    switch (kind) {
    case INSERT:
        memmove(se->data + at + n, se->data + at, se->len - at);
        se->len += n; /* at most MAX_EDITS times 255 */
        if (n > 0) memcpy(se->data + at, bytes, n);
        break;
    case REPLACE:
        if (n > se->len - at) n = se->len - at;
        if (n > 0) memcpy(se->data + at, bytes, n);
        break;
    case CUT:
        n = value < se->len - at ? value : se->len - at;
        memmove(se->data + at, se->data + at + n, se->len - at - n);
        se->len -= n;
        break;
    case DROP:
        free(se->data);
        se->data = NULL;
        break;
    default: edit_word(se, at, kind, value); break;
    }
}

/* A whole file of the sections, digests right. *len: its bytes. */
static uint8_t *
put_together(const origin *og, const section *list, size_t count, size_t *len)
{
    ckpt_end end = {.section_count = 0};
    size_t   bytes = sizeof(ckpt_head) + sizeof end, at = sizeof(ckpt_head);
    for (size_t i = 0; i < count; i++)
        bytes += sizeof(ckpt_section) + list[i].len + ckpt_padding(list[i].len) + 8;
    uint8_t *file = aligned_alloc(64, bytes);
    AA_REQUIRE(file);
    memset(file, 0, bytes);
    memcpy(file, og->data, sizeof(ckpt_head));
    for (size_t i = 0; i < count; i++) {
        ckpt_section h = {.len_bytes = list[i].len, .index = end.section_count};
        if (!list[i].data) continue;
        memcpy(h.name, list[i].name, sizeof h.name);
        memcpy(file + at, &h, sizeof h);
        memcpy(file + at + sizeof h, list[i].data, list[i].len);
        at += sizeof h + list[i].len + ckpt_padding(list[i].len) + 8;
        end.section_count++;
    }
    end.file_bytes = *len = at + sizeof end;
    memcpy(file + at, &end, sizeof end);
    repair_checkpoint(file, *len);
    return file;
}

/* ---- what must refuse it, or go on ---- */

static void
try_assigner(const aa_conf *cfg, aa_ckpt_reader *r)
{
    static assigner_change changes[256];
    aa_err                 err = AA_ERR_INIT;
    size_t                 count = 0;
    assigner              *as = NULL;
    must(assigner_new(&as, cfg, &err), &err);
    if (assigner_restore(as, r, &err) != AA_OK) goto out; /* must not be used then */
    (void)!assigner_changes(as, true, changes, 256, &count, &err);
    sample_rng rng = {.seed = assigner_digest(as)};
    sample_events(&ev, &rng, EVENTS, cfg->field_count);
    ev.hd = (aa_header){.run_id = 2, .seq = assigner_next_batch(as)};
    if (assigner_next_reward(as) + (uint64_t)cfg->pipeline.depth > ev.hd.seq)
        (void)!assigner_step(as, &ev, &as_batch, &err);
out:
    assigner_free(&as);
}

static void
try_learner(const aa_conf *cfg, aa_ckpt_reader *r)
{
    static learner_change changes[256];
    aa_err                err = AA_ERR_INIT;
    size_t                count = 0;
    learner              *le = NULL;
    must(learner_new(&le, cfg, &err), &err);
    const uint64_t before = learner_digest(le);
    if (learner_restore(le, r, &err) != AA_OK) {
        AA_REQUIRE(learner_digest(le) == before);
        goto out;
    }
    (void)!learner_changes(le, true, changes, 256, &count, &err);
    sample_rng rng = {.seed = learner_digest(le)};
    sample_assigned(&as_batch, &rng, EVENTS, cfg->field_count, true);
    as_batch.hd = (aa_header){.run_id = 2, .seq = learner_next_batch(le)};
    for (size_t i = 0; i < EVENTS * cfg->field_count; i++) {
        as_batch.slot[i] %= 12; /* shared ones, and some of its own */
        const bool own = as_batch.slot[i] >= aa_shared_rows(cfg);
        as_batch.alt_slot[i] = own ? as_batch.slot[i] % aa_shared_rows(cfg) : AA_NO_SLOT;
        as_batch.mix[i] = as_batch.alt_mix[i] = 0.0f;
        as_batch.signal[i] = i & AA_SIGNAL_CODE;
        as_batch.state[i] = as_batch.next_state[i] = (uint32_t)(i % 40);
    }
    for (size_t i = 0; i < EVENTS; i++)
        as_batch.label[i] = (float)(i % 2);
    as_batch.op_count = as_batch.sweep_count = 0;
    (void)!learner_step(le, &as_batch, &rw[0], NULL, &err);
    (void)learner_rewards(le, as_batch.hd.seq);
out:
    learner_free(&le);
}

static void
try_ingest(aa_ckpt_reader *r)
{
    resume          re = {0};
    aa_err          err = AA_ERR_INIT;
    aa_kafka_offset committed[2] = {
        {.partition = 0, .offset = 5, .metadata = "epoch=1 seq=40 lane=0"},
        {.partition = 1, .offset = AA_KAFKA_NO_OFFSET}};
    const aa_status st = resume_restore(&re, r, &err);
    AA_REQUIRE(st == AA_OK || (st == AA_EPARSE && err.text[0]));
    if (st == AA_OK) must(resume_merge(&re, committed, 2, 0, true, &err), &err);
    resume_fini(&re);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes      in = {data, size};
    const origin   *og = origin_of(fuzz_byte(&in));
    section         list[MAX_SECTIONS];
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    size_t          len;
    const size_t    count = take_sections(og, list);
    for (size_t i = 0; i < MAX_EDITS && in.left > 0; i++)
        edit(list, count, &in);
    uint8_t *file = put_together(og, list, count, &len);
    must(aa_ckpt_open_bytes(&r, file, len, &err), &err);
    if (strcmp(og->process, "ingest") == 0)
        try_ingest(r);
    else if (strcmp(og->process, "learner") == 0)
        try_learner(&og->cfg, r);
    else
        try_assigner(&og->cfg, r);
    aa_ckpt_close(&r);
    free(file);
    for (size_t i = 0; i < count; i++)
        free(list[i].data);
    return 0;
}

/* Now and then one edit more: a word of a section becomes a special value or one near it. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    sample_rng rng = {.seed = seed};
    if (size > 1 && sample_below(&rng, 3)) return LLVMFuzzerMutate(data, size, max_size);
    if (size < 1 || sample_below(&rng, 8) == 0) {
        data[0] = (uint8_t)sample_below(&rng, ORIGINS);
        size = 1;
    }
    const uint32_t at = sample_below(&rng, 1u << (3 + sample_below(&rng, 14)));
    const uint8_t  one[6] = {(uint8_t)sample_below(&rng, 16),
                             (uint8_t)(sample_below(&rng, 6) ? SPECIAL + sample_below(&rng, 2)
                                                             : sample_below(&rng, KINDS)),
                             (uint8_t)at,
                             (uint8_t)(at >> 8),
                             (uint8_t)(at >> 16),
                             (uint8_t)sample_bits(&rng)};
    if (size + sizeof one > max_size) return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data + size, one, sizeof one);
    return size + sizeof one;
}
