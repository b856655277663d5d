/* ingest/resume - where the stream continues: the last commit, and ingest's own checkpoint of it.
 *
 * The commit in Kafka is the only commit point. Its metadata, "epoch=E seq=N lane=L run=R", names
 * the epoch that the state was written under; the checkpoint of that epoch holds what Kafka has no
 * room for: where a replay ends, and the running counts.
 *
 * Lanes of one group share the partitions, and a rebalance moves them: a lane that gets a partition
 * continues from its commit, whichever lane made that. So every event is in the state of exactly
 * one lane.
 */
#ifndef AA_INGEST_RESUME_H
#define AA_INGEST_RESUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/kafka/kafka_consumer.h"
#include "common/state/checkpoint.h"

#define RESUME_NO_END INT64_MAX

typedef struct {
    int32_t partition;
    int64_t position; /* offset of the next event */
    int64_t end;      /* replay: offset at which the partition ends; RESUME_NO_END otherwise */
} resume_part;

typedef struct {
    uint64_t     epoch, seq; /* 0, 0: fresh */
    uint64_t     events, letters, batches;
    uint64_t     digest;
    uint64_t     run;   /* newest run id known of: that of the next run is greater; 0: none */
    bool         final; /* the replay has reached its end */
    resume_part *part;  /* (part_count) owned, ascending partitions */
    size_t       part_count;
    uint64_t     last_epoch;  /* of the last commit: epochs to come are above it; not saved */
    uint64_t     base_epoch;  /* what a crash before this one's commit goes back to; not saved */
    bool         commit_soon; /* a partition begins at its end, or behind a gap: until that is
                                 committed only this process knows where; not saved */
} resume;

void resume_fini(resume *re);
/** Room for n partitions; part_count = n. @errors AA_ENOMEM */
aa_status resume_reserve(resume *re, size_t n, aa_err *err) __attribute__((warn_unused_result));
aa_status resume_copy(resume *to, const resume *from, aa_err *err)
    __attribute__((warn_unused_result));

/**
 * What goes into a commit's metadata: "epoch=E seq=N lane=L run=R", then, behind ";", the last such
 * tag of every other lane that has ever committed this partition: a lane that comes back finds its
 * epoch, whichever lane has its partitions now. A tag without " run=R" is of an older program. R is
 * run, or what this lane had before if that is greater: it never falls.
 * @param before  the metadata that this commit replaces
 * @errors AA_EPARSE the tags of so many lanes do not fit
 */
aa_status resume_metadata(char out[AA_KAFKA_METADATA], uint64_t epoch, uint64_t seq, int64_t lane,
                          uint64_t run, const char *before, aa_err *err)
    __attribute__((warn_unused_result));
/** The same without a tag of this lane: it has never been here. @return false: there was none */
bool resume_metadata_without(char out[AA_KAFKA_METADATA], int64_t lane, const char *before);
/** Who committed this? @return false: not this lane */
bool resume_parse(const char *metadata, int64_t lane, uint64_t *epoch, uint64_t *seq);
/** The lane's newest epoch among the commits of all partitions; 0 if there is none. */
uint64_t resume_epoch(const aa_kafka_offset *committed, size_t n, int64_t lane, uint64_t *seq);
/** The lane's newest run among the same; 0: none is named. */
uint64_t resume_newest_run(const aa_kafka_offset *committed, size_t n, int64_t lane);

/** The checkpoint of re->epoch. @errors AA_EIO, AA_ENOMEM */
aa_status resume_save(const resume *re, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** The checkpoint of that epoch is of a newer run: another ingest of this pipeline and lane has
 *  taken over while this one stood still. */
bool resume_overtaken(const aa_conf *cfg, uint64_t epoch, uint64_t run);
/** @errors AA_EPARSE its sections make no sense; AA_ENOMEM */
aa_status resume_restore(resume *re, aa_ckpt_reader *r, aa_err *err)
    __attribute__((warn_unused_result));
/** The same from the epoch's file. @errors also AA_EIO none there; AA_EPARSE damaged */
aa_status resume_load(resume *re, const aa_conf *cfg, uint64_t epoch, aa_err *err)
    __attribute__((warn_unused_result));

/**
 * The newest checkpoint that can be used: of the committed epoch or, when that one is damaged or
 * missing, the one before. checkpoint.on_damage may rule that out, or allow a fresh re (epoch 0)
 * when there is none. What is refused, and what is used instead, is logged.
 * @param epoch, seq  of the last commit; seq may be NULL: not known
 * @param bad         an epoch that another process cannot use, nor any above it; 0: none
 * @errors AA_EPARSE none can be used; AA_ECONFIG one is somebody else's; AA_EIO; AA_ENOMEM
 */
aa_status resume_find(resume *re, const aa_conf *cfg, uint64_t epoch, const uint64_t *seq,
                      uint64_t bad, aa_err *err) __attribute__((warn_unused_result));

/**
 * From the loaded checkpoint (or a fresh re) and the group's commits to where each partition
 * begins, partition by partition:
 *   commit of this epoch                        it counts (somebody may have moved it on purpose)
 *   commit of another epoch, in the checkpoint  the checkpoint counts: this epoch is gone back to,
 *                                               or the commit was only in part written
 *   commit of a later epoch, not in it          none counts: the partition is newer than the state
 *   other commit (another lane's, or by hand)   it counts
 *   no commit                                   AA_KAFKA_NO_OFFSET, the caller decides
 * @param committed  (n) ascending partitions; these are the ones to read
 * @param ends       replay: only partitions of the checkpoint go on, others have nothing to come
 */
aa_status resume_merge(resume *re, const aa_kafka_offset *committed, size_t n, int64_t lane,
                       bool ends, aa_err *err) __attribute__((warn_unused_result));

#endif
