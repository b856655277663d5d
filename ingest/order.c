#include "ingest/order.h"

#include <stdlib.h>
#include <string.h>

/* Letters may be large: a partition holds back no more than this of them. */
enum { LETTERS_MAX_BYTES = 8 << 20 };

/* What a line knows of an event beside its columns. As AA_EVENT_COLUMNS. */
#define LINE_COLUMNS(X)                                                                            \
    X(offset, int64_t, AA_PER_EVENT, AA_CHECK_ANY, AA_NEEDED, 0)                                   \
    X(kafka_ms, int64_t, AA_PER_EVENT, AA_CHECK_ANY, AA_NEEDED, 0)

/* One partition's line: a ring of `room` events, and a list of letters that stand among them by
 * offset. */
typedef struct {
    AA_EVENT_COLUMN_MEMBERS;
    LINE_COLUMNS(AA_COLUMN_MEMBER)
    size_t      head, count;
    deadletter *letter, **last;
    size_t      letter_count, letter_bytes;
    int64_t     position, end_position;
    int64_t     passed; /* all that is before this has come */
    bool        ended;
} line;

#define X(...) AA_COLUMN(line, __VA_ARGS__)
static const aa_column line_columns[] = {AA_EVENT_COLUMNS(X, X) LINE_COLUMNS(X)};
#undef X
static const aa_column_table line_table = {line_columns,
                                           sizeof line_columns / sizeof *line_columns};

struct order {
    size_t  F, room, mask; /* room is a power of two */
    bool    merge;
    line   *ln; /* (n) */
    size_t  n, cap;
    size_t  waiting; /* lines that are empty and have not ended */
    size_t  open;    /* lines that have not ended, or hold something */
    size_t  turn;    /* live: whose turn it is; also where the search for letters begins */
    size_t  letter_count;
    size_t *heap; /* (heap_count) lines with events, by (time, partition) */
    size_t  heap_count;
};

aa_status
order_new(order **out, size_t F, bool merge, aa_err *err)
{
    order *od = calloc(1, sizeof *od);
    if (!od) return aa_fail(err, AA_ENOMEM, "order");
    od->F = F;
    od->merge = merge;
    *out = od;
    return AA_OK;
}

static void
line_clear(line *ln)
{
    while (ln->letter) {
        deadletter *dl = ln->letter;
        ln->letter = dl->next;
        deadletter_free(&dl);
    }
    ln->last = &ln->letter;
    ln->letter_count = ln->letter_bytes = ln->head = ln->count = 0;
    ln->ended = false;
    ln->passed = 0;
}

static void
line_fini(line *ln)
{
    line_clear(ln);
    aa_columns_fini(ln, &line_table);
}

void
order_free(order **od_p)
{
    order *od = *od_p;
    if (!od) return;
    for (size_t i = 0; i < od->cap; i++)
        line_fini(&od->ln[i]);
    free(od->ln);
    free(od->heap);
    free(od);
    *od_p = NULL;
}

static aa_status
line_init(line *ln, size_t room, size_t F, aa_err *err)
{
    ln->last = &ln->letter;
    return aa_columns_grow(ln, &line_table, room, F, err);
}

/* Room for n lines; those that were there keep their memory. */
static aa_status
reserve_lines(order *od, size_t n, aa_err *err)
{
    if (n <= od->cap) return AA_OK;
    size_t *heap = realloc(od->heap, n * sizeof *heap);
    if (!heap) return aa_fail(err, AA_ENOMEM, "order: %zu partitions", n);
    od->heap = heap;
    line *ln = realloc(od->ln, n * sizeof *ln);
    if (!ln) return aa_fail(err, AA_ENOMEM, "order: %zu partitions", n);
    od->ln = ln;
    for (size_t i = 0; i < od->cap; i++) /* the lines have moved */
        if (!od->ln[i].letter) od->ln[i].last = &od->ln[i].letter;
    while (od->cap < n) {
        memset(&od->ln[od->cap], 0, sizeof *od->ln);
        aa_status st = line_init(&od->ln[od->cap], od->room, od->F, err);
        od->cap++; /* freed with the others, whole or not */
        if (st != AA_OK) return st;
    }
    return AA_OK;
}

/* Lines of another size are of no use. */
static void
set_room(order *od, size_t at_least)
{
    size_t room = 1;
    while (room < at_least)
        room *= 2;
    if (room == od->room) return;
    for (size_t i = 0; i < od->cap; i++)
        line_fini(&od->ln[i]);
    od->cap = 0;
    od->room = room;
    od->mask = room - 1;
}

aa_status
order_begin(order *od, const int64_t *position, size_t n, size_t room, aa_err *err)
{
    set_room(od, room);
    aa_status st = reserve_lines(od, n, err);
    if (st != AA_OK) return st;
    for (size_t i = 0; i < od->cap; i++)
        line_clear(&od->ln[i]);
    for (size_t i = 0; i < n; i++)
        od->ln[i].position = position[i];
    od->n = od->waiting = od->open = n;
    od->turn = od->letter_count = od->heap_count = 0;
    return AA_OK;
}

/* ---- the heap of lines with events ---- */

static bool
line_before(const order *od, size_t a, size_t b)
{
    const line *la = &od->ln[a], *lb = &od->ln[b];
    int64_t     ta = la->time_ms[la->head], tb = lb->time_ms[lb->head];
    return ta != tb ? ta < tb : a < b;
}

static void
sift_down(order *od, size_t i)
{
    size_t moving = od->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= od->heap_count) break;
        if (child + 1 < od->heap_count && line_before(od, od->heap[child + 1], od->heap[child]))
            child++;
        if (!line_before(od, od->heap[child], moving)) break;
        od->heap[i] = od->heap[child];
        i = child;
    }
    od->heap[i] = moving;
}

