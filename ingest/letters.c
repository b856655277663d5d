#include "ingest/letters.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"

enum {
    FLUSH_MS = 20,  /* one look at whether all is delivered */
    CLOSE_MS = 5000 /* for what is under way at the end */
};

struct letters {
    const aa_conf *cfg;
    aa_producer   *pr;     /* owned */
    bool           out;    /* some were sent since all were durable */
    uint64_t       failed; /* of the producer's failures: those that were dealt with */
};

aa_status
letters_open(letters **out, const aa_conf *cfg, aa_err *err)
{
    char      topic[AA_CONF_STR + 8];
    aa_status st;
    letters  *le = calloc(1, sizeof *le);

    if (!le) return aa_fail(err, AA_ENOMEM, "letters");
    le->cfg = cfg;
    deadletter_topic(topic, cfg);
    st = aa_topic_ensure(cfg, topic, 0, false, err);
    if (st == AA_OK) st = aa_producer_open(&le->pr, cfg, err);
    if (st != AA_OK) {
        letters_close(&le);
        return st;
    }
    *out = le;
    return AA_OK;
}

void
letters_close(letters **le_p)
{
    letters *le = *le_p;
    if (!le) return;
    aa_producer_free(&le->pr, CLOSE_MS);
    free(le);
    *le_p = NULL;
}

void
letters_poll(letters *le)
{
    aa_producer_poll(le->pr);
}

aa_status
letters_send(letters *le, const deadletter *dl, aa_err *err)
{
    aa_status st;

    if (aa_producer_behind(le->pr))
        return aa_fail(err, AA_EAGAIN, "the broker does not take dead letters fast enough");
    st = deadletter_send(le->pr, le->cfg, dl, aa_wall_ms(), err);
    if (st == AA_OK) le->out = true;
    return st;
}

aa_status
letters_durable(letters *le, aa_err *err)
{
    aa_status st;
    uint64_t  failed;

    if (!le->out) return AA_OK;
    st = aa_producer_flush(le->pr, FLUSH_MS, err);
    failed = aa_producer_failed(le->pr);
    if (failed > le->failed) {
        le->failed = failed;
        return st;
    }
    if (st == AA_OK) le->out = false;
    return st == AA_EIO ? AA_EAGAIN : st;
}
