/* A record is put together in a buffer of its thread and leaves in one write(2), so lines of
 * threads and of forked children do not mix. Under the lock is only the count of repeats: per id, level
 * and second the first RATE records are written, the others counted; the count is written when
 * the next record of that id comes after its second, or by aa_log_flush_repeats. */
#include "common/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/utf8.h"

#define RATE       10
#define WINDOW_MS  1000
#define IDS        64
#define ID_BYTES   40
#define LINE_BYTES 4096
#define MSG_BYTES  2048
#define KV_LIMIT   (LINE_BYTES / 2) /* kv ends here at the latest; the rest is the message's */
#define MSG_LIMIT  (LINE_BYTES - 8)

typedef struct {
    char         id[ID_BYTES]; /* "": unused */
    aa_log_level level;        /* debug records of an id must not hold back its warnings */
    int64_t      window_ms;    /* when its current second began */
    uint32_t     seen, held;   /* in the current second */
} repeat;

typedef struct {
    char   text[LINE_BYTES];
    size_t len;
} line;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* the log sink: the one mutable state of the process at file scope */
static struct {
    const char     *proc;
    aa_log_level    level;
    bool            json;
    pthread_mutex_t lock;
    repeat          repeats[IDS];
} sink = {.proc = "autoassign", .level = AA_INFO, .lock = PTHREAD_MUTEX_INITIALIZER};

static void
lock_sink(void)
{
    pthread_mutex_lock(&sink.lock);
}

static void
unlock_sink(void)
{
    pthread_mutex_unlock(&sink.lock);
}

void
aa_log_init(const char *proc, aa_log_level level, bool json)
{
    static bool fork_safe = false;
    if (!fork_safe) fork_safe = pthread_atfork(lock_sink, unlock_sink, unlock_sink) == 0;
    lock_sink();
    sink.proc = proc;
    sink.level = level;
    sink.json = json;
    memset(sink.repeats, 0, sizeof sink.repeats);
    unlock_sink();
}

bool
aa_log_on(aa_log_level level)
{
    return level >= sink.level;
}

static void
put_bytes(line *ln, const char *text, size_t len)
{
    size_t room = sizeof ln->text - 1 - ln->len; /* the last byte is kept for '\n' */
    if (len > room) len = room;
    memcpy(ln->text + ln->len, text, len);
    ln->len += len;
}

static void
put_text(line *ln, const char *text)
{
    put_bytes(ln, text, strlen(text));
}

/* Quoted, valid JSON text for any bytes; logfmt readers take the same escapes. Whole characters
 * only, none that would go beyond limit bytes of the line. */
static void
put_quoted(line *ln, const char *text, size_t len, size_t limit)
{
    char                 esc[8];
    const unsigned char *s = (const unsigned char *)text;
    put_bytes(ln, "\"", 1);
    for (size_t i = 0; i < len;) {
        size_t n = aa_utf8_bytes(s + i, len - i);
        if (ln->len + 8 > limit) break;
        if (n == 0)
            put_text(ln, "\\ufffd"), n = 1;
        else if (s[i] == '"' || s[i] == '\\')
            esc[0] = '\\', esc[1] = (char)s[i], put_bytes(ln, esc, 2);
        else if (s[i] == '\n')
            put_text(ln, "\\n");
        else if (s[i] < 0x20 || s[i] == 0x7F) {
            snprintf(esc, sizeof esc, "\\u%04x", s[i]);
            put_text(ln, esc);
        } else
            put_bytes(ln, text + i, n);
        i += n;
    }
    put_bytes(ln, "\"", 1);
}

/* JSON's number syntax: -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static bool
is_json_number(const char *s, size_t len)
{
    const char *end = s + len;
    size_t      digits = 0;
    if (s < end && *s == '-') s++;
    if (s + 1 < end && s[0] == '0' && s[1] >= '0' && s[1] <= '9') return false;
    for (; s < end && *s >= '0' && *s <= '9'; s++)
        digits++;
    if (!digits) return false;
    if (s < end && *s == '.') {
        for (s++, digits = 0; s < end && *s >= '0' && *s <= '9'; s++)
            digits++;
        if (!digits) return false;
    }
    if (s < end && (*s == 'e' || *s == 'E')) {
        s++;
        if (s < end && (*s == '+' || *s == '-')) s++;
        for (digits = 0; s < end && *s >= '0' && *s <= '9'; s++)
            digits++;
        if (!digits) return false;
    }
    return s == end;
}

/* kv is "a=1 b=\"two words\" c=x": each pair becomes ,"key":value */
static void
put_kv_json(line *ln, const char *kv)
{
    while (*kv && ln->len + 32 < KV_LIMIT) {
        kv += strspn(kv, " ");
        size_t key_len = strcspn(kv, "= ");
        if (!key_len) break;
        put_bytes(ln, ",", 1);
        put_quoted(ln, kv, key_len, KV_LIMIT);
        put_bytes(ln, ":", 1);
        kv += key_len;
        if (*kv == '=') kv++;
        size_t len;
        if (*kv == '"') {
            len = strcspn(++kv, "\"");
            put_quoted(ln, kv, len, KV_LIMIT);
            kv += len + (kv[len] == '"');
            continue;
        }
        len = strcspn(kv, " ");
        if (len < 32 && is_json_number(kv, len))
            put_bytes(ln, kv, len);
        else
            put_quoted(ln, kv, len, KV_LIMIT);
        kv += len;
    }
}

