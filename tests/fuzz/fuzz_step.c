/* Messages between processes that decode, but say anything: an assigner and a learner in the midst
 * of a run refuse them and are as before, or take them and can go on. First byte: events, an
 * assigned batch, or rewards; second: whether the sequence number is put right. */
#include "assigner/assigner.h"
#include "learner/learner.h"
#include "tests/fuzz/fuzz.h"
#include "tests/wire_samples.h"

enum { EVENTS, ASSIGNED, REWARDS, KINDS };
enum { BATCH_EVENTS = 6, WARM_BATCHES = 2, WRONG_SEQ = 1 };

static aa_conf cfg;

typedef struct {
    assigner         *as;
    learner          *le;
    uint64_t          seq; /* of the last batch that went through both */
    aa_event_batch    ev;
    aa_assigned_batch assigned;
    aa_reward_batch   rw;
} world;

static void
start(void)
{
    aa_err err = AA_ERR_INIT;
    if (cfg.field_count) return;
    aa_conf_defaults(&cfg);
    cfg.model.dim = 2;
    cfg.hidden[0] = 3;
    cfg.hidden_count = 1;
    snprintf(cfg.model.hidden, sizeof cfg.model.hidden, "3");
    cfg.agent.positions = 2;
    cfg.pipeline.depth = 1;
    sample_must(aa_conf_finish(&cfg, &err), &err);
}

/* Events of few IDs, so that some hold rows. */
static void
make_events(world *wo, sample_rng *rng)
{
    sample_events(&wo->ev, rng, BATCH_EVENTS, cfg.field_count);
    wo->ev.hd = (aa_header){.run_id = 1, .seq = wo->seq + 1};
    for (size_t i = 0; i < BATCH_EVENTS * cfg.field_count; i++)
        wo->ev.key[i] = 1 + wo->ev.key[i] % 5;
    for (size_t i = 0; i < BATCH_EVENTS; i++)
        wo->ev.label[i] = (float)(i % 2);
}

static void
run_batches(world *wo, sample_rng *rng, size_t count)
{
    aa_err err = AA_ERR_INIT;
    for (size_t i = 0; i < count; i++) {
        make_events(wo, rng);
        sample_must(assigner_step(wo->as, &wo->ev, &wo->assigned, &err), &err);
        sample_must(learner_step(wo->le, &wo->assigned, &wo->rw, NULL, &err), &err);
        sample_must(assigner_learn(wo->as, &wo->rw, &err), &err);
        wo->seq++;
    }
}

static void
offer_events(world *wo, const uint8_t *data, size_t size, bool right)
{
    aa_err err = AA_ERR_INIT;
    if (aa_wire_unpack_events(&wo->ev, data, size, &err) != AA_OK) return;
    if (right) wo->ev.hd.seq = assigner_next_batch(wo->as);
    const uint64_t  before = assigner_digest(wo->as);
    const aa_status st = assigner_step(wo->as, &wo->ev, &wo->assigned, &err);
    if (st != AA_OK) AA_REQUIRE(st == AA_EPARSE && assigner_digest(wo->as) == before);
    if (st != AA_OK) return;
    /* what the assigner makes of any events the learner takes, and its rewards the assigner */
    sample_must(learner_step(wo->le, &wo->assigned, &wo->rw, NULL, &err), &err);
    sample_must(assigner_learn(wo->as, &wo->rw, &err), &err);
    wo->seq++;
    sample_rng rng = {.seed = 3};
    run_batches(wo, &rng, 1);
}

static void
offer_assigned(world *wo, const uint8_t *data, size_t size, bool right)
{
    aa_err err = AA_ERR_INIT;
    if (aa_wire_unpack_assigned(&wo->assigned, data, size, &err) != AA_OK) return;
    if (right) wo->assigned.hd.seq = learner_next_batch(wo->le);
    const uint64_t  before = learner_digest(wo->le);
    const aa_status st = learner_step(wo->le, &wo->assigned, &wo->rw, NULL, &err);
    if (st != AA_OK) {
        AA_REQUIRE(st == AA_EPARSE && learner_digest(wo->le) == before);
        return;
    }
    learner_change change[64];
    size_t         count = 0;
    AA_REQUIRE(learner_changes(wo->le, true, change, 64, &count, &err) == AA_OK);
    AA_REQUIRE(learner_rewards(wo->le, wo->assigned.hd.seq));
}

