#include "ingest/resume.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

void
resume_fini(resume *re)
{
    free(re->part);
    *re = (resume){0};
}

aa_status
resume_reserve(resume *re, size_t n, aa_err *err)
{
    resume_part *part = realloc(re->part, (n + 1) * sizeof *part);
    if (!part) return aa_fail(err, AA_ENOMEM, "%zu partitions", n);
    re->part = part;
    re->part_count = n;
    return AA_OK;
}

aa_status
resume_copy(resume *to, const resume *from, aa_err *err)
{
    aa_status    st = resume_reserve(to, from->part_count, err);
    resume_part *part = to->part;
    if (st != AA_OK) return st;
    if (from->part_count > 0) memcpy(part, from->part, from->part_count * sizeof *part);
    *to = *from;
    to->part = part;
    return AA_OK;
}

/* ---- tags of commits ---- */

typedef struct {
    uint64_t epoch, seq, lane, run;
} tag;

/* "name=123" and what follows; false if the text does not go on like that */
static bool
take_number(const char **text, const char *name, uint64_t *value)
{
    size_t len = strlen(name);
    char  *end;
    if (strncmp(*text, name, len) != 0 || (*text)[len] < '0' || (*text)[len] > '9') return false;
    *value = strtoull(*text + len, &end, 10);
    *text = end;
    return true;
}

/* The tag at *text, and past the ";" behind it; false: nothing, or none of ours. */
static bool
take_tag(const char **text, tag *tg)
{
    if (!take_number(text, "epoch=", &tg->epoch) || !take_number(text, " seq=", &tg->seq))
        return false;
    if (!take_number(text, " lane=", &tg->lane) || tg->epoch == 0) return false;
    tg->run = 0;
    (void)take_number(text, " run=", &tg->run); /* not in a commit of an older program */
    if (**text == ';') return *++*text != '\0';
    return **text == '\0';
}

/* Add a tag to out (len); false: it does not fit. */
static bool
put_tag(char out[AA_KAFKA_METADATA], size_t *len, const tag *tg)
{
    char   run[32] = "";
    size_t room = AA_KAFKA_METADATA - *len;
    if (tg->run > 0) snprintf(run, sizeof run, " run=%" PRIu64, tg->run);
    int n = snprintf(out + *len, room, "%sepoch=%" PRIu64 " seq=%" PRIu64 " lane=%" PRIu64 "%s",
                     *len > 0 ? ";" : "", tg->epoch, tg->seq, tg->lane, run);
    if (n < 0 || (size_t)n >= room) return false;
    *len += (size_t)n;
    return true;
}

/* All tags of `before` but the lane's; *found: it had one. */
static bool
put_others(char out[AA_KAFKA_METADATA], size_t *len, int64_t lane, const char *before, bool *found)
{
    tag tg;
    *found = false;
    while (*before && take_tag(&before, &tg)) {
        if (tg.lane == (uint64_t)lane)
            *found = true;
        else if (!put_tag(out, len, &tg))
            return false;
    }
    return true;
}

/* The newest run that the lane's tags name; 0: none. */
static uint64_t
newest_run(const char *metadata, int64_t lane)
{
    uint64_t newest = 0;
    tag      tg;
    while (*metadata && take_tag(&metadata, &tg))
        if (tg.lane == (uint64_t)lane && tg.run > newest) newest = tg.run;
    return newest;
}

aa_status
resume_metadata(char out[AA_KAFKA_METADATA], uint64_t epoch, uint64_t seq, int64_t lane,
                uint64_t run, const char *before, aa_err *err)
{
    const uint64_t known = newest_run(before, lane);
    const tag      own = {epoch, seq, (uint64_t)lane, run > known ? run : known};
    size_t         len = 0;
    bool           found;
    if (put_tag(out, &len, &own) && put_others(out, &len, lane, before, &found)) return AA_OK;
    return aa_fail(err, AA_EPARSE, "commit: the tags of so many lanes do not fit into %d bytes",
                   AA_KAFKA_METADATA);
}