/* Lines stay lines, whatever kv holds. */
static void
put_kv_logfmt(line *ln, const char *kv)
{
    if (!*kv) return;
    put_bytes(ln, " ", 1);
    for (; *kv && ln->len < KV_LIMIT; kv++)
        put_bytes(ln, (unsigned char)*kv < 0x20 ? "?" : kv, 1);
}

static void
write_line(aa_log_level level, const char *id, const char *kv, const char *msg)
{
    line ln;
    char head[160];
    ln.len = 0;
    if (sink.json) {
        snprintf(head, sizeof head, "{\"ts_ms\":%lld,\"lvl\":\"%s\",\"proc\":\"%s\",\"id\":\"%s\"",
                 (long long)aa_wall_ms(), level_names[level], sink.proc, id);
        put_text(&ln, head);
        put_kv_json(&ln, kv);
        put_text(&ln, ",\"msg\":");
        put_quoted(&ln, msg, strlen(msg), MSG_LIMIT);
        put_bytes(&ln, "}", 1);
    } else {
        snprintf(head, sizeof head, "ts_ms=%lld lvl=%s proc=%s id=%s", (long long)aa_wall_ms(),
                 level_names[level], sink.proc, id);
        put_text(&ln, head);
        put_kv_logfmt(&ln, kv);
        put_text(&ln, " msg=");
        put_quoted(&ln, msg, strlen(msg), MSG_LIMIT);
    }
    ln.text[ln.len++] = '\n';
    ssize_t done = write(STDERR_FILENO, ln.text, ln.len);
    (void)done; /* nobody is left to tell */
}

static void
write_held(aa_log_level level, const char *id, uint32_t held)
{
    char kv[40];
    snprintf(kv, sizeof kv, "suppressed=%u", held);
    write_line(level, id, kv, "repeats held back");
}

static bool
is_of(const repeat *rp, aa_log_level level, const char *id)
{
    return rp->level == level && strncmp(rp->id, id, ID_BYTES - 1) == 0;
}

/* The entry of id at this level, else the one whose second is longest ago. */
static repeat *
find_repeat(aa_log_level level, const char *id)
{
    repeat *oldest = &sink.repeats[0];
    for (size_t i = 0; i < IDS; i++) {
        repeat *rp = &sink.repeats[i];
        if (is_of(rp, level, id)) return rp;
        if (rp->window_ms < oldest->window_ms) oldest = rp;
    }
    return oldest;
}

/* Count a record; true when it may be written. *ended is what to summarise first (held > 0). */
static bool
admit(aa_log_level level, const char *id, repeat *ended)
{
    int64_t now_ms = aa_now_ms();
    lock_sink();
    repeat *rp = find_repeat(level, id);
    ended->held = 0;
    if (!is_of(rp, level, id) || now_ms - rp->window_ms >= WINDOW_MS) {
        *ended = *rp;
        snprintf(rp->id, sizeof rp->id, "%s", id);
        rp->level = level;
        rp->window_ms = now_ms;
        rp->seen = rp->held = 0;
    }
    bool open = rp->seen < RATE;
    if (open)
        rp->seen++;
    else
        rp->held++;
    unlock_sink();
    return open;
}

void
aa_log_write(aa_log_level level, const char *id, const char *kv, const char *fmt, ...)
{
    repeat ended;
    if (!aa_log_on(level)) return;
    bool open = admit(level, id, &ended);
    if (ended.held) write_held(ended.level, ended.id, ended.held);
    if (!open) return;

    char    msg[MSG_BYTES];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    write_line(level, id, kv, msg);
}

void
aa_log_flush_repeats(void)
{
    for (size_t i = 0; i < IDS; i++) {
        lock_sink();
        repeat ended = sink.repeats[i];
        sink.repeats[i].held = 0;
        unlock_sink();
        if (ended.held) write_held(ended.level, ended.id, ended.held);
    }
}
