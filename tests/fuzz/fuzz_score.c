/* What strangers send to the scorer: requests as protobuf and as JSON; and replies, as clients read
 * them. The first byte picks. What is accepted must encode, and decode again. */
#include <stdlib.h>
#include <string.h>

#include "common/wire_score.h"
#include "scorer/score_json.h"

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
        AA_REQUIRE(again.user.len == rq.user.len);
        AA_REQUIRE(!rq.user.len || memcmp(again.user.data, rq.user.data, rq.user.len) == 0);
        aa_score_request_fini(&again);
    }
    aa_score_request_fini(&rq);
}

static void
reply(const uint8_t *data, size_t size)
{
    aa_err         err = AA_ERR_INIT;
    aa_score_reply rp;
    size_t         len = 0;
    if (aa_score_unpack_reply(&rp, data, size, &err) != AA_OK) {
        AA_REQUIRE(err.text[0]);
        return;
    }
    char *text = score_json_reply(&rp, &len);
    AA_REQUIRE(text && len > 0 && text[len - 1] == '\n');
    free(text);
    aa_score_reply_fini(&rp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    switch (data[0] % 3) {
    case 0: request(aa_score_unpack_request, data + 1, size - 1); break;
    case 1: request(score_json_request, data + 1, size - 1); break;
    default: reply(data + 1, size - 1); break;
    }
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* Now and then begin anew from a valid JSON request, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const text[] = {
        "\1{\"user\": \"u1\", \"items\": [\"a\", 42], \"request_id\": 7}",
        "\1{\"user\": -9, \"items\": [], \"context\": [\"mobile\", 1], \"explain\": true}",
        "\1{\"items\": [9223372036854775807, \"\\u00e9\\ud83d\\ude00\"], \"user\": \"\\\"\"}",
    };
    const char *pick = text[seed / 16 % 3];
    if ((size > 1 && seed % 16) || strlen(pick) > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, pick, strlen(pick));
    return strlen(pick);
}
