#include "learner/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/state/holdfile.h"
#include "learner/guard.h"

struct hold {
    const aa_conf *cfg; /* borrowed */
    guard         *gd;
    aa_hold_word   word;
    aa_hold_state  state;
    const char    *guard_why; /* the last measure that was out of its band */
    bool           saved;     /* state is on disk */
};

static void
save_state(hold *ho)
{
    aa_err err = AA_ERR_INIT;
    ho->saved = aa_hold_state_write(ho->cfg, &ho->state, &err) == AA_OK;
    if (!ho->saved) aa_warn("PUBLISH-FILE", "%s", err.text);
}

static void
log_change(const hold *ho)
{
    const guard_report *rp = guard_last(ho->gd);
    char                kv[256];
    int n = snprintf(kv, sizeof kv, "reason=%s word=%s events=%" PRIu64, hold_why(ho),
                     aa_hold_word_text(ho->word), rp->events);
    if (rp->verdict != GUARD_GOOD)
        n +=
            snprintf(kv + n, sizeof kv - (size_t)n, " value=%.4f limit=%.4f", rp->value, rp->limit);
    snprintf(kv + n, sizeof kv - (size_t)n,
             " logloss=%.4f calibration=%.4f auc=%.4f bad_gradients=%.4f", rp->logloss,
             rp->calibration, rp->auc, rp->bad_gradients);
    if (ho->state.held)
        aa_log_write(AA_WARN, "PUBLISH-HELD", kv,
                     "nothing is published: scorers keep the model that they have");
    else
        aa_log_write(AA_INFO, "PUBLISH-RESUMED", kv, "the model is published again");
}

static void
settle_state(hold *ho)
{
    const aa_hold_state was = ho->state;
    aa_hold_state      *is = &ho->state;
    const guard_report *rp = guard_last(ho->gd);
    if (rp->verdict != GUARD_GOOD) ho->guard_why = guard_text(rp->verdict);
    is->bad = guard_holds(ho->gd);
    is->held = ho->word == AA_HOLD_HOLD || (ho->word == AA_HOLD_AUTO && is->bad);
    const char *why = !is->held ? "" : ho->word == AA_HOLD_HOLD ? "operator" : ho->guard_why;
    snprintf(is->why, sizeof is->why, "%s", why);
    if (is->held != was.held) log_change(ho);
    if (is->held != was.held || is->bad != was.bad || strcmp(is->why, was.why) != 0) save_state(ho);
}

aa_status
hold_open(hold **out, const aa_conf *cfg, aa_err *err)
{
    aa_err why = AA_ERR_INIT;
    hold  *ho = calloc(1, sizeof *ho);
    if (!ho) return aa_fail(err, AA_ENOMEM, "guard of publication");
    ho->cfg = cfg;
    ho->guard_why = "restart";
    aa_status st = aa_hold_state_read(cfg, &ho->state, NULL, &why);
    if (st != AA_OK) aa_warn("PUBLISH-FILE", "%s", why.text);
    ho->gd = guard_new(cfg, ho->state.bad);
    if (!ho->gd) {
        hold_close(&ho);
        return aa_fail(err, AA_ENOMEM, "guard of publication");
    }
    ho->state.held = false; /* if it is, that is logged */
    hold_look(ho);
    if (!ho->saved) save_state(ho);
    *out = ho;
    return AA_OK;
}

void
hold_close(hold **ho_p)
{
    if (!*ho_p) return;
    if ((*ho_p)->gd) guard_free(&(*ho_p)->gd);
    free(*ho_p);
    *ho_p = NULL;
}

void
hold_add(hold *ho, const float *prediction, const float *label, size_t n)
{
    guard_add(ho->gd, prediction, label, n);
    settle_state(ho);
}

void
hold_look(hold *ho)
{
    aa_err       err = AA_ERR_INIT;
    aa_hold_word word;
    if (!ho) return;
    aa_status st = aa_hold_word_read(ho->cfg, &word, &err);
    if (st == AA_OK)
        ho->word = word;
    else
        aa_warn("PUBLISH-FILE", "%s", err.text);
    settle_state(ho);
}

bool
hold_on(const hold *ho)
{
    return ho && ho->state.held;
}

const char *
hold_why(const hold *ho)
{
    return ho ? ho->state.why : "";
}
