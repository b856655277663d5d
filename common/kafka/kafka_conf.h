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

/** Bytes that Kafka must take as one message: the dense weights of this configuration's model, which
 *  are the largest there is, with their key and what Kafka adds. */
int64_t aa_kafka_model_bytes(const aa_conf *cfg);

/** Can every kind of client that the pipeline has be made with the user's properties? Makes each,
 *  without a broker, in a few milliseconds. One section serves all processes, so this is the same in
 *  all of them. @errors AA_ECONFIG file:line: kafka.<key>: why; AA_EIO no thread */
aa_status aa_kafka_check(const aa_conf *cfg, aa_err *err) __attribute__((warn_unused_result));

#endif
