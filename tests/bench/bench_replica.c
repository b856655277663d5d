/* bench_replica - a scorer's copy of the pipeline: how fast it builds itself, what an ID costs.
 *
 *   bench_replica [IDS] [section.key=value]...
 *
 * Records of IDS users (2,000,000 by default) as the assigner and the learner publish them: HOLDERS_PERCENT
 * of the users have a row of their own, the others read a shared row by their lean. Three rounds:
 * the first builds the table, the others publish every ID again. Then look-ups by one reader, of
 * known and of unknown IDs in turn, each with its row. Records are packed outside of the time that
 * is measured. Resident bytes are those of the process, less those before the first record. Prints
 * one JSON object.
 */
#include "assigner/field/lean.h"
#include "common/agent/mode.h"
#include "common/base/rng.h"
#include "common/service/summary.h"
#include "tests/loaded_replica.h"

enum { HOLDERS_PERCENT = 28, ROUNDS = 3, PACKED = 16384, LOOKUPS = 2000000, BATCH = 100 };

typedef struct {
    uint8_t key[AA_TOPIC_KEY_BYTES];
    size_t  at, len;
} packed_record;

typedef struct {
    aa_conf        cfg;
    loaded_replica lr;
    size_t         ids;
    packed_record *record; /* (2*PACKED) */
    uint8_t       *value;
    size_t         count, value_bytes, value_cap, records;
    double         apply_s;
} bench;

static void
apply_packed(bench *b)
{
    aa_err         err = AA_ERR_INIT;
    replica_effect effect;
    const double   from_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < b->count; i++) {
        const packed_record *re = &b->record[i];
        check(replica_apply(b->lr.rp, re->key, sizeof re->key, b->value + re->at, re->len, &effect,
                            &err),
              &err);
    }
    b->apply_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - from_s;
    b->records += b->count;
    b->count = b->value_bytes = 0;
}

static void
keep(bench *b, uint8_t kind, uint64_t id)
{
    packed_record     *re = &b->record[b->count++];
    const aa_topic_key k = {.kind = kind, .field = REPLICA_USER, .id = id};
    if (b->value_bytes + b->lr.by.len > b->value_cap) {
        b->value_cap = 2 * (b->value_bytes + b->lr.by.len);
        b->value = realloc(b->value, b->value_cap);
        AA_REQUIRE(b->value);
    }
    aa_topic_key_put(re->key, &k);
    re->at = b->value_bytes;
    re->len = b->lr.by.len;
    memcpy(b->value + re->at, b->lr.by.data, re->len);
    b->value_bytes += re->len;
}

static void
pack_id(bench *b, uint64_t n, uint64_t version)
{
    aa_err         err = AA_ERR_INIT;
    const uint64_t bits = aa_rng_bits(LOADED_SEED, AA_RNG_TEST, n, version);
    const float    lean = (float)(bits >> 40) / (float)(1 << 24) - 0.5f;
    const bool     own = n % 100 < HOLDERS_PERCENT;
    aa_assignment  a = {
         .run_id = 1, .version = version, .position = 1 + bits % 8, .alt_slot = AA_NO_SLOT};
    lean_reading(a.position, lean, aa_lean_bins(&b->cfg), &a.slot, &a.mix);
    if (own) {
        const uint32_t row = (uint32_t)(n / 100 * HOLDERS_PERCENT + n % 100);
        float          w[1025];
        a.alt_slot = a.slot;
        a.alt_mix = a.mix;
        a.mix = 0;
        a.position = (uint32_t)b->cfg.agent.positions + 1;
        a.born = 1 + n;
        a.slot = aa_shared_rows(&b->cfg) + row;
        aa_row_head rh = {.run_id = 1, .version = version, .born = a.born};
        for (size_t k = 0; k < b->lr.W; k++) /* of few bits: a bf16 */
            w[k] = (float)((bits >> k & 127) * 2 + 1) / 1024;
        check(aa_wire_pack_row(&b->lr.by, &rh, w, b->lr.W, &err), &err);
        keep(b, AA_KEY_ROW, a.slot);
    }
    check(aa_wire_pack_assignment(&b->lr.by, &a, &err), &err);
    keep(b, AA_KEY_ASSIGNMENT, aa_id_key_number((int64_t)n));
}

