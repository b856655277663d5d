/* common/config/conf - the configuration of the whole pipeline: one file, one frozen struct.
 *
 * Later wins: defaults < YAML file < environment (AUTOASSIGN_SECTION_KEY) < -o section.key=value.
 * Unknown keys, wrong types and values out of range are AA_ECONFIG errors that name file, line
 * and key. The struct has no pointers into anything else and is never changed after loading.
 */
#ifndef AA_COMMON_CONFIG_CONF_H
#define AA_COMMON_CONFIG_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/status.h"
#include "common/config/settings.h"

#define AA_CONF_STR             256
#define AA_MAX_FIELDS           32
#define AA_MAX_HIDDEN           8
#define AA_MAX_KAFKA_PROPERTIES 128
#define AA_MAX_LABELS           64

#define AA_DECL_STR(name, def, help)                 char name[AA_CONF_STR];
#define AA_DECL_VAL(constant, text)                  constant,
#define AA_DECL_CHO(name, type, def, help, values)   enum type { values } name;
#define AA_DECL_INT(name, def, min, max, unit, help) int64_t name;
#define AA_DECL_NUM(name, def, min, max, unit, help) double name;
#define AA_DECL_BOO(name, def, help)                 bool name;
#define AA_DECL_SECTION(section, list, help)                                                       \
    struct aa_conf_##section {                                                                     \
        list(AA_DECL_STR, AA_DECL_CHO, AA_DECL_VAL, AA_DECL_INT, AA_DECL_NUM, AA_DECL_BOO)         \
    } section;

/* What the places of fields mean: who asks, what is ranked for them, and then context. Events that
 * are made here (tools) have the first two; scorers need them. */
enum { AA_USER_FIELD = 0, AA_RANKED_FIELD = 1 };

/* One ID field: user, item, ... */
typedef struct aa_conf_field {
    char name[64];
    AA_SETTINGS_FIELD(AA_DECL_STR, AA_DECL_CHO, AA_DECL_VAL, AA_DECL_INT, AA_DECL_NUM, AA_DECL_BOO)
} aa_conf_field;

/* A librdkafka property, passed through as it stands. */
typedef struct {
    char key[128];
    char value[1024];
    int  line; /* in the file, 0 when from -o or the environment */
} aa_conf_kafka;

/* A label's text and what it stands for. */
typedef struct {
    char   name[64];
    double value;
} aa_conf_label;

/* Where a replay begins: ingest.replay_from, parsed. */
typedef struct {
    enum { AA_FROM_BEGINNING, AA_FROM_OFFSET, AA_FROM_TIME } kind;
    int64_t value; /* the offset, or the time in ms; not negative */
} aa_replay_from;

typedef struct aa_conf {
    AA_SECTIONS(AA_DECL_SECTION)
    aa_conf_field  fields[AA_MAX_FIELDS];
    size_t         field_count; /* F; 2 (user, item) unless configured */
    aa_conf_kafka  kafka[AA_MAX_KAFKA_PROPERTIES];
    size_t         kafka_count;
    size_t         hidden[AA_MAX_HIDDEN]; /* parsed from model.hidden */
    size_t         hidden_count;
    aa_conf_label  labels[AA_MAX_LABELS]; /* parsed from event.label_map */
    size_t         label_count;
    aa_replay_from replay_from;       /* parsed from ingest.replay_from */
    char           path[AA_CONF_STR]; /* the file it came from, "" if none */
} aa_conf;

/** Each enum of settings.h has a function that gives a constant's text, as the file has it, and the
 *  number of its constants: aa_agent_mode_text(AA_MODE_PAPER) is "paper", aa_agent_mode_count 8. */
#define AA_TEXT_NONE(...)
#define AA_TEXT_VAL(constant, text) +1
#define AA_TEXT_CHO(name, type, def, help, values)                                                 \
    const char *type##_text(enum type value);                                                      \
    enum { type##_count = 0 values };
#define AA_TEXT_SECTION(section, list, help)                                                       \
    list(AA_TEXT_NONE, AA_TEXT_CHO, AA_TEXT_VAL, AA_TEXT_NONE, AA_TEXT_NONE, AA_TEXT_NONE)
AA_SECTIONS(AA_TEXT_SECTION)

/** Fill with the defaults, aa_conf_finish included. Always succeeds. */
void aa_conf_defaults(aa_conf *cfg);

/**
 * Cross-checks, and what follows from other values: hidden[], replay_from, the names that stand
 * for "", kafka's group.id. aa_conf_load has done it; a test that changes a struct by hand calls it
 * again.
 * @errors AA_ECONFIG with "section.key: what is wrong"
 */
aa_status aa_conf_finish(aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result, nonnull(1)));

/**
 * Defaults, then the file, then the environment, then the overrides; then cross-checks.
 * @param path       YAML file, or NULL for none
 * @param overrides  count strings "section.key=value", "fields.user.path=uid", "kafka.prop=value"
 * @errors AA_ECONFIG with "file:line: section.key: what is wrong"; AA_EIO file unreadable
 */
aa_status aa_conf_load(aa_conf *cfg, const char *path, const char *const *overrides, size_t count,
                       aa_err *err) __attribute__((warn_unused_result, nonnull(1)));

/** The error "section.key: what is wrong" of what a process checks for itself, with file and line
 *  before it as aa_conf_load has them. */
aa_status aa_conf_fail_at(const aa_conf *cfg, aa_status st, const char *what, aa_err *err);

/** Write the values as YAML with each key's help; secrets (passwords, tokens) as ***. */
void aa_conf_print(const aa_conf *cfg, FILE *out);

/** Log the values in effect at level debug, a record per section. */
void aa_conf_log(const aa_conf *cfg);

/** Write the reference of every key as Markdown (docs come from here; a test compares). */
void aa_conf_print_reference(FILE *out);

#define AA_CONF_LINKS 5
/** The keys that hold addresses of ZeroMQ, and their values: cfg's. */
typedef struct {
    const char *named[AA_CONF_LINKS][2];
} aa_conf_link_set;
aa_conf_link_set aa_conf_links(const aa_conf *cfg);

/** The value at which a setting ("section.key") does what builds did that did not have it yet; NULL:
 *  they all had it. */
const char *aa_conf_before(const char *key);

/** Digest of what processes must agree on: fields, agent, model, seed, depth. */
uint64_t aa_conf_digest(const aa_conf *cfg);

/** Digest of what turns a Kafka message into an event: a fetcher's must equal the sequencer's. */
uint64_t aa_conf_decoding_digest(const aa_conf *cfg);

#endif