static void
heap_insert(order *od, size_t idx)
{
    size_t i = od->heap_count++;
    while (i > 0 && line_before(od, idx, od->heap[(i - 1) / 2])) {
        od->heap[i] = od->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    od->heap[i] = idx;
}

/* ---- in ---- */

size_t
order_room(const order *od, size_t idx)
{
    const line *ln = &od->ln[idx];
    if (ln->ended || ln->letter_bytes >= LETTERS_MAX_BYTES || ln->letter_count >= od->room)
        return 0;
    return od->room - ln->count;
}

size_t
order_capacity(const order *od)
{
    return od->room;
}

size_t
order_held(const order *od, size_t idx)
{
    return od->ln[idx].count;
}

void
order_push(order *od, size_t idx, int64_t offset, const aa_columns *from, size_t i,
           int64_t kafka_ms)
{
    line  *ln = &od->ln[idx];
    size_t at = (ln->head + ln->count) & od->mask;

    AA_REQUIRE(ln->count < od->room && !ln->ended);
    aa_columns_copy(&ln->columns, at, from, i, od->F);
    ln->offset[at] = offset;
    ln->kafka_ms[at] = kafka_ms;
    if (ln->count++ > 0) return;
    od->waiting--;
    if (od->merge) heap_insert(od, idx);
}

void
order_push_letter(order *od, size_t idx, deadletter **dl_p)
{
    line *ln = &od->ln[idx];
    AA_REQUIRE(!ln->ended);
    ln->letter_count++;
    ln->letter_bytes += deadletter_bytes(*dl_p);
    od->letter_count++;
    (*dl_p)->next = NULL;
    *ln->last = *dl_p;
    ln->last = &(*dl_p)->next;
    *dl_p = NULL;
}

/* A line that is empty stands behind all that has come; if it has ended, it is done with. */
static void
close_if_done(order *od, line *ln)
{
    if (ln->count > 0 || ln->letter) return;
    if (ln->passed > ln->position) ln->position = ln->passed;
    if (!ln->ended) return;
    ln->position = ln->end_position;
    od->open--;
}

void
order_pass(order *od, size_t idx, int64_t offset)
{
    line *ln = &od->ln[idx];
    if (ln->ended || offset <= ln->passed) return;
    ln->passed = offset;
    close_if_done(od, ln);
}

void
order_end(order *od, size_t idx, int64_t position)
{
    line *ln = &od->ln[idx];
    if (ln->ended) return;
    ln->ended = true;
    ln->end_position = position;
    if (ln->count == 0) od->waiting--;
    close_if_done(od, ln);
}

/* ---- out ---- */

/* A letter before the line's first event goes first. */
static bool
letter_first(const line *ln)
{
    return ln->letter && (ln->count == 0 || ln->letter->offset < ln->offset[ln->head]);
}

static void
move_event(order *od, line *ln, aa_event_batch *b)
{
    size_t at = ln->head, i = b->n;

    if (i == 0 || ln->kafka_ms[at] < b->oldest_kafka_ms) b->oldest_kafka_ms = ln->kafka_ms[at];
    aa_columns_copy(&b->columns, i, &ln->columns, at, od->F);
    b->n++;
    ln->position = ln->offset[at] + 1;
    ln->head = (at + 1) & od->mask;
    if (--ln->count > 0) return;
    ln->head = 0; /* stay in the same pages */
    if (!ln->ended) od->waiting++;
    close_if_done(od, ln);
}

static size_t
take_merged(order *od, aa_event_batch *b, size_t max)
{
    size_t taken = 0;
    while (taken < max && od->waiting == 0 && od->heap_count > 0) {
        line *ln = &od->ln[od->heap[0]];
        if (letter_first(ln)) break; /* the caller sends it, then comes back */
        move_event(od, ln, b);
        taken++;
        if (ln->count == 0) od->heap[0] = od->heap[--od->heap_count];
        if (od->heap_count > 0) sift_down(od, 0);
    }
    return taken;
}

static size_t
take_arrived(order *od, aa_event_batch *b, size_t max)
{
    size_t taken = 0;
    for (size_t looked = 0; looked < od->n && taken < max; looked++) {
        line *ln = &od->ln[od->turn];
        while (taken < max && ln->count > 0 && !letter_first(ln)) {
            move_event(od, ln, b);
            taken++;
        }
        if (taken < max) od->turn = (od->turn + 1) % od->n;
    }
    return taken;
}

size_t
order_take(order *od, aa_event_batch *b, size_t max)
{
    return od->merge ? take_merged(od, b, max) : take_arrived(od, b, max);
}

deadletter *
order_take_letter(order *od)
{
    if (od->letter_count == 0) return NULL;
    for (size_t i = 0; i < od->n; i++) {
        line       *ln = &od->ln[i];
        deadletter *dl = ln->letter;
        if (!letter_first(ln)) continue;
        ln->letter = dl->next;
        if (!ln->letter) ln->last = &ln->letter;
        ln->letter_count--;
        ln->letter_bytes -= deadletter_bytes(dl);
        od->letter_count--;
        ln->position = dl->offset + 1;
        dl->next = NULL;
        close_if_done(od, ln);
        return dl;
    }
    return NULL;
}

int64_t
order_position(const order *od, size_t idx)
{
    return od->ln[idx].position;
}

size_t
order_partition_count(const order *od)
{
    return od->n;
}

bool
order_finished(const order *od)
{
    return od->open == 0;
}
