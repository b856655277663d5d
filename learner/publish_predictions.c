#include "learner/publish_predictions.h"

#include <stdlib.h>

#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"
#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"

enum { KEY_BYTES = 12 };

struct publish_predictions {
    const aa_conf *cfg;      /* borrowed */
    aa_producer   *producer; /* owned */
    aa_bytes       value;    /* reused */
};

aa_status
publish_predictions_open(publish_predictions **out, const aa_conf *cfg, aa_err *err)
{
    publish_predictions *pp = calloc(1, sizeof *pp);
    if (!pp) return aa_fail(err, AA_ENOMEM, "publisher of predictions");
    pp->cfg = cfg;
    aa_status st = aa_topic_ensure(cfg, cfg->topics.predictions, 0, false, err);
    if (st == AA_OK) st = aa_producer_open(&pp->producer, cfg, err);
    if (st != AA_OK) {
        publish_predictions_close(&pp);
        return st;
    }
    *out = pp;
    return AA_OK;
}

/* big-endian (seq, index): a reader can drop the repeats that a restart makes */
static void
put_key(uint8_t key[KEY_BYTES], uint64_t seq, uint32_t idx)
{
    for (int i = 0; i < 8; i++)
        key[i] = (uint8_t)(seq >> (56 - 8 * i));
    for (int i = 0; i < 4; i++)
        key[8 + i] = (uint8_t)(idx >> (24 - 8 * i));
}

aa_status
publish_predictions_send(publish_predictions *pp, const aa_assigned_batch *in,
                         const float *prediction, aa_err *err)
{
    for (size_t i = 0; i < in->n; i++) {
        uint8_t             key[KEY_BYTES];
        const aa_prediction p = {.seq = in->hd.seq,
                                 .index = (uint32_t)i,
                                 .prediction = prediction[i],
                                 .label = in->label[i]};
        put_key(key, p.seq, p.index);
        aa_status st = aa_wire_pack_prediction(&pp->value, &p, err);
        if (st == AA_OK)
            st = aa_producer_send(pp->producer, pp->cfg->topics.predictions, -1, key, sizeof key,
                                  pp->value.data, pp->value.len, 0, NULL, 0, err);
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

aa_status
publish_predictions_flush(publish_predictions *pp, int timeout_ms, aa_err *err)
{
    return aa_producer_flush(pp->producer, timeout_ms, err);
}

uint64_t
publish_predictions_lost(const publish_predictions *pp)
{
    return aa_producer_failed(pp->producer);
}

void
publish_predictions_close(publish_predictions **pp_p)
{
    publish_predictions *pp = *pp_p;
    if (!pp) return;
    aa_producer_free(&pp->producer, 5000);
    aa_bytes_fini(&pp->value);
    free(pp);
    *pp_p = NULL;
}
