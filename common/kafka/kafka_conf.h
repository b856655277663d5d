/* common/kafka/kafka_conf - the user's `kafka:` properties, from which every client starts.
 *
 * What the pipeline would choose gives way to them; what it depends on (commits, the rebalance
 * protocol) may not be set otherwise. Log lines of librdkafka go to common/base/log. */
#ifndef AA_COMMON_KAFKA_KAFKA_CONF_H
#define AA_COMMON_KAFKA_KAFKA_CONF_H

#include <stddef.h>

#include "common/base/status.h"
#include "common/config/conf.h"

/** The user's value of a property, or NULL. */
const char *aa_kafka_property_of(const aa_conf *cfg, const char *key);

/** Threads of so many clients: each has one of its own and one for each broker that it knows of. */
size_t aa_kafka_threads(const aa_conf *cfg, size_t clients);

/** Does the client know the user's properties, and take their values?
 *  @errors AA_ECONFIG file:line: kafka.<key>: why */
aa_status aa_kafka_check(const aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result));

#endif
