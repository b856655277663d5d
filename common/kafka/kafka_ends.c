/* Where partitions begin and end.
 *
 * One question per leader, all of its partitions at once. A leader that was just killed is named by
 * the metadata until the brokers have chosen another, and a question to it is never answered: so
 * each try is short, and the next one asks for the leaders again. */
#include <poll.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/kafka/kafka_internal.h"

enum { FIRST_TRY_MS = 1000, SLOWEST_TRY_MS = 8000, PAUSE_MS = 100 };

/* The library passes "times" below 0 on to the broker, which has a meaning for two of them: what
 * the names in the library are. It is not told apart from no answer but by the offset.
 * @return NULL, or why not all of them are known */
static const char *
ask_offsets(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, int64_t which, int timeout_ms)
{
    for (int i = 0; i < list->cnt; i++) {
        list->elems[i].offset = which;
        list->elems[i].err = RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t ke = rd_kafka_offsets_for_times(rk, list, timeout_ms);
    for (int i = 0; i < list->cnt && !ke; i++) {
        ke = list->elems[i].err;
        if (!ke && list->elems[i].offset < 0) ke = RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    return ke ? rd_kafka_err2str(ke) : NULL;
}

static const char *
try_both(rd_kafka_t *rk, aa_kafka_extent *ex, size_t n, rd_kafka_topic_partition_list_t *list,
         int timeout_ms)
{
    const char *why = ask_offsets(rk, list, RD_KAFKA_OFFSET_BEGINNING, timeout_ms);
    for (size_t i = 0; i < n && !why; i++)
        ex[i].low = list->elems[i].offset;
    if (!why) why = ask_offsets(rk, list, RD_KAFKA_OFFSET_END, timeout_ms);
    for (size_t i = 0; i < n && !why; i++)
        ex[i].high = list->elems[i].offset;
    return why;
}

/* Ask the brokers who leads these topics' partitions now. Without an answer the next try tells. */
static void
learn_leaders(rd_kafka_t *rk, const aa_kafka_extent *ex, size_t n, int timeout_ms)
{
    for (size_t i = 0; i < n; i++) {
        aa_err none = AA_ERR_INIT;
        size_t count;
        if (i > 0 && strcmp(ex[i].topic, ex[i - 1].topic) == 0) continue;
        if (aa_kafka_partition_count(rk, ex[i].topic, timeout_ms, &count, &none) != AA_OK) return;
    }
}

aa_status
aa_kafka_ask_extents(rd_kafka_t *rk, aa_kafka_extent *ex, size_t n, int timeout_ms, aa_err *err)
{
    const int64_t until_ms = aa_now_ms() + timeout_ms;
    int           try_ms = FIRST_TRY_MS;
    const char   *why = NULL;

    if (n == 0) return AA_OK;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        rd_kafka_topic_partition_list_add(list, ex[i].topic, ex[i].partition);
    for (int64_t left_ms = timeout_ms;;) {
        why = try_both(rk, ex, n, list, (int)(left_ms < try_ms ? left_ms : try_ms));
        left_ms = until_ms - aa_now_ms() - PAUSE_MS;
        if (!why || left_ms <= 0) break;
        poll(NULL, 0, PAUSE_MS);
        learn_leaders(rk, ex, n, (int)(left_ms < try_ms ? left_ms : try_ms));
        try_ms = try_ms < SLOWEST_TRY_MS ? 2 * try_ms : SLOWEST_TRY_MS;
        left_ms = until_ms - aa_now_ms();
        if (left_ms <= 0) break;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (!why) return AA_OK;
    return aa_fail(err, AA_EIO, "offsets of topic %s partition %d%s: %s", ex[0].topic,
                   (int)ex[0].partition, n > 1 ? " and others" : "", why);
}
