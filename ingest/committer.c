#include "ingest/committer.h"

#include <inttypes.h>

#include "common/base/log.h"

enum {
    LOOK_US = 20000,      /* between looks for an answer; it also wakes the loop */
    RETRY_US = 500000,    /* between tries after broker trouble */
    ANSWER_US = 10000000, /* then the commit is sent again */
    SAY_US = 3000000      /* what takes longer than this is said, and again every so often */
};

static committer_result
later(committer *co, int64_t now_us, int64_t pause_us, const char *why)
{
    co->again_us = now_us + pause_us;
    if (co->said_us == 0) co->said_us = now_us + SAY_US;
    if (now_us < co->said_us) return COMMITTER_LATER;
    co->said_us = now_us + SAY_US;
    aa_warn("COMMIT", "%s; tried again", why);
    return COMMITTER_LATER;
}

/* The answer to the commit that was sent, or a new try. */
static committer_result
ask_kafka(committer *co, source *so, const resume *re, int64_t now_us, aa_err *err)
{
    bool      answered = false;
    aa_status st = AA_OK;

    if (!co->sent) {
        st = source_commit(so, re, err);
        co->sent = st == AA_OK;
        co->sent_us = now_us;
    }
    if (st == AA_OK) st = source_committed(so, &answered, err);
    if (st == AA_OK && !answered) {
        if (now_us - co->sent_us >= ANSWER_US) co->sent = false;
        return later(co, now_us, LOOK_US, "commit to group: no answer from the broker");
    }
    co->sent = false;
    if (st == AA_EAGAIN) return later(co, now_us, RETRY_US, err->text);
    return st == AA_OK ? COMMITTER_DONE : COMMITTER_REFUSED;
}

static committer_result
save_checkpoint(committer *co, const resume *re, aa_err *err)
{
    aa_status st = AA_OK;

    if (resume_overtaken(co->cfg, re->epoch, re->run))
        st = aa_fail(err, AA_EIO,
                     "another ingest of this pipeline and lane has written epoch %" PRIu64
                     " since: it took over",
                     re->epoch);
    if (st != AA_OK) return COMMITTER_FAILED;
    st = resume_save(re, co->cfg, err);
    if (st == AA_EIO) return COMMITTER_UNSAVED;
    if (st != AA_OK) return COMMITTER_REFUSED;
    co->run = re->run;
    co->epoch = re->epoch;
    return COMMITTER_DONE;
}

committer_result
committer_try(committer *co, letters *le, source *so, const resume *re, int64_t now_us, aa_err *err)
{
    aa_status        st = letters_durable(le, err);
    committer_result result;

    if (st == AA_EAGAIN) return later(co, now_us, LOOK_US, err->text);
    if (st != AA_OK) return COMMITTER_FAILED;
    if (re->run != co->run || re->epoch != co->epoch) {
        result = save_checkpoint(co, re, err);
        if (result != COMMITTER_DONE) return result;
    }
    result = ask_kafka(co, so, re, now_us, err);
    if (result != COMMITTER_LATER) co->said_us = 0;
    return result;
}

bool
committer_settled(committer *co, source *so, int64_t now_us)
{
    aa_err err = AA_ERR_INIT;
    bool   answered = true;

    if (!co->sent) return true;
    const aa_status st = source_committed(so, &answered, &err); /* an error is an answer, too */
    if (st == AA_OK && !answered && now_us - co->sent_us < ANSWER_US) return false;
    co->sent = false;
    co->said_us = 0;
    return true;
}
