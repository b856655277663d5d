/* Records of the two compacted topics, as a scorer meets them: a sequence of
 *   kind and flags, field, id u8 (or a raw key), length u16, value
 * is applied, then applied once more, which must end in the same state; what it makes must score,
 * and never as a number that is not one. */
#include <math.h>

#include "common/messages/wire.h"
#include "common/messages/wire_topic.h"
#include "scorer/replica/replica.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire_samples.h"

enum { F = 2, K = 2, IDS = 8, SLOTS = 24, RAW_KEY = 0x40, TOMBSTONE = 0x80 };

static const uint8_t kinds[] = {AA_KEY_ASSIGNMENT, AA_KEY_NEW_ID, AA_KEY_NAME, AA_KEY_ROW,
                                AA_KEY_DENSE};
#define KINDS (sizeof kinds / sizeof *kinds)

static aa_conf cfg;

static void
start(void)
{
    aa_err err = AA_ERR_INIT;
    if (cfg.field_count) return;
    aa_conf_defaults(&cfg);
    cfg.model.dim = K;
    cfg.model.kind = AA_MODEL_FM;
    AA_REQUIRE(aa_conf_finish(&cfg, &err) == AA_OK);
}

/* One record off the front. */
static void
apply_next(replica *rp, fuzz_bytes *in)
{
    const uint8_t  flags = fuzz_byte(in), field = fuzz_byte(in), id = fuzz_byte(in);
    const uint8_t  kind = kinds[(flags & 0x3f) % KINDS];
    const bool     gone = flags & TOMBSTONE;
    uint8_t        made[AA_TOPIC_KEY_BYTES];
    size_t         key_len = sizeof made, len = fuzz_byte(in);
    const uint8_t *key = made;
    aa_topic_key   k = {.kind = kind, .field = field % (F + 1), .id = id};
    len |= (size_t)fuzz_byte(in) << 8;
    aa_topic_key_put(made, &k);
    if (flags & RAW_KEY) key = fuzz_take(in, sizeof made, &key_len);
    const uint8_t *value = fuzz_take(in, len, &len);
    for (int again = 0; again < 2; again++) {
        replica_effect  effect;
        aa_err          err = AA_ERR_INIT;
        const aa_status st =
            replica_apply(rp, key, key_len, gone ? NULL : value, gone ? 0 : len, &effect, &err);
        AA_REQUIRE(st == AA_OK || (st == AA_EPARSE && err.text[0]));
    }
}

static void
apply_all(replica *rp, const uint8_t *data, size_t size)
{
    for (fuzz_bytes in = {data, size}; in.left > 0;)
        apply_next(rp, &in);
}

static void
score_all(replica *rp)
{
    replica_reader  *rr = NULL;
    uint64_t         key[F] = {1, 0}, item[IDS];
    float            score[IDS], x[K + 1];
    aa_score_reading reading[F - 1 + IDS];
    replica_answer   answer;
    aa_assignment    a;
    aa_err           err = AA_ERR_INIT;
    AA_REQUIRE(replica_reader_open(&rr, rp, &err) == AA_OK);
    for (size_t i = 0; i < IDS; i++)
        item[i] = i + 1;
    const aa_status st = replica_score(rr, key, item, IDS, score, reading, &answer, &err);
    AA_REQUIRE(st == AA_OK || st == AA_EAGAIN);
    AA_REQUIRE(st == AA_OK || replica_missing(rp));
    for (size_t i = 0; st == AA_OK && i < IDS; i++)
        AA_REQUIRE(isnan(score[i]) || (score[i] >= 0 && score[i] <= 1)); /* NaN: 1e38 - 1e38 */
    for (size_t f = 0; f < F; f++)
        for (uint64_t id = 0; id < IDS; id++)
            (void)replica_read_id(rr, f, id, x, &a, &reading[0]);
    replica_pin(rr);
    for (size_t i = 0; i < names_end(replica_items(rr)); i++) {
        aa_text text;
        if (names_get(replica_items(rr), i, &item[0], &text)) AA_REQUIRE(text.len > 0);
    }
    replica_unpin(rr);
    replica_reader_close(&rr);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    replica      *rp = NULL;
    replica_stats first, second;
    aa_err        err = AA_ERR_INIT;
    start();
    AA_REQUIRE(replica_new(&rp, &cfg, &err) == AA_OK);
    apply_all(rp, data, size);
    score_all(rp);
    replica_stats_get(rp, &first);
    const uint64_t served = replica_served_digest(rp), assigned = replica_assignments_digest(rp);
    apply_all(rp, data, size);
    replica_stats_get(rp, &second);
    AA_REQUIRE(replica_served_digest(rp) == served);
    AA_REQUIRE(replica_assignments_digest(rp) == assigned);
    AA_REQUIRE(first.version == second.version && first.run_id == second.run_id);
    score_all(rp);
    replica_free(&rp);
    return 0;
}

