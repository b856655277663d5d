#include "common/links/upstream.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { RESET_EVERY_MS = 200 };

aa_status
aa_upstream_open(aa_upstream *up, const aa_conf *cfg, const char *endpoint, aa_err *err)
{
    const aa_link_keys keys = aa_link_keys_of(cfg);
    *up = (aa_upstream){.cfg = cfg};
    return aa_link_open(&up->ln, AA_LINK_BIND, endpoint, &keys, err);
}

void
aa_upstream_close(aa_upstream *up)
{
    aa_link_close(&up->ln);
    aa_bytes_fini(&up->bytes);
}

aa_status
aa_upstream_send(aa_upstream *up, aa_msg_kind kind, const aa_control *c, aa_err *err)
{
    aa_status st = aa_wire_pack_control(&up->bytes, c, err);
    if (st != AA_OK) return st;
    st = aa_link_send(up->ln, kind, up->bytes.data, up->bytes.len, err);
    return st == AA_EFULL ? AA_OK : st;
}

aa_status
aa_upstream_check_open(const aa_upstream *up, const aa_control *open, aa_err *err)
{
    const aa_conf *cfg = up->cfg;
    if (strncmp(open->pipeline, cfg->pipeline.name, sizeof open->pipeline - 1) != 0)
        return aa_fail(err, AA_ECONFIG, "this is pipeline \"%.60s\", not \"%.60s\"",
                       cfg->pipeline.name, open->pipeline);
    if ((int64_t)open->hd.lane != cfg->pipeline.lane)
        return aa_fail(err, AA_ECONFIG, "this is lane %" PRId64 ", not %" PRIu32,
                       cfg->pipeline.lane, open->hd.lane);
    if (open->config_digest != aa_conf_digest(cfg))
        return aa_fail(err, AA_ECONFIG,
                       "the configuration differs from ingest's: fields, agent, model, seed and "
                       "depth must agree");
    return AA_OK;
}

aa_status
aa_upstream_reset(aa_upstream *up, uint64_t run_id, uint64_t bad_epoch, const char *reason,
                  bool *sent, aa_err *err)
{
    aa_control c = {.hd = {.run_id = run_id, .lane = (uint32_t)up->cfg->pipeline.lane},
                    .epoch = bad_epoch};
    *sent = run_id != up->reset_run_id || aa_now_ms() - up->reset_ms >= RESET_EVERY_MS;
    if (!*sent) return AA_OK;
    up->reset_run_id = run_id;
    up->reset_ms = aa_now_ms();
    snprintf(c.reason, sizeof c.reason, "%s", reason);
    aa_info("RUN-RESET", "run %" PRIu64 ": %s", run_id, reason);
    return aa_upstream_send(up, AA_MSG_RESET, &c, err);
}

aa_status
aa_upstream_answer(aa_upstream *up, aa_msg_kind kind, const aa_control *barrier, aa_err *err)
{
    up->answer = *barrier;
    up->answer_kind = kind;
    return aa_upstream_send(up, kind, &up->answer, err);
}

bool
aa_upstream_answered(const aa_upstream *up, uint64_t epoch)
{
    return epoch != 0 && epoch == up->answer.epoch;
}

aa_status
aa_upstream_answer_again(aa_upstream *up, aa_err *err)
{
    return aa_upstream_send(up, up->answer_kind, &up->answer, err);
}

void
aa_upstream_forget(aa_upstream *up)
{
    up->answer.epoch = 0;
}