static void
offer_rewards(world *wo, const uint8_t *data, size_t size, bool right)
{
    aa_err err = AA_ERR_INIT;
    if (aa_wire_unpack_rewards(&wo->rw, data, size, &err) != AA_OK) return;
    make_events(wo, &(sample_rng){.seed = 4});
    sample_must(assigner_step(wo->as, &wo->ev, &wo->assigned, &err), &err);
    if (right) wo->rw.hd.seq = assigner_next_reward(wo->as);
    const uint64_t  before = assigner_digest(wo->as);
    const aa_status st = assigner_learn(wo->as, &wo->rw, &err);
    if (st != AA_OK) AA_REQUIRE(st == AA_EPARSE && assigner_digest(wo->as) == before);
    if (st != AA_OK) return;
    wo->ev.hd.seq++;
    sample_must(assigner_step(wo->as, &wo->ev, &wo->assigned, &err), &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    world      wo = {0};
    sample_rng rng = {.seed = 1};
    aa_err     err = AA_ERR_INIT;
    if (size < 2) return 0;
    start();
    sample_must(assigner_new(&wo.as, &cfg, &err), &err);
    sample_must(learner_new(&wo.le, &cfg, &err), &err);
    run_batches(&wo, &rng, WARM_BATCHES);
    const bool right = data[1] != WRONG_SEQ;
    switch (data[0] % KINDS) {
    case EVENTS: offer_events(&wo, data + 2, size - 2, right); break;
    case ASSIGNED: offer_assigned(&wo, data + 2, size - 2, right); break;
    default: offer_rewards(&wo, data + 2, size - 2, right); break;
    }
    assigner_free(&wo.as);
    learner_free(&wo.le);
    aa_event_batch_fini(&wo.ev);
    aa_assigned_batch_fini(&wo.assigned);
    aa_reward_batch_fini(&wo.rw);
    return 0;
}

/* A batch as the real processes would make next, packed. */
static void
pack_next(unsigned kind, sample_rng *rng, aa_bytes *by)
{
    world  wo = {0};
    aa_err err = AA_ERR_INIT;
    start();
    sample_must(assigner_new(&wo.as, &cfg, &err), &err);
    sample_must(learner_new(&wo.le, &cfg, &err), &err);
    run_batches(&wo, &(sample_rng){.seed = 1}, WARM_BATCHES);
    make_events(&wo, kind == REWARDS ? &(sample_rng){.seed = 4} : rng);
    if (kind == EVENTS) {
        sample_must(aa_wire_pack_events(by, &wo.ev, &err), &err);
    } else {
        sample_must(assigner_step(wo.as, &wo.ev, &wo.assigned, &err), &err);
        if (kind == REWARDS) {
            sample_must(learner_step(wo.le, &wo.assigned, &wo.rw, NULL, &err), &err);
            sample_must(aa_wire_pack_rewards(by, &wo.rw, &err), &err);
        } else {
            sample_must(aa_wire_pack_assigned(by, &wo.assigned, &err), &err);
        }
    }
    assigner_free(&wo.as);
    learner_free(&wo.le);
    aa_event_batch_fini(&wo.ev);
    aa_assigned_batch_fini(&wo.assigned);
    aa_reward_batch_fini(&wo.rw);
}

/* Now and then begin anew from a good message. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static aa_bytes by;
    sample_rng      rng = {.seed = seed};
    if (size > 2 && seed % 16) return LLVMFuzzerMutate(data, size, max_size);
    const unsigned kind = sample_below(&rng, KINDS);
    pack_next(kind, &rng, &by);
    if (by.len + 2 > max_size) return LLVMFuzzerMutate(data, size, max_size);
    data[0] = (uint8_t)kind;
    data[1] = 0;
    memcpy(data + 2, by.data, by.len);
    return by.len + 2;
}
