#include "ingest/registry/registry.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "ingest/registry/registry_internal.h"
#include "ingest/registry/schema_cache.h"

enum { BACKOFF_MIN_MS = 250, BACKOFF_MAX_MS = 10000 };

typedef enum { ASKED, KNOWN, NOT_THERE, NOT_FIT } entry_state;

/* A number that was asked for. */
typedef struct {
    uint32_t      id;
    entry_state   state;
    schema_texts *texts;    /* KNOWN: owned; not changed any more */
    int64_t       until_ms; /* NOT_THERE: asked again after that */
    aa_err        why;      /* NOT_FIT */
} entry;

/* Everything but cfg, source and fetch is under the lock; fetch is the thread's. */
struct registry {
    const aa_conf  *cfg; /* borrowed */
    schema_source   source;
    registry_fetch *fetch; /* owned */
    pthread_t       thread;
    bool            started;
    pthread_mutex_t lock;
    pthread_cond_t  asked, answered;
    bool            leaving;
    entry         **en; /* (count of cap) owned, in the order in which they were asked for */
    size_t          count, cap;
    bool            away; /* the last try failed, for why */
    aa_err          why;
    uint64_t        fetched, failed;
};

/* ---- the caller's side ---- */

static entry *
find_asked(registry *rg, uint32_t id)
{
    for (size_t i = 0; i < rg->count; i++)
        if (rg->en[i]->id == id) return rg->en[i];
    return NULL;
}

static void
free_entry(entry *en)
{
    if (en->texts) registry_free_texts(en->texts);
    free(en->texts);
    free(en);
}

/* The oldest that is answered makes room: whoever used it has made a plan of it. */
static bool
make_room(registry *rg)
{
    if (rg->count < REGISTRY_SCHEMAS) return true;
    for (size_t i = 0; i < rg->count; i++) {
        if (rg->en[i]->state == ASKED) continue;
        free_entry(rg->en[i]);
        memmove(&rg->en[i], &rg->en[i + 1], (--rg->count - i) * sizeof(entry *));
        return true;
    }
    return false;
}

static entry *
add_asked(registry *rg, uint32_t id)
{
    if (!make_room(rg)) return NULL;
    if (rg->count == rg->cap) {
        const size_t cap = rg->cap > 0 ? 2 * rg->cap : 16;
        entry      **grown = realloc(rg->en, cap * sizeof(entry *));
        if (!grown) return NULL;
        rg->en = grown;
        rg->cap = cap;
    }
    entry *en = calloc(1, sizeof *en);
    if (!en) return NULL;
    en->id = id;
    rg->en[rg->count++] = en;
    return en;
}

/* Until it is answered; not at all while the registry is away. */
static void
wait_for_answer(registry *rg, const entry *en)
{
    const struct timespec until = aa_wall_in(REGISTRY_WAIT_MS);
    while (en->state == ASKED && !rg->away)
        if (pthread_cond_timedwait(&rg->answered, &rg->lock, &until) == ETIMEDOUT) return;
}

static schema_answer
answer_of(registry *rg, const entry *en, const schema_texts **out, aa_err *err)
{
    switch (en->state) {
    case KNOWN: *out = en->texts; return SCHEMA_FOUND;
    case NOT_THERE: return SCHEMA_UNKNOWN;
    case NOT_FIT: *err = en->why; return SCHEMA_UNFIT;
    case ASKED: break;
    }
    (void)!aa_fail(err, AA_EAGAIN, "the registry does not answer%s%.100s", rg->away ? ": " : "",
                   rg->away ? rg->why.text : "");
    return SCHEMA_LATER;
}

static schema_answer
get_schema(void *arg, uint32_t id, const schema_texts **out, aa_err *err)
{
    registry     *rg = arg;
    schema_answer an = SCHEMA_LATER;
    pthread_mutex_lock(&rg->lock);
    entry *en = find_asked(rg, id);
    if (en && en->state == NOT_THERE && aa_now_ms() >= en->until_ms) en->state = ASKED;
    if (!en) en = add_asked(rg, id);
    if (en) {
        if (en->state == ASKED) {
            pthread_cond_signal(&rg->asked);
            wait_for_answer(rg, en);
        }
        an = answer_of(rg, en, out, err);
    } else {
        (void)!aa_fail(err, AA_ENOMEM, "too many schemas are asked for");
    }
    pthread_mutex_unlock(&rg->lock);
    return an;
}

const schema_source *
registry_source(const registry *rg)
{
    return rg ? &rg->source : NULL;
}

const char *
registry_trouble(registry *rg)
{
    if (!rg) return NULL;
    pthread_mutex_lock(&rg->lock);
    const bool away = rg->away;
    pthread_mutex_unlock(&rg->lock);
    return away ? "the schema registry does not answer" : NULL;
}

void
registry_counts(registry *rg, uint64_t *fetched, uint64_t *failed)
{
    *fetched = *failed = 0;
    if (!rg) return;
    pthread_mutex_lock(&rg->lock);
    *fetched = rg->fetched;
    *failed = rg->failed;
    pthread_mutex_unlock(&rg->lock);
}

/* ---- the thread ---- */

typedef struct {
    schema_answer answer;
    bool          cached; /* it came from the disk */
    schema_texts *texts;
    aa_err        why;
} fetched;

static void
fetch_anywhere(registry *rg, uint32_t id, fetched *fe)
{
    aa_err    err = AA_ERR_INIT;
    aa_status st = schema_cache_get(rg->cfg, id, fe->texts, &err);
    fe->cached = st == AA_OK;
    fe->answer = SCHEMA_FOUND;
    if (st == AA_OK) return;
    if (st != AA_EAGAIN) aa_warn("SCHEMA-CACHE", "%s: asking the registry", err.text);
    fe->answer = registry_fetch_schema(rg->fetch, id, fe->texts, &fe->why);
    if (fe->answer != SCHEMA_FOUND) return;
    st = schema_cache_put(rg->cfg, id, fe->texts, &err);
    if (st != AA_OK) aa_warn("SCHEMA-CACHE", "%s: not kept", err.text);
}

