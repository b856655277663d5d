/* tests/integration/broker - a broker for a test: librdkafka's mock, in this process, or a real
 * one. The mock knows no admin requests, no transactions and no offsets by time. */
#ifndef AA_TESTS_INTEGRATION_BROKER_H
#define AA_TESTS_INTEGRATION_BROKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/config/conf.h"

typedef struct {
    rd_kafka_t              *host;
    rd_kafka_mock_cluster_t *mc;
} mock_broker;

static inline void
set_kafka(aa_conf *cfg, const char *key, const char *value)
{
    aa_conf_kafka *kp = &cfg->kafka[cfg->kafka_count++];
    memset(kp, 0, sizeof *kp);
    snprintf(kp->key, sizeof kp->key, "%s", key);
    snprintf(kp->value, sizeof kp->value, "%s", value);
}

/* A mock cluster of so many brokers; cfg's Kafka properties point to it. */
static inline void
mock_brokers_start(mock_broker *mb, aa_conf *cfg, int brokers)
{
    char             errstr[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
    mb->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof errstr);
    mb->mc = rd_kafka_mock_cluster_new(mb->host, brokers);
    cfg->kafka_count = 0;
    set_kafka(cfg, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(mb->mc));
}

static inline void
mock_broker_start(mock_broker *mb, aa_conf *cfg)
{
    mock_brokers_start(mb, cfg, 1);
}

static inline void
mock_broker_stop(mock_broker *mb)
{
    rd_kafka_mock_cluster_destroy(mb->mc);
    rd_kafka_destroy(mb->host);
}

/* The real broker that `make check` starts, or NULL. */
static inline const char *
real_broker(void)
{
    const char *address = getenv("AUTOASSIGN_TEST_BROKER");
    return address && *address ? address : NULL;
}

#endif
