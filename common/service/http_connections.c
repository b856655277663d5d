#include "common/service/http_connections.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct aa_http_connection {
    aa_http_connection *prev, *next;
    int                 fd;
    aa_http_state       state;
    int64_t             since_ms; /* in this state */
    bool                extra, gone;
};

struct aa_http_connections {
    aa_http_limits      limits;
    pthread_mutex_t     lock;  /* of what follows */
    aa_http_connection *first; /* newest */
    int64_t             count;
    aa_gauge           *open; /* or NULL, all three */
    aa_counter         *slow, *evicted;
};

aa_http_connections *
aa_http_connections_new(const aa_http_limits *limits, aa_metrics *ms)
{
    aa_http_connections *cs = calloc(1, sizeof *cs);
    if (!cs) return NULL;
    cs->limits = *limits;
    pthread_mutex_init(&cs->lock, NULL);
    if (!ms) return cs;
    cs->open =
        aa_metrics_gauge(ms, "autoassign_http_connections", "", "HTTP connections that are open");
    cs->slow = aa_metrics_counter(ms, "autoassign_http_slow_requests_total", "",
                                  "Requests given up because they took too long to arrive, or "
                                  "their answers to be taken");
    cs->evicted = aa_metrics_counter(ms, "autoassign_http_evicted_connections_total", "",
                                     "Idle connections closed to make room for others");
    return cs;
}

void
aa_http_connections_free(aa_http_connections **cs_p)
{
    aa_http_connections *cs = *cs_p;
    if (!cs) return;
    while (cs->first) {
        aa_http_connection *next = cs->first->next;
        free(cs->first);
        cs->first = next;
    }
    pthread_mutex_destroy(&cs->lock);
    free(cs);
    *cs_p = NULL;
}

static void
let_go(aa_http_connection *cn)
{
    cn->gone = true;
    shutdown(cn->fd, SHUT_RDWR); /* its owner sees the end, and closes it */
}

/* True: there was one. */
static bool
evict_idle(aa_http_connections *cs)
{
    aa_http_connection *oldest = NULL;
    for (aa_http_connection *cn = cs->first; cn; cn = cn->next)
        if (cn->state == AA_HTTP_IDLE && !cn->gone && (!oldest || cn->since_ms <= oldest->since_ms))
            oldest = cn;
    if (!oldest) return false;
    let_go(oldest);
    if (cs->evicted) aa_counter_add(cs->evicted, 1);
    return true;
}

aa_http_connection *
aa_http_connections_open(aa_http_connections *cs, int fd, int64_t now_ms)
{
    aa_http_connection *cn = calloc(1, sizeof *cn);
    if (!cn) return NULL;
    cn->fd = fd;
    cn->since_ms = now_ms;
    pthread_mutex_lock(&cs->lock);
    if (cs->count >= cs->limits.max_connections) cn->extra = !evict_idle(cs);
    cn->next = cs->first;
    if (cs->first) cs->first->prev = cn;
    cs->first = cn;
    cs->count++;
    if (cs->open) aa_gauge_set(cs->open, (double)cs->count);
    pthread_mutex_unlock(&cs->lock);
    return cn;
}

void
aa_http_connections_close(aa_http_connections *cs, aa_http_connection *cn)
{
    if (!cn) return;
    pthread_mutex_lock(&cs->lock);
    if (cn->next) cn->next->prev = cn->prev;
    *(cn->prev ? &cn->prev->next : &cs->first) = cn->next;
    cs->count--;
    if (cs->open) aa_gauge_set(cs->open, (double)cs->count);
    pthread_mutex_unlock(&cs->lock);
    free(cn);
}

void
aa_http_connections_state(aa_http_connections *cs, aa_http_connection *cn, aa_http_state state,
                          int64_t now_ms)
{
    if (!cn) return;
    pthread_mutex_lock(&cs->lock);
    cn->state = state;
    cn->since_ms = now_ms;
    pthread_mutex_unlock(&cs->lock);
}

bool
aa_http_connections_extra(aa_http_connections *cs, const aa_http_connection *cn)
{
    if (!cn) return false;
    pthread_mutex_lock(&cs->lock);
    const bool extra = cn->extra;
    pthread_mutex_unlock(&cs->lock);
    return extra;
}

/* An idle connection whose bytes keep it from ending by itself, but that make no request line, has
 * the time to be idle and that of a request. */
static bool
takes_too_long(const aa_http_connections *cs, const aa_http_connection *cn, int64_t now_ms)
{
    const int64_t for_ms = now_ms - cn->since_ms;
    if (cn->gone || cn->state == AA_HTTP_WAITS) return false;
    if (cn->extra) return for_ms > AA_HTTP_EXTRA_MS;
    if (cn->state == AA_HTTP_IDLE) return for_ms > cs->limits.keepalive_ms + cs->limits.request_ms;
    return for_ms > cs->limits.request_ms;
}

size_t
aa_http_connections_close_slow(aa_http_connections *cs, int64_t now_ms)
{
    size_t n = 0;
    pthread_mutex_lock(&cs->lock);
    for (aa_http_connection *cn = cs->first; cn; cn = cn->next) {
        if (!takes_too_long(cs, cn, now_ms)) continue;
        let_go(cn);
        n++;
    }
    pthread_mutex_unlock(&cs->lock);
    if (cs->slow && n > 0) aa_counter_add(cs->slow, n);
    return n;
}

void
aa_http_connections_close_idle(aa_http_connections *cs)
{
    pthread_mutex_lock(&cs->lock);
    for (aa_http_connection *cn = cs->first; cn; cn = cn->next)
        if (cn->state == AA_HTTP_IDLE && !cn->gone) let_go(cn);
    pthread_mutex_unlock(&cs->lock);
}

size_t
aa_http_connections_count(aa_http_connections *cs)
{
    pthread_mutex_lock(&cs->lock);
    const size_t count = (size_t)cs->count;
    pthread_mutex_unlock(&cs->lock);
    return count;
}

int64_t
aa_http_connections_room(int64_t want)
{
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) != 0) return want;
    if (rl.rlim_cur != RLIM_INFINITY && rl.rlim_cur < (rlim_t)want) {
        const rlim_t was = rl.rlim_cur;
        rl.rlim_cur =
            rl.rlim_max == RLIM_INFINITY || rl.rlim_max > (rlim_t)want ? (rlim_t)want : rl.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &rl) != 0) rl.rlim_cur = was;
    }
    return rl.rlim_cur == RLIM_INFINITY || rl.rlim_cur > (rlim_t)want ? want : (int64_t)rl.rlim_cur;
}
