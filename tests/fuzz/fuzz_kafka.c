/* What Kafka hands back beside values: keys of the compacted topics (the first byte is even) and
 * the metadata of commits (odd). A key that is accepted is written back as the same bytes; metadata
 * that names an epoch of a lane still does after another lane's commit has been put before it. */
#include "common/messages/wire_topic.h"
#include "ingest/resume.h"
#include "tests/fuzz/fuzz.h"

static void
topic_key(const uint8_t *data, size_t size)
{
    aa_topic_key k;
    aa_err       err = AA_ERR_INIT;
    uint8_t      again[AA_TOPIC_KEY_BYTES];
    if (aa_topic_key_get(&k, data, size, &err) != AA_OK) {
        AA_REQUIRE(err.text[0]);
        return;
    }
    aa_topic_key_put(again, &k);
    AA_REQUIRE(size == sizeof again && memcmp(again, data, size) == 0);
}

/* What the lane's newest epoch is in this metadata, as ingest asks. */
static uint64_t
epoch_in(const char *metadata, int64_t lane, uint64_t *seq)
{
    aa_kafka_offset *po = calloc(1, sizeof *po);
    AA_REQUIRE(po);
    snprintf(po->metadata, sizeof po->metadata, "%s", metadata);
    const uint64_t epoch = resume_epoch(po, 1, lane, seq);
    free(po);
    return epoch;
}

static void
commit(const uint8_t *data, size_t size)
{
    enum { OWN = 3, OTHER = 4 };
    char     text[AA_KAFKA_METADATA] = "", next[AA_KAFKA_METADATA], without[AA_KAFKA_METADATA];
    uint64_t epoch = 0, seq = 0, seq_again = 0;
    aa_err   err = AA_ERR_INIT;
    memcpy(text, data, size < sizeof text - 1 ? size : sizeof text - 1);

    const bool     ours = resume_parse(text, OWN, &epoch, &seq);
    const uint64_t newest = epoch_in(text, OWN, &seq_again);
    AA_REQUIRE(!ours || (epoch > 0 && newest >= epoch));

    if (resume_metadata(next, 7, 9, OTHER, 11, text, &err) != AA_OK) return;
    AA_REQUIRE(resume_parse(next, OTHER, &epoch, &seq) && epoch == 7 && seq == 9);
    AA_REQUIRE(!resume_parse(next, OWN, &epoch, &seq));
    AA_REQUIRE(epoch_in(next, OWN, &seq) == newest && (newest == 0 || seq == seq_again));
    if (resume_metadata_without(without, OTHER, next))
        AA_REQUIRE(epoch_in(without, OTHER, &seq) == 0 && epoch_in(without, OWN, &seq) == newest);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    if (data[0] % 2)
        commit(data + 1, size - 1);
    else
        topic_key(data + 1, size - 1);
    return 0;
}

/* Now and then begin anew from a valid key or commit. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    char   text[AA_KAFKA_METADATA] = "", before[AA_KAFKA_METADATA];
    aa_err err = AA_ERR_INIT;
    if ((size > 1 && seed % 16) || max_size < 256) return LLVMFuzzerMutate(data, size, max_size);
    seed /= 16;
    if (seed % 2) {
        const aa_topic_key k = {
            .lane = seed % 5, .kind = (uint8_t) "antrd"[seed / 8 % 5], .id = seed};
        data[0] = 0;
        aa_topic_key_put(data + 1, &k);
        return 1 + AA_TOPIC_KEY_BYTES;
    }
    for (unsigned lane = 0; lane <= seed / 2 % 4; lane++) {
        snprintf(before, sizeof before, "%s", text);
        if (resume_metadata(text, seed % 100 + 1, seed, 5 - lane, seed % 3, before, &err) != AA_OK)
            break;
    }
    data[0] = 1;
    memcpy(data + 1, text, strlen(text));
    return 1 + strlen(text);
}