bool
resume_metadata_without(char out[AA_KAFKA_METADATA], int64_t lane, const char *before)
{
    size_t len = 0;
    bool   found, fit;
    out[0] = '\0';
    fit = put_others(out, &len, lane, before, &found);
    return fit && found;
}

bool
resume_parse(const char *metadata, int64_t lane, uint64_t *epoch, uint64_t *seq)
{
    tag first;
    if (!take_tag(&metadata, &first) || first.lane != (uint64_t)lane) return false;
    *epoch = first.epoch;
    *seq = first.seq;
    return true;
}

uint64_t
resume_epoch(const aa_kafka_offset *committed, size_t n, int64_t lane, uint64_t *seq)
{
    uint64_t newest = 0;
    *seq = 0;
    for (size_t i = 0; i < n; i++) {
        const char *at = committed[i].metadata;
        tag         tg;
        while (*at && take_tag(&at, &tg)) {
            if (tg.lane != (uint64_t)lane || tg.epoch <= newest) continue;
            newest = tg.epoch;
            *seq = tg.seq;
        }
    }
    return newest;
}

uint64_t
resume_newest_run(const aa_kafka_offset *committed, size_t n, int64_t lane)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t run = newest_run(committed[i].metadata, lane);
        if (run > newest) newest = run;
    }
    return newest;
}

/* ---- the checkpoint ---- */

/* Fixed widths, as they are in memory: a checkpoint stays on its machine. */
typedef struct {
    uint64_t seq, events, letters, batches, digest, final;
    uint64_t run; /* not in those of older programs */
} saved_figures;
typedef struct {
    int64_t partition, position, end;
} saved_part;
enum { OLD_FIGURES = offsetof(saved_figures, run) };

/* For `inspect`: where every partition stands. */
static aa_status
save_about(const resume *re, aa_ckpt_writer *w, aa_err *err)
{
    char  *text = NULL;
    size_t len = 0;
    FILE  *out = open_memstream(&text, &len);
    if (!out) return aa_fail(err, AA_ENOMEM, "checkpoint");
    fprintf(out, "batch %" PRIu64 "\nevents %" PRIu64 "\ndead_letters %" PRIu64 "\n", re->seq,
            re->events, re->letters);
    fprintf(out, "digest %016" PRIx64 "\nfinal %s\n", re->digest, re->final ? "yes" : "no");
    if (re->run > 0) fprintf(out, "run %" PRIu64 "\n", re->run);
    for (size_t i = 0; i < re->part_count; i++) {
        const resume_part *part = &re->part[i];
        fprintf(out, "partition %" PRId32 " next offset %" PRId64, part->partition, part->position);
        if (part->end != RESUME_NO_END) fprintf(out, " of %" PRId64, part->end);
        fputc('\n', out);
    }
    const bool      whole = fclose(out) == 0;
    const aa_status st =
        whole ? aa_ckpt_about(w, text, err) : aa_fail(err, AA_ENOMEM, "checkpoint");
    free(text);
    return st;
}

aa_status
resume_save(const resume *re, const aa_conf *cfg, aa_err *err)
{
    aa_ckpt_writer *w = NULL;
    saved_figures   figures = {re->seq,    re->events, re->letters, re->batches,
                               re->digest, re->final,  re->run};
    saved_part     *part = calloc(re->part_count + 1, sizeof *part);

    if (!part) return aa_fail(err, AA_ENOMEM, "checkpoint");
    for (size_t i = 0; i < re->part_count; i++)
        part[i] = (saved_part){re->part[i].partition, re->part[i].position, re->part[i].end};
    aa_status st = aa_ckpt_create(&w, cfg, "ingest", re->epoch, err);
    if (st != AA_OK) goto out;
    st = aa_ckpt_section(w, "figures", &figures, sizeof figures, err);
    if (st != AA_OK) goto out;
    st = aa_ckpt_section(w, "partitions", part, re->part_count * sizeof *part, err);
    if (st != AA_OK) goto out;
    st = save_about(re, w, err);
    if (st != AA_OK) goto out;
    st = aa_ckpt_commit(&w, re->base_epoch, err);
out:
    aa_ckpt_abort(&w);
    free(part);
    return st;
}