/* So that one that always fails does not keep others from being asked for. */
static void
move_to_end(registry *rg, entry *en)
{
    size_t at = 0;
    while (rg->en[at] != en)
        at++;
    memmove(&rg->en[at], &rg->en[at + 1], (rg->count - at - 1) * sizeof(entry *));
    rg->en[rg->count - 1] = en;
}

static void
note_answer(registry *rg, entry *en, fetched *fe)
{
    const bool was_away = rg->away;
    rg->away = fe->answer == SCHEMA_LATER;
    rg->failed += rg->away;
    rg->fetched += fe->answer == SCHEMA_FOUND && !fe->cached;
    switch (fe->answer) {
    case SCHEMA_FOUND:
        en->texts = fe->texts;
        fe->texts = NULL;
        en->state = KNOWN;
        break;
    case SCHEMA_UNKNOWN:
        en->state = NOT_THERE;
        en->until_ms = aa_now_ms() + REGISTRY_UNKNOWN_MS;
        break;
    case SCHEMA_UNFIT:
        en->state = NOT_FIT;
        en->why = fe->why;
        break;
    case SCHEMA_LATER:
        rg->why = fe->why;
        move_to_end(rg, en);
        break;
    }
    pthread_cond_broadcast(&rg->answered);
    if (rg->away && !was_away)
        aa_warn("SCHEMA-WAIT", "schema %" PRIu32 ": %s: its partitions wait", en->id, fe->why.text);
    if (!rg->away && was_away && !fe->cached) aa_info("SCHEMA-WAIT", "the registry answers again");
}

static entry *
next_asked(registry *rg)
{
    for (size_t i = 0; i < rg->count; i++)
        if (rg->en[i]->state == ASKED) return rg->en[i];
    return NULL;
}

static void
pause_thread(registry *rg, int pause_ms)
{
    const struct timespec until = aa_wall_in(pause_ms);
    while (!rg->leaving && pthread_cond_timedwait(&rg->asked, &rg->lock, &until) != ETIMEDOUT)
        continue;
}

/* With the lock, which is let go while the registry is asked. An entry that is asked for stays. */
static void
serve_one(registry *rg, entry *en, int *pause_ms)
{
    fetched fe = {.why = AA_ERR_INIT};
    pthread_mutex_unlock(&rg->lock);
    fe.answer = SCHEMA_LATER;
    fe.texts = calloc(1, sizeof *fe.texts);
    if (fe.texts)
        fetch_anywhere(rg, en->id, &fe);
    else
        (void)!aa_fail(&fe.why, AA_ENOMEM, "out of memory");
    pthread_mutex_lock(&rg->lock);
    note_answer(rg, en, &fe);
    free(fe.texts);
    if (!rg->away) {
        *pause_ms = BACKOFF_MIN_MS;
        return;
    }
    pause_thread(rg, *pause_ms);
    *pause_ms = *pause_ms < BACKOFF_MAX_MS / 2 ? *pause_ms * 2 : BACKOFF_MAX_MS;
}

static void *
run_registry(void *arg)
{
    registry *rg = arg;
    int       pause_ms = BACKOFF_MIN_MS;
    pthread_mutex_lock(&rg->lock);
    while (!rg->leaving) {
        entry *en = next_asked(rg);
        if (en)
            serve_one(rg, en, &pause_ms);
        else
            pthread_cond_wait(&rg->asked, &rg->lock);
    }
    pthread_mutex_unlock(&rg->lock);
    return NULL;
}

/* ---- open ---- */

aa_status
registry_open(registry **out, const aa_conf *cfg, aa_err *err)
{
    *out = NULL;
    if (!*cfg->event.schema_registry) return AA_OK;
    registry *rg = calloc(1, sizeof *rg);
    if (!rg) return aa_fail(err, AA_ENOMEM, "schema registry");
    rg->cfg = cfg;
    rg->source = (schema_source){get_schema, rg};
    pthread_mutex_init(&rg->lock, NULL);
    pthread_cond_init(&rg->asked, NULL);
    pthread_cond_init(&rg->answered, NULL);
    aa_status st = curl_global_init(CURL_GLOBAL_DEFAULT) == 0
                       ? registry_fetch_open(&rg->fetch, cfg, err)
                       : aa_fail(err, AA_EIO, "libcurl does not start");
    if (st == AA_OK) {
        rg->started = pthread_create(&rg->thread, NULL, run_registry, rg) == 0;
        if (!rg->started) st = aa_fail(err, AA_ENOMEM, "no thread for the schema registry");
    }
    if (st != AA_OK) {
        registry_close(&rg);
        return st;
    }
    *out = rg;
    return AA_OK;
}

void
registry_close(registry **rg_p)
{
    registry *rg = *rg_p;
    if (!rg) return;
    if (rg->started) {
        pthread_mutex_lock(&rg->lock);
        rg->leaving = true;
        pthread_cond_broadcast(&rg->asked);
        pthread_mutex_unlock(&rg->lock);
        registry_fetch_stop(rg->fetch);
        pthread_join(rg->thread, NULL);
    }
    registry_fetch_close(&rg->fetch);
    for (size_t i = 0; i < rg->count; i++)
        free_entry(rg->en[i]);
    free(rg->en);
    pthread_cond_destroy(&rg->asked);
    pthread_cond_destroy(&rg->answered);
    pthread_mutex_destroy(&rg->lock);
    curl_global_cleanup();
    free(rg);
    *rg_p = NULL;
}
