#include "ingest/decode/announce.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/kafka/kafka_producer.h"
#include "common/kafka/kafka_topics.h"
#include "common/messages/mark.h"
#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"

enum { WAYS = 8, SETS = ANNOUNCE_IDS / WAYS, POLL_EVERY = 1024, CLOSE_MS = 5000 };

struct announce {
    announce_send  send;
    void          *arg;
    uint64_t      *seen; /* (SETS, WAYS) keys, 0: none; a set is a cache line */
    uint32_t       victim;
    int64_t        budget; /* names that may be sent now */
    int64_t        now_ms, cleared_ms;
    uint64_t       sent;
    const aa_conf *cfg;      /* borrowed; NULL: send is the caller's */
    aa_producer   *producer; /* owned */
    aa_bytes       value;
};

aa_status
announce_new(announce **out, announce_send send, void *arg, aa_err *err)
{
    announce *an = calloc(1, sizeof *an);
    if (!an) return aa_fail(err, AA_ENOMEM, "item names");
    an->send = send;
    an->arg = arg;
    an->budget = ANNOUNCE_PER_S;
    an->seen = aligned_alloc(64, (size_t)ANNOUNCE_IDS * sizeof *an->seen);
    if (!an->seen) {
        announce_close(&an);
        return aa_fail(err, AA_ENOMEM, "item names");
    }
    memset(an->seen, 0, (size_t)ANNOUNCE_IDS * sizeof *an->seen);
    *out = an;
    return AA_OK;
}

/* To the assignments topic. */
static bool
publish_name(void *arg, uint64_t id, const char *text, size_t len)
{
    announce          *an = arg;
    aa_err             err = AA_ERR_INIT;
    uint8_t            key[AA_TOPIC_KEY_BYTES];
    const aa_topic_key k = {.lane = (uint32_t)an->cfg->pipeline.lane,
                            .kind = AA_KEY_NAME,
                            .field = AA_RANKED_FIELD,
                            .id = id};
    if (aa_producer_behind(an->producer)) return false; /* the broker is away: later */
    aa_topic_key_put(key, &k);
    aa_status st = aa_wire_pack_name(&an->value, text, len, &err);
    if (st == AA_OK) st = aa_mark_put(&an->value, aa_mark_of(an->cfg->pipeline.name), &err);
    if (st == AA_OK)
        st = aa_producer_send(an->producer, an->cfg->topics.assignments, -1, key, sizeof key,
                              an->value.data, an->value.len, 0, NULL, 0, &err);
    if (an->sent % POLL_EVERY == 0) aa_producer_poll(an->producer);
    if (st != AA_OK) aa_warn("ITEM-NAME", "%s", err.text);
    return st == AA_OK;
}

aa_status
announce_open(announce **out, const aa_conf *cfg, aa_err *err)
{
    announce *an = NULL;
    aa_status st = announce_new(&an, publish_name, NULL, err);
    if (st != AA_OK) return st;
    an->arg = an;
    an->cfg = cfg;
    st = aa_topic_ensure(cfg, cfg->topics.assignments, 0, true, err);
    if (st == AA_OK) st = aa_producer_open(&an->producer, cfg, err);
    if (st != AA_OK) announce_close(&an);
    *out = an;
    return st;
}

void
announce_close(announce **an_p)
{
    announce *an = *an_p;
    if (!an) return;
    aa_producer_free(&an->producer, CLOSE_MS);
    aa_bytes_fini(&an->value);
    free(an->seen);
    free(an);
    *an_p = NULL;
}

void
announce_tick(announce *an, int64_t now_ms)
{
    if (an->now_ms == 0) an->now_ms = an->cleared_ms = now_ms;
    const int64_t more = (now_ms - an->now_ms) * ANNOUNCE_PER_S / 1000;
    if (more <= 0) return;
    an->budget = more > ANNOUNCE_PER_S - an->budget ? ANNOUNCE_PER_S : an->budget + more;
    an->now_ms = now_ms;
    if (an->producer) aa_producer_poll(an->producer);
    if (now_ms - an->cleared_ms < ANNOUNCE_AGAIN_MS) return;
    an->cleared_ms = now_ms;
    memset(an->seen, 0, (size_t)ANNOUNCE_IDS * sizeof *an->seen);
}

void
announce_item(announce *an, uint64_t key, const char *text, size_t len)
{
    uint64_t *way = an->seen + key % SETS * WAYS;
    size_t    free_way = WAYS;
    for (size_t i = 0; i < WAYS; i++) {
        if (way[i] == key) return;
        if (!way[i] && free_way == WAYS) free_way = i;
    }
    if (an->budget <= 0 || !an->send(an->arg, key, text, len)) return;
    an->budget--;
    an->sent++;
    way[free_way < WAYS ? free_way : an->victim++ % WAYS] = key;
}

uint64_t
announce_sent(const announce *an)
{
    return an->sent;
}