static double
round_of(bench *b, uint64_t version)
{
    b->records = 0;
    b->apply_s = 0;
    for (uint64_t n = 0; n < b->ids; n++) {
        pack_id(b, n, version);
        if (b->count + 2 > PACKED) apply_packed(b);
    }
    apply_packed(b);
    return (double)b->records / b->apply_s;
}

static double
time_lookups(bench *b)
{
    aa_err          err = AA_ERR_INIT;
    replica_reader *rr = NULL;
    float           x[1025];
    double          sum_s = 0;
    size_t          found = 0;
    check(replica_reader_open(&rr, b->lr.rp, &err), &err);
    for (uint64_t n = 0; n < LOOKUPS; n += BATCH) {
        uint64_t key[BATCH];
        for (uint64_t i = 0; i < BATCH; i++) {
            const uint64_t bits = aa_rng_bits(LOADED_SEED, AA_RNG_TEST, n + i, 1);
            key[i] = aa_id_key_number((int64_t)(bits % b->ids + (bits >> 63) * b->ids));
        }
        const double from_s = cpu_s(CLOCK_THREAD_CPUTIME_ID);
        replica_pin(rr);
        for (uint64_t i = 0; i < BATCH; i++) {
            aa_assignment    a;
            aa_score_reading rd;
            found += replica_read_id(rr, REPLICA_USER, key[i], x, &a, &rd);
        }
        replica_unpin(rr);
        sum_s += cpu_s(CLOCK_THREAD_CPUTIME_ID) - from_s;
    }
    AA_REQUIRE(found > LOOKUPS / 3);
    replica_reader_close(&rr);
    return LOOKUPS / sum_s;
}

int
main(int argc, char **argv)
{
    aa_err       err = AA_ERR_INIT;
    static bench b = {.ids = 2000000};
    int          first = 1;
    if (argc > 1 && !strchr(argv[1], '=')) b.ids = strtoul(argv[first++], NULL, 10);
    check(
        aa_conf_load(&b.cfg, NULL, (const char *const *)argv + first, (size_t)(argc - first), &err),
        &err);
    loaded_replica_init(&b.lr, &b.cfg, 0, 0);
    for (uint32_t slot = 0; slot < aa_shared_rows(&b.cfg); slot++)
        loaded_put_row(&b.lr, REPLICA_USER, slot, 1, 0);
    b.record = calloc(2 * PACKED, sizeof *b.record);
    b.value_cap = (size_t)PACKED * 256;
    b.value = calloc(1, b.value_cap);
    AA_REQUIRE(b.record && b.value);
    memset(b.value, 1, b.value_cap);
    memset(b.record, 1, 2 * PACKED * sizeof *b.record);
    const uint64_t before = aa_resident_bytes("VmRSS");
    const double   build = round_of(&b, 1), peak = (double)(aa_resident_bytes("VmHWM") - before);
    double         again = 0;
    replica_stats  rs;
    for (uint64_t version = 2; version <= ROUNDS; version++)
        again = round_of(&b, version);
    const double after = (double)(aa_resident_bytes("VmRSS") - before);
    replica_stats_get(b.lr.rp, &rs);
    AA_REQUIRE(rs.assignments[REPLICA_USER] == b.ids);
    printf("{\"replica_ids\": %zu, \"replica_rows\": %llu, \"replica_build_records_per_s\": %.0f, "
           "\"replica_again_records_per_s\": %.0f, \"replica_bytes_per_id\": %.1f, "
           "\"replica_resident_bytes_per_id\": %.1f, \"replica_peak_bytes_per_id\": %.1f, "
           "\"replica_lookups_per_s\": %.0f}\n",
           b.ids, (unsigned long long)rs.rows[REPLICA_USER], build, again,
           (double)rs.bytes / (double)b.ids, after / (double)b.ids, peak / (double)b.ids,
           time_lookups(&b));
    loaded_replica_fini(&b.lr);
    free(b.record);
    free(b.value);
    return 0;
}
