#include "ingest/startpoint.h"

#include <errno.h>
#include <inttypes.h>
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
    bool             at_end, replay = strcmp(cfg->ingest.run, "replay") == 0;
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

aa_status
startpoint_commit(const resume *re, const aa_conf *cfg, aa_err *err)
{
    aa_consumer     *cs = NULL;
    aa_kafka_offset *po = calloc(re->part_count + 1, sizeof *po);
    aa_status        st = AA_OK;

    if (!po) return aa_fail(err, AA_ENOMEM, "%zu partitions", re->part_count);
    for (size_t i = 0; i < re->part_count; i++) {
        po[i].partition = re->part[i].partition;
        po[i].offset = re->part[i].position;
        resume_metadata(po[i].metadata, re->epoch, re->seq, cfg->pipeline.lane);
    }
    st = aa_consumer_open(&cs, cfg, cfg->topics.interactions, false, err);
    if (st == AA_OK) st = aa_consumer_commit(cs, po, re->part_count, err);
    aa_consumer_free(&cs);
    free(po);
    return st;
}
