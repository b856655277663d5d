/* Every message of common/messages/wire: the first byte picks the kind, the rest is offered to its
 * decoder. What is accepted must encode, and decode again as itself. */
#include "tests/fuzz/fuzz.h"
#include "tests/wire_samples.h"

#define WIDTH 17 /* of rows */
#define KINDS 12

/* Kept between runs, as a process keeps its batches. */
static struct {
    aa_event_batch    events;
    aa_assigned_batch assigned;
    aa_reward_batch   rewards;
    aa_control        control;
    aa_assignment     assignment;
    aa_row_head       row;
    float             row_w[WIDTH];
    aa_dense_message  dense;
    aa_prediction     prediction;
    aa_bytes          name;
    const void       *text; /* (text_len) of the name, in `name` */
    size_t            text_len;
    aa_offer          offer;
    aa_fetch          fetch;
    aa_fetched        fetched;
    aa_bytes          first, second;
} held;

static aa_status
unpack(unsigned kind, const void *buf, size_t len)
{
    aa_err err = AA_ERR_INIT;
    switch (kind) {
    case 0: return aa_wire_unpack_events(&held.events, buf, len, &err);
    case 1: return aa_wire_unpack_assigned(&held.assigned, buf, len, &err);
    case 2: return aa_wire_unpack_rewards(&held.rewards, buf, len, &err);
    case 3: return aa_wire_unpack_control(&held.control, buf, len, &err);
    case 4: return aa_wire_unpack_assignment(&held.assignment, buf, len, &err);
    case 5: return aa_wire_unpack_row(&held.row, held.row_w, WIDTH, buf, len, &err);
    case 6: return aa_wire_unpack_dense(&held.dense, buf, len, &err);
    case 7: return aa_wire_unpack_name(&held.name, &held.text, &held.text_len, buf, len, &err);
    case 8: return aa_wire_unpack_prediction(&held.prediction, buf, len, &err);
    case 9: return aa_wire_unpack_offer(&held.offer, buf, len, &err);
    case 10: return aa_wire_unpack_fetch(&held.fetch, buf, len, &err);
    default: return aa_wire_unpack_fetched(&held.fetched, buf, len, &err);
    }
}

static aa_status
pack(unsigned kind, aa_bytes *out)
{
    aa_err err = AA_ERR_INIT;
    switch (kind) {
    case 0: return aa_wire_pack_events(out, &held.events, &err);
    case 1: return aa_wire_pack_assigned(out, &held.assigned, &err);
    case 2: return aa_wire_pack_rewards(out, &held.rewards, &err);
    case 3: return aa_wire_pack_control(out, &held.control, &err);
    case 4: return aa_wire_pack_assignment(out, &held.assignment, &err);
    case 5: return aa_wire_pack_row(out, &held.row, held.row_w, WIDTH, &err);
    case 6: return aa_wire_pack_dense(out, &held.dense, &err);
    case 7: return aa_wire_pack_name(out, held.text, held.text_len, &err);
    case 8: return aa_wire_pack_prediction(out, &held.prediction, &err);
    case 9: return aa_wire_pack_offer(out, &held.offer, &err);
    case 10: return aa_wire_pack_fetch(out, &held.fetch, &err);
    default: return aa_wire_pack_fetched(out, &held.fetched, &err);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    unsigned kind = data[0] % KINDS;
    if (unpack(kind, data + 1, size - 1) != AA_OK) return 0;
    AA_REQUIRE(pack(kind, &held.first) == AA_OK);
    AA_REQUIRE(unpack(kind, held.first.data, held.first.len) == AA_OK);
    AA_REQUIRE(pack(kind, &held.second) == AA_OK);
    AA_REQUIRE(held.first.len == held.second.len);
    AA_REQUIRE(memcmp(held.first.data, held.second.data, held.first.len) == 0);
    return 0;
}

/* Something valid of this kind into `held`. */
static void
fill(unsigned kind, sample_rng *rng)
{
    size_t n = sample_below(rng, 20), F = 1 + sample_below(rng, 8);
    float  w[30];
    switch (kind) {
    case 0: sample_events(&held.events, rng, n, F); break;
    case 1: sample_assigned(&held.assigned, rng, n, F, sample_below(rng, 3) == 0); break;
    case 2: sample_rewards(&held.rewards, rng, n, n * F + sample_below(rng, 5)); break;
    case 3: sample_control(&held.control, rng); break;
    case 4: sample_assignment(&held.assignment, rng); break;
    case 6: {
        aa_dense_message d;
        aa_err           err = AA_ERR_INIT;
        sample_dense(&d, rng, w, sample_below(rng, 30));
        sample_must(aa_wire_pack_dense(&held.second, &d, &err), &err);
        sample_must(aa_wire_unpack_dense(&held.dense, held.second.data, held.second.len, &err),
                    &err);
        break;
    }
    case 5:
        held.row = (aa_row_head){
            .run_id = sample_bits(rng), .version = sample_bits(rng), .born = sample_below(rng, 3)};
        for (size_t i = 0; i < WIDTH; i++)
            held.row_w[i] = sample_real(rng);
        break;
    case 7:
        held.text = "some item";
        held.text_len = 1 + sample_below(rng, 9);
        break;
    case 8: held.prediction = (aa_prediction){sample_bits(rng), 7, sample_unit(rng), 1}; break;
    case 9: sample_offer(&held.offer, rng, n); break;
    case 10:
        held.fetch.hd = sample_header(rng);
        sample_portions(&held.fetch.po, rng, n, true);
        break;
    default: sample_fetched(&held.fetched, rng, n, F);
    }
}

/* Now and then begin anew from a valid message, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    if (size > 1 && seed % 16) return LLVMFuzzerMutate(data, size, max_size);
    sample_rng rng = {.seed = seed};
    unsigned   kind = sample_below(&rng, KINDS);
    fill(kind, &rng);
    if (pack(kind, &held.first) != AA_OK || held.first.len + 1 > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    data[0] = (uint8_t)kind;
    memcpy(data + 1, held.first.data, held.first.len);
    return held.first.len + 1;
}
