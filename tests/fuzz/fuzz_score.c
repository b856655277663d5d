/* What strangers send to the scorer: requests as protobuf and as JSON; and what they answer:
 * replies in both forms, as clients read them, and metrics, as the live page does. The first byte
 * picks. What is accepted must encode, and decode again. */
#include "common/messages/wire_score.h"
#include "scorer/api/metrics_history.h"
#include "scorer/api/score_json.h"
#include "tests/fuzz/fuzz.h"

static aa_bytes bytes; /* kept between runs */

static void
request(aa_status (*read)(aa_score_request *, const void *, size_t, aa_err *), const uint8_t *data,
        size_t size)
{
    aa_err           err = AA_ERR_INIT;
    aa_score_request rq, again;
    if (read(&rq, data, size, &err) != AA_OK) {
        AA_REQUIRE(err.text[0]);
        return;
    }
    if (aa_score_pack_request(&bytes, &rq, &err) == AA_OK) {
        AA_REQUIRE(aa_score_unpack_request(&again, bytes.data, bytes.len, &err) == AA_OK);
        AA_REQUIRE(again.item_count == rq.item_count && again.context_count == rq.context_count);
        AA_REQUIRE(again.exclude_count == rq.exclude_count);
        AA_REQUIRE(again.user.len == rq.user.len);
        AA_REQUIRE(!rq.user.len || memcmp(again.user.data, rq.user.data, rq.user.len) == 0);
        aa_score_request_fini(&again);
    }
    aa_score_request_fini(&rq);
}

static void
batch(const uint8_t *data, size_t size)
{
    aa_err          err = AA_ERR_INIT;
    score_json_list ls;
    if (score_json_batch(&ls, data, size, 5, &err) != AA_OK) {
        AA_REQUIRE(err.text[0]);
        return;
    }
    AA_REQUIRE(ls.count <= 5);
    for (size_t i = 0; i < ls.count; i++)
        (void)!aa_score_pack_request(&bytes, &ls.rq[i], &err);
    score_json_batch_fini(&ls);
}

/* A reply in either form; as JSON it can be read again. */
static void
reply(bool json, const uint8_t *data, size_t size)
{
    aa_err         err = AA_ERR_INIT;
    aa_score_reply rp, again;
    size_t         len = 0;
    aa_status      st = json ? score_json_read_reply(&rp, (const char *)data, size, &err)
                             : aa_score_unpack_reply(&rp, data, size, &err);
    if (st != AA_OK) {
        AA_REQUIRE(err.text[0]);
        return;
    }
    AA_REQUIRE(rp.item_count == 0 || rp.item_count == rp.score_count);
    char *text = score_json_reply(&rp, &len);
    AA_REQUIRE(text && len > 0 && text[len - 1] == '\n');
    if (score_json_read_reply(&again, text, len, &err) == AA_OK) {
        AA_REQUIRE(again.score_count == rp.score_count || rp.status != 0);
        aa_score_reply_fini(&again);
    }
    free(text);
    aa_score_reply_fini(&rp);
}

static void
metrics(const uint8_t *data, size_t size)
{
    const char *name, *at;
    size_t      len;
    double      value;
    char       *text = malloc(size + 1);
    AA_REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    at = text;
    while ((at = metrics_history_next(at, &name, &len, &value)))
        AA_REQUIRE(name >= text && name + len <= at && at <= text + size);
    (void)metrics_history_sum(text, "autoassign_auc", "window=\"recent\"");
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    data++;
    size--;
    switch (data[-1] % 7) {
    case 0: request(aa_score_unpack_request, data, size); break;
    case 1: request(score_json_request, data, size); break;
    case 2: reply(false, data, size); break;
    case 3: request(score_json_rank, data, size); break;
    case 4: batch(data, size); break;
    case 5: reply(true, data, size); break;
    default: metrics(data, size); break;
    }
    return 0;
}

/* Now and then begin anew from a valid text, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const text[] = {
        "\1{\"user\": \"u1\", \"items\": [\"a\", 42], \"request_id\": 7}",
        "\1{\"user\": -9, \"items\": [], \"context\": [\"mobile\", 1], \"explain\": true}",
        "\1{\"items\": [9223372036854775807, \"\\u00e9\\ud83d\\ude00\"], \"user\": \"\\\"\"}",
        "\3{\"user\": \"u1\", \"top\": 3, \"items\": [1, 2, 3, 4], \"deadline_ms\": 50}",
        "\4{\"requests\": [{\"user\": 1, \"items\": [2]}, {\"user\": 1, \"top\": 2}]}",
        "\5{\"items\": [\"a\", \"b\"], \"scores\": [0.6, 0.2], \"version\": 12, \"request_id\": 7}",
        "\5{\"scores\": [0.5], \"version\": 3, \"explanations\": [{\"slot\": 1, \"known\": true}]}",
        "\5{\"error\": \"user: empty ID\", \"status\": 400}",
        "\6# HELP a b\nautoassign_auc{window=\"recent\"} 0.7\nautoassign_events_total 1e6 17\n",
    };
    const char *pick = text[seed / 16 % (sizeof text / sizeof *text)];
    return fuzz_anew(data, size, max_size, seed, pick, strlen(pick));
}