static aa_status
take_parts(resume *re, const void *data, size_t len, aa_err *err)
{
    size_t    n = len / sizeof(saved_part);
    aa_status st = resume_reserve(re, n, err);
    if (st != AA_OK) return st;
    for (size_t i = 0; i < n; i++) {
        saved_part sp;
        memcpy(&sp, (const char *)data + i * sizeof sp, sizeof sp);
        if (sp.partition < 0 || sp.partition > INT32_MAX || sp.position < 0 || sp.end < 0 ||
            (i > 0 && sp.partition <= re->part[i - 1].partition))
            return aa_fail(err, AA_EPARSE, "checkpoint of ingest: partition %zu makes no sense", i);
        re->part[i] = (resume_part){(int32_t)sp.partition, sp.position, sp.end};
    }
    return AA_OK;
}

aa_status
resume_restore(resume *re, aa_ckpt_reader *r, aa_err *err)
{
    const void   *data = NULL;
    size_t        len = 0;
    saved_figures figures = {0};
    aa_ckpt_info  info;
    aa_status     st = aa_ckpt_get(r, "figures", &data, &len, err);
    if (st != AA_OK) return st;
    aa_ckpt_info_get(r, &info);
    if (len != sizeof figures && len != OLD_FIGURES)
        return aa_fail(err, AA_EPARSE,
                       "checkpoint of ingest, epoch %" PRIu64 ": figures of %zu bytes", info.epoch,
                       len);
    memcpy(&figures, data, len);
    st = aa_ckpt_get(r, "partitions", &data, &len, err);
    if (st == AA_OK) st = take_parts(re, data, len, err);
    if (st != AA_OK) return st;
    re->epoch = info.epoch;
    re->seq = figures.seq;
    re->events = figures.events;
    re->letters = figures.letters;
    re->batches = figures.batches;
    re->digest = figures.digest;
    re->final = figures.final != 0;
    re->run = figures.run;
    return AA_OK;
}

aa_status
resume_load(resume *re, const aa_conf *cfg, uint64_t epoch, aa_err *err)
{
    aa_ckpt_reader *r = NULL;
    aa_status       st = aa_ckpt_open(&r, cfg, "ingest", epoch, err);
    if (st == AA_OK) st = resume_restore(re, r, err);
    aa_ckpt_close(&r);
    return st;
}

bool
resume_overtaken(const aa_conf *cfg, uint64_t epoch, uint64_t run)
{
    aa_err     none = AA_ERR_INIT;
    resume     re = {0};
    const bool newer = resume_load(&re, cfg, epoch, &none) == AA_OK && re.run > run;
    resume_fini(&re);
    return newer;
}

/* One checkpoint, and whether it is of the commit that names it. */
static aa_status
try_epoch(resume *re, const aa_conf *cfg, uint64_t epoch, const uint64_t *seq, aa_err *err)
{
    aa_status st = resume_load(re, cfg, epoch, err);
    if (st != AA_OK || !seq || re->seq == *seq) return st;
    return aa_fail(err, AA_EPARSE,
                   "ingest's checkpoint of epoch %" PRIu64 " ends with batch %" PRIu64
                   ", its commit with %" PRIu64,
                   epoch, re->seq, *seq);
}

/* The newest of the epochs (ascending) below `epoch` and `bad` that can be read. */
static aa_status
find_before(resume *re, const aa_conf *cfg, uint64_t epoch, const uint64_t *epochs, size_t count,
            aa_err *err)
{
    while (count > 0) {
        aa_err    why = AA_ERR_INIT;
        aa_status st;
        if (epochs[--count] >= epoch) continue;
        st = try_epoch(re, cfg, epochs[count], NULL, &why);
        if (st == AA_OK) return st;
        if (st != AA_EPARSE && st != AA_EIO) return aa_fail(err, st, "%s", why.text);
        aa_error("CHECKPOINT-REFUSED", "%s", why.text);
    }
    return aa_fail(err, AA_EPARSE,
                   "no checkpoint before epoch %" PRIu64 " can be used: is checkpoint.dir (%.48s) "
                   "right, and mounted? Else another pipeline.name or "
                   "checkpoint.on_damage=fresh begins from the stream's beginning",
                   epoch, cfg->checkpoint.dir);
}

