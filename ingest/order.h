/* ingest/order - the one order of the events of many partitions.
 *
 * Replay: a merge by (event time, partition, offset). An event leaves only when every partition
 * that has not ended shows its next one, so the order is a function of the topic and not of who was
 * faster. Within a partition the order is Kafka's; a late event there is taken when it comes. Live:
 * the order of arrival, partition by partition in turns.
 *
 * Dead letters stand in their partition's line too and leave when nothing is before them. The
 * position of a partition is the offset after the last thing that left it, or behind what holds no
 * event after that. Pure: no I/O, no clock.
 */
#ifndef AA_INGEST_ORDER_H
#define AA_INGEST_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/batch.h"
#include "ingest/decode/deadletter.h"

typedef struct order order;

/** @errors AA_ENOMEM */
aa_status order_new(order **out, size_t F, bool merge, aa_err *err)
    __attribute__((warn_unused_result));
void order_free(order **od_p);

/** Begin again with n partitions; position[i] is where partition i is read from. Partitions are
 *  given in ascending number: that number is what ties are broken by.
 *  @param room  events that each may hold back (made a power of two). @errors AA_ENOMEM */
aa_status order_begin(order *od, const int64_t *position, size_t n, size_t room, aa_err *err)
    __attribute__((warn_unused_result));

/** How many more events (or letters) partition idx may take now. */
size_t order_room(const order *od, size_t idx);
/** Events that each partition may hold, and those that partition idx holds. */
size_t order_capacity(const order *od);
size_t order_held(const order *od, size_t idx);
/** Event i of `from` is copied. Needs room. */
void order_push(order *od, size_t idx, int64_t offset, const aa_columns *from, size_t i,
                int64_t kafka_ms);
/** dl->offset says where it stands. Takes the letter. */
void order_push_letter(order *od, size_t idx, deadletter **dl_p);
/** Nothing that has not come yet is before this offset, although no event may stand there
 *  (transaction markers, aborted or compacted records): once empty, the position is that. */
void order_pass(order *od, size_t idx, int64_t offset);
/** Nothing more will come from partition idx; once empty its position is `position`. */
void order_end(order *od, size_t idx, int64_t position);

/** Append up to max events to b (which has room for them); returns how many. The first event of an
 *  empty batch sets b->oldest_kafka_ms. */
size_t order_take(order *od, aa_event_batch *b, size_t max);
/** The next letter that nothing is before, or NULL. The caller owns it. */
deadletter *order_take_letter(order *od);

int64_t order_position(const order *od, size_t idx);
size_t  order_partition_count(const order *od);
/** Every partition has ended and all has been taken. */
bool order_finished(const order *od);

#endif