/* A valid record's value into by. */
static void
sample_value(uint8_t kind, sample_rng *rng, aa_bytes *by)
{
    aa_err         err = AA_ERR_INIT;
    const uint64_t run = 1 + sample_below(rng, 2), version = 1 + sample_below(rng, 6);
    float          w[64];
    if (kind == AA_KEY_ASSIGNMENT || kind == AA_KEY_NEW_ID) {
        aa_assignment a;
        sample_assignment(&a, rng);
        a.run_id = run;
        a.version = version;
        a.born = sample_below(rng, 2) ? 0 : version;
        a.slot %= SLOTS;
        a.alt_slot = sample_below(rng, 2) ? AA_NO_SLOT : a.alt_slot % 15;
        a.modulo = 0;
        sample_must(aa_wire_pack_assignment(by, &a, &err), &err);
    } else if (kind == AA_KEY_NAME) {
        sample_must(aa_wire_pack_name(by, "some item", 1 + sample_below(rng, 9), &err), &err);
    } else if (kind == AA_KEY_ROW) {
        const aa_row_head rh = {.run_id = run,
                                .version = version,
                                .born = sample_below(rng, 2) ? 0 : version,
                                .bf16 = sample_below(rng, 2)};
        for (size_t i = 0; i < K + 1; i++)
            w[i] = rh.bf16 ? (float)sample_below(rng, 100) / 64 : sample_real(rng);
        sample_must(aa_wire_pack_row(by, &rh, w, K + 1, &err), &err);
    } else {
        aa_dense_message d;
        sample_dense(&d, rng, w, 1);
        d.run_id = run;
        d.version = version;
        d.F = F;
        d.K = K;
        snprintf(d.model, sizeof d.model, "fm");
        d.hidden_count = cfg.hidden_count;
        memcpy(d.hidden, cfg.hidden, sizeof d.hidden);
        sample_must(aa_wire_pack_dense(by, &d, &err), &err);
    }
}

/* Now and then a valid record more. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static aa_bytes by;
    sample_rng      rng = {.seed = seed};
    if (size > 1 && sample_below(&rng, 4)) return LLVMFuzzerMutate(data, size, max_size);
    const uint32_t kind = sample_below(&rng, KINDS);
    const bool     gone = kind != 4 && sample_below(&rng, 6) == 0;
    by.len = 0;
    if (!gone) sample_value(kinds[kind], &rng, &by);
    const bool     field_is_0 = kinds[kind] == AA_KEY_DENSE;
    const bool     id_is_0 = field_is_0 || kinds[kind] == AA_KEY_NEW_ID;
    const uint32_t id = sample_below(&rng, kinds[kind] == AA_KEY_ROW ? SLOTS : IDS);
    const uint8_t  head[5] = {(uint8_t)(kind | (gone ? TOMBSTONE : 0)),
                              (uint8_t)(field_is_0 ? 0 : sample_below(&rng, F)),
                              (uint8_t)(id_is_0 ? 0 : id), (uint8_t)by.len, (uint8_t)(by.len >> 8)};
    if (size <= 1 || sample_below(&rng, 8) == 0) size = 0;
    if (size + sizeof head + by.len > max_size) return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data + size, head, sizeof head);
    if (by.len > 0) memcpy(data + size + sizeof head, by.data, by.len);
    return size + sizeof head + by.len;
}
