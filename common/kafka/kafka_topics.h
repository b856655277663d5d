/* common/kafka/kafka_topics - topics: making them, what is known of them, and what this client
 * may do with them. */
#ifndef AA_COMMON_KAFKA_KAFKA_TOPICS_H
#define AA_COMMON_KAFKA_KAFKA_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

/** Create the topic unless it exists. compacted: cleanup.policy=compact. partitions <= 0: broker's
 * default. */
aa_status aa_topic_ensure(const aa_conf *cfg, const char *topic, int partitions, bool compacted,
                          aa_err *err) __attribute__((warn_unused_result));
/** The same with topic settings as pairs: {"retention.ms", "-1", ...}; they are not applied to a
 * topic that is there already. @param existing  partitions it has had before, 0: it was made (may
 * be NULL) */
aa_status aa_topic_create(const aa_conf *cfg, const char *topic, int partitions,
                          const char *const *settings, size_t setting_count, int *existing,
                          aa_err *err) __attribute__((warn_unused_result));

typedef struct {
    const char        *name;
    int                partitions, replication; /* <= 0: the broker's default */
    const char *const *settings;                /* as for aa_topic_create; may be NULL */
    size_t             setting_count;
} aa_topic_spec;
/** As aa_topic_create. */
aa_status aa_topic_make(const aa_conf *cfg, const aa_topic_spec *sp, int *existing, aa_err *err)
    __attribute__((warn_unused_result));
/** Settings of a compacted topic: what processes and tools make them with. */
extern const char *const aa_topic_compacted[];
extern const size_t      aa_topic_compacted_count;

/* Settings of the model's topic: compacted, and with room for the largest message. */
typedef struct {
    const char *pair[10]; /* (count) as for aa_topic_create */
    size_t      count;
    char        bytes[24];
} aa_topic_model_settings;
void aa_topic_model_settings_of(aa_topic_model_settings *ts, const aa_conf *cfg);

typedef struct {
    int     partitions, replication; /* partitions 0: there is no such topic */
    bool    settings_known;          /* else asking for them was not allowed: those below are 0 */
    bool    compacted;
    int64_t retention_ms, delete_retention_ms, max_message_bytes;
} aa_topic_facts;
/** What is known of a topic. @errors AA_EIO no broker, or asking is not allowed */
aa_status aa_topic_describe(const aa_conf *cfg, const char *topic, aa_topic_facts *out, aa_err *err)
    __attribute__((warn_unused_result));
/** Does topics.model take the largest message (aa_kafka_model_bytes)? max_bytes: its
 *  max.message.bytes, 0: not known, which passes. @errors AA_ECONFIG no; the text names the keys */
aa_status aa_topic_check_model(const aa_conf *cfg, int64_t max_bytes, aa_err *err)
    __attribute__((warn_unused_result));
/** Create topics.model unless it exists, and check that it takes the largest message. */
aa_status aa_topic_ensure_model(const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
/** What the topic takes in a batch (max.message.bytes); 0: not known within timeout_ms. */
int64_t aa_topic_max_bytes(const aa_conf *cfg, const char *topic, int timeout_ms);
/** May this client read the topic; see the group's commits? @errors AA_EIO no, and why */
aa_status aa_topic_try_read(const aa_conf *cfg, const char *topic, aa_err *err)
    __attribute__((warn_unused_result));
aa_status aa_topic_try_group(const aa_conf *cfg, const char *topic, aa_err *err)
    __attribute__((warn_unused_result));
/** Sends a tombstone with this key. */
aa_status aa_topic_try_write(const aa_conf *cfg, const char *topic, const void *key, size_t key_len,
                             aa_err *err) __attribute__((warn_unused_result));

#endif