aa_status
resume_find(resume *re, const aa_conf *cfg, uint64_t epoch, const uint64_t *seq, uint64_t bad,
            aa_err *err)
{
    uint64_t *epochs = NULL;
    size_t    count = 0;
    aa_err    why = AA_ERR_INIT;
    aa_status st = AA_EPARSE;

    if (bad == 0 || bad > epoch) {
        st = try_epoch(re, cfg, epoch, seq, &why);
        if (st == AA_OK) goto out;
        if (st != AA_EPARSE && st != AA_EIO) {
            st = aa_fail(err, st, "%s", why.text);
            goto out;
        }
        aa_error("CHECKPOINT-REFUSED", "%s", why.text);
        bad = epoch;
    }
    if (cfg->checkpoint.on_damage == AA_ON_DAMAGE_FAIL) {
        st = aa_fail(err, AA_EPARSE,
                     "the checkpoint of epoch %" PRIu64 " cannot be used, and "
                     "checkpoint.on_damage=fail forbids to go back to the one before",
                     bad);
        goto out;
    }
    st = aa_ckpt_list(cfg, "ingest", &epochs, &count, err);
    if (st == AA_OK) st = find_before(re, cfg, bad, epochs, count, err);
    if (st == AA_OK) {
        aa_warn("CHECKPOINT-FALLBACK",
                "the last commit is of epoch %" PRIu64 ", which cannot be used: going back to "
                "epoch %" PRIu64 "; what came after it is read and learned from again",
                epoch, re->epoch);
    } else if (st == AA_EPARSE && cfg->checkpoint.on_damage == AA_ON_DAMAGE_FRESH) {
        aa_warn("CHECKPOINT-FALLBACK", "%s: all learned state is given up", err->text);
        resume_fini(re);
        st = AA_OK;
    }
out:
    if (st == AA_OK) re->last_epoch = epoch;
    free(epochs);
    return st;
}

static const resume_part *
find_part(const resume *re, int32_t partition)
{
    for (size_t i = 0; i < re->part_count; i++)
        if (re->part[i].partition == partition) return &re->part[i];
    return NULL;
}

aa_status
resume_merge(resume *re, const aa_kafka_offset *committed, size_t n, int64_t lane, bool ends,
             aa_err *err)
{
    resume    merged = {0};
    bool      replayed = false; /* the checkpoint is a replay's */
    aa_status st = resume_reserve(&merged, n, err);

    if (st != AA_OK) return st;
    AA_REQUIRE(merged.part);
    for (size_t i = 0; i < re->part_count; i++)
        if (re->part[i].end != RESUME_NO_END) replayed = true;
    for (size_t i = 0; i < n; i++) {
        const resume_part *saved = find_part(re, committed[i].partition);
        resume_part       *part = &merged.part[i];
        uint64_t           epoch = 0, seq = 0;
        bool               ours = resume_parse(committed[i].metadata, lane, &epoch, &seq);

        *part = (resume_part){committed[i].partition, committed[i].offset, RESUME_NO_END};
        if (saved && (committed[i].offset == AA_KAFKA_NO_OFFSET || (ours && epoch != re->epoch)))
            part->position = saved->position;
        else if (ours && epoch > re->epoch)
            part->position = AA_KAFKA_NO_OFFSET;
        if (ends && saved) part->end = saved->end;
        if (ends && !saved && replayed) part->end = part->position = 0; /* came later */
    }
    free(re->part);
    re->part = merged.part;
    re->part_count = n;
    return AA_OK;
}
