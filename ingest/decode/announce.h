/* ingest/decode/announce - the texts of item IDs, for scorers that rank all known items.
 *
 * Everything behind ingest knows IDs by their 64-bit key only. So ingest, the one process that sees
 * them as text, publishes each item's once to the assignments topic (key kind 't'; the assigner
 * deletes it with the ID's assignment). What has been sent is remembered in a cache of fixed size,
 * one line of memory per look-up; what fell out of it is sent again, which changes nothing. All is
 * sent again after ANNOUNCE_AGAIN_MS, so that an ID that was forgotten and came back is named too:
 * scorers keep a forgotten item's text for longer than that (scorer/replica/names).
 * No more than ANNOUNCE_PER_S a second: an item beyond that waits for its next event.
 */
#ifndef AA_INGEST_DECODE_ANNOUNCE_H
#define AA_INGEST_DECODE_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

#define ANNOUNCE_IDS      1048576 /* remembered */
#define ANNOUNCE_PER_S    50000
#define ANNOUNCE_AGAIN_MS 300000

typedef struct announce announce;
/** Send one name; false: not now. */
typedef bool (*announce_send)(void *arg, uint64_t key, const char *text, size_t len);

/** Decides only; send does. */
aa_status announce_new(announce **out, announce_send send, void *arg, aa_err *err)
    __attribute__((warn_unused_result));
/** Publishes to Kafka. @errors AA_EIO no broker; AA_ECONFIG */
aa_status announce_open(announce **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void announce_close(announce **an_p); /* waits a few seconds for what is under way */

/** Now and then, at least once a second: time passes. */
void announce_tick(announce *an, int64_t now_ms);
/** This item was seen. Cheap when it was before. */
void     announce_item(announce *an, uint64_t key, const char *text, size_t len);
uint64_t announce_sent(const announce *an);

#endif
