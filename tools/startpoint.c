#include "tools/startpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A member of no group that may commit for it, and room for all partitions. */
static aa_status
open_all(aa_consumer **cs, aa_kafka_offset **po, size_t *n, const aa_conf *cfg, aa_err *err)
{
    aa_status st = aa_consumer_open(cs, cfg, cfg->topics.interactions, false, err);
    if (st != AA_OK) return st;
    *n = aa_consumer_partition_count(*cs);
    *po = calloc(*n + 1, sizeof **po);
    if (!*po) return aa_fail(err, AA_ENOMEM, "%zu partitions", *n);
    for (size_t i = 0; i < *n; i++)
        (*po)[i].partition = (int32_t)i;
    return AA_OK;
}

static aa_status
parse_from(const char *from, bool *end, int64_t *time_ms, aa_err *err)
{
    char *rest = NULL;
    *end = strcmp(from, "end") == 0;
    *time_ms = -1;
    if (*end || strcmp(from, "beginning") == 0) return AA_OK;
    errno = 0;
    if (strncmp(from, "time:", 5) == 0) *time_ms = strtoll(from + 5, &rest, 10);
    if (rest && rest != from + 5 && *rest == '\0' && errno == 0 && *time_ms >= 0) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "\"%s\" is none of beginning, end, time:MS", from);
}

aa_status
startpoint_find(resume *re, const aa_conf *cfg, const char *from, aa_err *err)
{
    bool             at_end, replay = cfg->ingest.run == AA_RUN_REPLAY;
    int64_t          time_ms;
    aa_consumer     *cs = NULL;
    aa_kafka_offset *po = NULL;
    size_t           n = 0;
    aa_status        st = parse_from(from, &at_end, &time_ms, err);

    if (st == AA_OK) st = open_all(&cs, &po, &n, cfg, err);
    if (st == AA_OK) st = resume_reserve(re, n, err);
    if (st == AA_OK && time_ms >= 0) st = aa_consumer_offsets_at(cs, time_ms, po, n, err);
    for (size_t i = 0; st == AA_OK && i < n; i++) {
        int64_t low = 0, high = 0;
        st = aa_consumer_watermarks(cs, (int32_t)i, &low, &high, err);
        re->part[i] = (resume_part){.partition = (int32_t)i,
                                    .position = time_ms >= 0 ? po[i].offset
                                                : at_end     ? high
                                                             : low,
                                    .end = replay ? high : RESUME_NO_END};
    }
    free(po);
    aa_consumer_free(&cs);
    return st;
}

aa_status
startpoint_committed(const aa_conf *cfg, uint64_t *epoch, uint64_t *seq, aa_err *err)
{
    aa_consumer     *cs = NULL;
    aa_kafka_offset *po = NULL;
    size_t           n = 0;
    aa_status        st = open_all(&cs, &po, &n, cfg, err);

    if (st == AA_OK) st = aa_consumer_committed(cs, po, n, err);
    if (st == AA_OK) *epoch = resume_epoch(po, n, cfg->pipeline.lane, seq);
    free(po);
    aa_consumer_free(&cs);
    return st;
}

/* What the commit of a partition is to become: the checkpoint's, or, when the checkpoint does not
 * have it, its own without this lane's later epochs, which would otherwise be the newest. */
static aa_status
new_commit(aa_kafka_offset *po, const resume_part *part, const resume *re, const aa_conf *cfg,
           bool *changed, aa_err *err)
{
    char before[AA_KAFKA_METADATA];
    snprintf(before, sizeof before, "%s", po->metadata);
    *changed = true;
    if (part) {
        po->offset = part->position;
        return resume_metadata(po->metadata, re->epoch, re->seq, cfg->pipeline.lane, re->run,
                               before, err);
    }
    *changed = resume_metadata_without(po->metadata, cfg->pipeline.lane, before);
    return AA_OK;
}

aa_status
startpoint_commit(const resume *re, const aa_conf *cfg, aa_err *err)
{
    aa_consumer     *cs = NULL;
    aa_kafka_offset *po = NULL;
    size_t           n = 0, count = 0;
    aa_status        st = open_all(&cs, &po, &n, cfg, err);

    if (st == AA_OK) st = aa_consumer_committed(cs, po, n, err);
    for (size_t i = 0, at = 0; st == AA_OK && i < n; i++) {
        while (at < re->part_count && re->part[at].partition < po[i].partition)
            at++;
        const bool in = at < re->part_count && re->part[at].partition == po[i].partition;
        bool       changed = false;
        st = new_commit(&po[i], in ? &re->part[at] : NULL, re, cfg, &changed, err);
        if (changed) po[count++] = po[i];
    }
    if (st == AA_OK) st = aa_consumer_commit(cs, po, count, err);
    aa_consumer_free(&cs);
    free(po);
    return st;
}
