/* Rates of packing and unpacking batches, in events per second: lines of `name value`. */
#include "common/base/clock.h"
#include "tests/wire_samples.h"

#define EVENTS 512
#define FIELDS 2
#define RUN_US 300000

typedef aa_status step(void *batch, aa_bytes *by, aa_err *err);

static aa_status
pack_events(void *batch, aa_bytes *by, aa_err *err)
{
    return aa_wire_pack_events(by, batch, err);
}
static aa_status
unpack_events(void *batch, aa_bytes *by, aa_err *err)
{
    return aa_wire_unpack_events(batch, by->data, by->len, err);
}
static aa_status
pack_assigned(void *batch, aa_bytes *by, aa_err *err)
{
    return aa_wire_pack_assigned(by, batch, err);
}
static aa_status
unpack_assigned(void *batch, aa_bytes *by, aa_err *err)
{
    return aa_wire_unpack_assigned(batch, by->data, by->len, err);
}
static aa_status
pack_rewards(void *batch, aa_bytes *by, aa_err *err)
{
    return aa_wire_pack_rewards(by, batch, err);
}
static aa_status
unpack_rewards(void *batch, aa_bytes *by, aa_err *err)
{
    return aa_wire_unpack_rewards(batch, by->data, by->len, err);
}

/* Best of three. */
static void
measure(const char *name, step *run, void *batch, aa_bytes *by)
{
    aa_err err = AA_ERR_INIT;
    double best = 0;
    for (int round = 0; round < 3; round++) {
        int64_t start = aa_now_us(), now;
        size_t  events = 0;
        do {
            for (int i = 0; i < 100; i++)
                sample_must(run(batch, by, &err), &err);
            events += (size_t)100 * EVENTS;
            now = aa_now_us();
        } while (now - start < RUN_US);
        double rate = (double)events * 1e6 / (double)(now - start);
        if (rate > best) best = rate;
    }
    printf("%s %.0f\n", name, best);
}

int
main(void)
{
    sample_rng        rng = {.seed = 1};
    aa_event_batch    ev = {0};
    aa_assigned_batch as = {0};
    aa_reward_batch   rw = {0};
    aa_bytes          by = {0};
    sample_events(&ev, &rng, EVENTS, FIELDS);
    sample_assigned(&as, &rng, EVENTS, FIELDS, false);
    sample_rewards(&rw, &rng, EVENTS, EVENTS * FIELDS);
    measure("wire_pack_events_per_s", pack_events, &ev, &by);
    measure("wire_unpack_events_per_s", unpack_events, &ev, &by);
    measure("wire_pack_assigned_per_s", pack_assigned, &as, &by);
    measure("wire_unpack_assigned_per_s", unpack_assigned, &as, &by);
    measure("wire_pack_rewards_per_s", pack_rewards, &rw, &by);
    measure("wire_unpack_rewards_per_s", unpack_rewards, &rw, &by);
    aa_event_batch_fini(&ev);
    aa_assigned_batch_fini(&as);
    aa_reward_batch_fini(&rw);
    aa_bytes_fini(&by);
    return 0;
}
