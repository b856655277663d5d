#include "assigner/policy/price.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "assigner/sections.h"
#include "common/base/bits.h"
#include "common/base/hash.h"

/* Histogram of indices on a logarithmic scale: the upper 16 bits of a float, 128 bins per doubling,
 * from 2^-50 (all below are as little) to 2^10. */
#define BIN_SHIFT 16
#define BIN_FIRST ((127u - 50u) << (23 - BIN_SHIFT))
#define BIN_LAST  ((127u + 10u) << (23 - BIN_SHIFT))
#define BINS      (BIN_LAST - BIN_FIRST + 1)

#define FALL      0.9  /* of the price, at a clearing with room to spare */
#define MOST_ROOM 0.25 /* share of the budget that is kept free at most */
#define ROOM      1.25 /* ... in rows asked for in a round */
#define MEMORY    0.5  /* weight of earlier rounds in their mean */

/* ---- what a row costs, and the limit ---- */

static void
set_share(price *pr)
{
    pr->share = pr->cfg->agent.price / (pr->ids > 0 ? (double)pr->ids : 1.0);
}

/* Price of a row without regard to limits. */
static double
least_price(const price *pr)
{
    return fmax(pr->share, pr->cfg->agent.row_cost);
}

static void
set_budget(price *pr)
{
    const double   share = pr->cfg->agent.rows_share * (double)pr->ps.returned;
    const double   most = (double)UINT32_MAX * (double)pr->F;
    const uint64_t least = (uint64_t)pr->cfg->agent.rows_least;
    const uint64_t rows = (uint64_t)fmin(share, most);
    pr->budget = rows > least ? rows : least;
}

aa_status
price_init(price *pr, const aa_conf *cfg, const uint64_t *limit, aa_err *err)
{
    *pr = (price){.cfg = cfg, .F = cfg->field_count};
    pr->ps.next_step = (uint64_t)cfg->agent.sweep_every;
    memcpy(pr->limit, limit, pr->F * sizeof *limit);
    pr->hist = calloc(pr->F * BINS, sizeof *pr->hist);
    if (!pr->hist) return aa_fail(err, AA_ENOMEM, "prices of %zu fields", pr->F);
    set_budget(pr);
    set_share(pr);
    return AA_OK;
}

void
price_fini(price *pr)
{
    free(pr->hist);
    for (size_t f = 0; f < AA_MAX_FIELDS; f++)
        free(pr->index[f]);
    *pr = (price){0};
}

void
price_bind(price *pr, uint32_t f, uint64_t rows)
{
    pr->limit[f] = rows;
}

bool
price_admits(price *pr, uint32_t f)
{
    pr->ps.all.asked++;
    pr->ps.field[f].asked++;
    return pr->held < pr->budget && (pr->limit[f] == 0 || pr->used[f] < pr->limit[f]);
}

void
price_took(price *pr, uint32_t f)
{
    pr->held++;
    pr->used[f]++;
}

void
price_gave(price *pr, uint32_t f)
{
    pr->held--;
    pr->used[f]--;
}

void
price_ids(price *pr, int change)
{
    pr->ids += (uint64_t)(int64_t)change;
    set_share(pr);
}

void
price_returned(price *pr, int change)
{
    pr->ps.returned += (uint64_t)(int64_t)change;
    set_budget(pr);
}

double
price_of(const price *pr, uint32_t f)
{
    const double own = pr->limit[f] > 0 ? pr->ps.field[f].price : 0.0;
    return fmax(fmax(pr->ps.all.price, own), least_price(pr));
}

float
price_ask(const price *pr, uint32_t f)
{
    return (float)(price_of(pr, f) * pr->cfg->agent.swap_margin);
}

/* ---- a round ---- */

static uint32_t
bin_of(float index)
{
    const uint32_t bits = aa_float_bits(index) >> BIN_SHIFT;
    return bits <= BIN_FIRST ? 0 : bits >= BIN_LAST ? BINS - 1 : bits - BIN_FIRST;
}

static double
bin_floor(uint32_t bin)
{
    return (double)aa_float_of((bin + BIN_FIRST) << BIN_SHIFT);
}

void
price_begin(price *pr, uint64_t now)
{
    memset(pr->hist, 0, pr->F * BINS * sizeof *pr->hist);
    memset(pr->ps.counted, 0, sizeof pr->ps.counted);
    pr->ps.round_from = now;
    pr->ps.phase = PRICE_COUNT;
    pr->ps.f = pr->ps.at = 0;
}

aa_status
price_count(price *pr, uint32_t f, float index, aa_err *err)
{
    const size_t n = pr->ps.counted[f];
    if (n == pr->cap[f]) {
        size_t cap = n == 0 ? 256 : n * 2;
        float *more = realloc(pr->index[f], cap * sizeof *more);
        if (!more) return aa_fail(err, AA_ENOMEM, "prices of %zu rows", cap);
        pr->index[f] = more;
        pr->cap[f] = cap;
    }
    pr->index[f][n] = index;
    pr->ps.counted[f]++;
    if (index < INFINITY) pr->hist[f * BINS + bin_of(index)]++;
    return AA_OK;
}

/* Index that `lower` of the counted are below, within the bins of fields first .. last-1. */
static double
quantile(const price *pr, uint32_t first, uint32_t last, uint64_t lower)
{
    uint64_t below = 0;
    double   most = 0.0; /* more than were counted: some came while the round was under way */
    for (uint32_t bin = 0; bin < BINS; bin++) {
        uint64_t n = 0;
        for (uint32_t f = first; f < last; f++)
            n += pr->hist[f * BINS + bin];
        if (below + n > lower) {
            const double from = bin_floor(bin), to = bin_floor(bin + 1);
            return from + (to - from) * (double)(lower - below) / (double)n;
        }
        if (n > 0) most = bin_floor(bin);
        below += n;
    }
    return most;
}

/* Sets the market's price; returns what rows must be worth to stay, 0: all stay. */
static double
clear_market(const price *pr, price_market *mk, uint64_t budget, uint64_t held, uint32_t first,
             uint32_t last)
{
    mk->expected = MEMORY * mk->expected + (1.0 - MEMORY) * (double)mk->asked;
    mk->asked = 0;
    const double   room = fmin(MOST_ROOM * (double)budget, ROOM * mk->expected);
    const uint64_t target = budget - (uint64_t)room;
    if (held <= target) {
        mk->price *= FALL;
        return 0.0;
    }
    return mk->price = quantile(pr, first, last, held - target);
}

void
price_clear(price *pr)
{
    price_state *ps = &pr->ps;
    const double all = clear_market(pr, &ps->all, pr->budget, pr->held, 0, (uint32_t)pr->F);
    for (uint32_t f = 0; f < pr->F; f++) {
        double own = 0.0;
        if (pr->limit[f] > 0)
            own = clear_market(pr, &ps->field[f], pr->limit[f], pr->used[f], f, f + 1);
        ps->cut[f] = (float)fmax(fmax(all, own), least_price(pr));
    }
    ps->rounds++;
    ps->phase = PRICE_RELEASE;
    ps->f = ps->at = 0;
}

/* ---- digest and checkpoint ---- */

size_t
price_bytes(const price *pr)
{
    size_t bytes = pr->F * BINS * sizeof *pr->hist;
    for (size_t f = 0; f < pr->F; f++)
        bytes += pr->cap[f] * sizeof *pr->index[f];
    return bytes;
}

uint64_t
price_most_bytes(uint64_t rows)
{
    const price *pr = NULL;
    return BINS * sizeof *pr->hist + (rows < 128 ? 256 : 2 * rows) * sizeof *pr->index[0];
}

/* The state in plain bytes, member by member. It has room for 8 fields, as when that was the most
 * there could be, or for AA_MAX_FIELDS: checkpoints and digests of few fields stay what they
 * were. */
typedef struct {
    unsigned char bytes[sizeof(price_state)];
    size_t        len;
} flat_state;

static void
move_bytes(flat_state *fs, void *member, size_t len, bool out)
{
    if (out)
        memcpy(fs->bytes + fs->len, member, len);
    else
        memcpy(member, fs->bytes + fs->len, len);
    fs->len += len;
}

/* out: from ps into fs, else back. */
static void
move_state(flat_state *fs, price_state *ps, size_t F, bool out)
{
    const size_t room = F <= 8 ? 8 : AA_MAX_FIELDS;
    fs->len = 0;
    move_bytes(fs, &ps->all, sizeof ps->all, out);
    move_bytes(fs, ps->field, room * sizeof *ps->field, out);
    move_bytes(fs, &ps->returned, sizeof ps->returned, out);
    move_bytes(fs, &ps->round_from, sizeof ps->round_from, out);
    move_bytes(fs, &ps->next_step, sizeof ps->next_step, out);
    move_bytes(fs, &ps->rounds, sizeof ps->rounds, out);
    move_bytes(fs, ps->cut, room * sizeof *ps->cut, out);
    move_bytes(fs, ps->counted, room * sizeof *ps->counted, out);
    move_bytes(fs, &ps->phase, sizeof ps->phase, out);
    move_bytes(fs, &ps->f, sizeof ps->f, out);
    move_bytes(fs, &ps->at, sizeof ps->at, out);
    move_bytes(fs, &ps->unused, sizeof ps->unused, out);
}

static flat_state
flatten_state(const price *pr)
{
    flat_state  fs = {.len = 0};
    price_state ps = pr->ps;
    move_state(&fs, &ps, pr->F, true);
    return fs;
}

uint64_t
price_digest(const price *pr, uint64_t d)
{
    const flat_state fs = flatten_state(pr);
    d = aa_digest(d, fs.bytes, fs.len);
    for (size_t f = 0; f < pr->F; f++)
        if (pr->ps.counted[f] > 0)
            d = aa_digest(d, pr->index[f], pr->ps.counted[f] * sizeof *pr->index[f]);
    return d;
}

/* Name of the section with a field's indices. */
static void
part_of(char out[AA_CKPT_NAME_BYTES], size_t f)
{
    const int n = snprintf(out, AA_CKPT_NAME_BYTES, "index.%zu", f);
    AA_REQUIRE(n > 0 && n < AA_CKPT_NAME_BYTES);
}

aa_status
price_save(const price *pr, aa_ckpt_writer *w, aa_err *err)
{
    char             part[AA_CKPT_NAME_BYTES];
    const flat_state fs = flatten_state(pr);
    aa_status        st = sections_put(w, "price", "state", fs.bytes, fs.len, err);
    for (size_t f = 0; st == AA_OK && f < pr->F; f++) {
        part_of(part, f);
        st = sections_put(w, "price", part, pr->index[f], pr->ps.counted[f] * sizeof *pr->index[f],
                          err);
    }
    return st;
}

static bool
market_ok(const price_market *mk)
{
    return isfinite(mk->price) && mk->price >= 0.0 && isfinite(mk->expected) && mk->expected >= 0.0;
}

/* A phase has the cursor and the counts that belong to it. */
static bool
state_ok(const price *pr, const size_t *end, uint64_t events)
{
    const price_state *ps = &pr->ps;
    bool               ok = market_ok(&ps->all) && ps->phase <= PRICE_RELEASE && ps->f < pr->F;
    ok = ok && ps->round_from <= events && ps->next_step > events &&
         ps->returned <= (uint64_t)UINT32_MAX * pr->F;
    for (size_t f = 0; ok && f < AA_MAX_FIELDS; f++) {
        const size_t most = f < pr->F && ps->phase != PRICE_IDLE ? end[f] : 0;
        ok = market_ok(&ps->field[f]) && !isnan(ps->cut[f]) && ps->counted[f] <= most;
        if (ps->phase == PRICE_COUNT && f >= ps->f)
            ok = ok && ps->counted[f] == (f == ps->f ? ps->at : 0);
    }
    return ok;
}

static aa_status
restore_indices(price *pr, size_t f, aa_ckpt_reader *r, aa_err *err)
{
    const uint32_t n = pr->ps.counted[f];
    char           part[AA_CKPT_NAME_BYTES];
    part_of(part, f);
    if (n > 0) {
        pr->index[f] = malloc(n * sizeof *pr->index[f]);
        if (!pr->index[f]) return aa_fail(err, AA_ENOMEM, "prices of %u rows", n);
        pr->cap[f] = n;
    }
    aa_status st = sections_copy(r, "price", part, pr->index[f], n * sizeof *pr->index[f], err);
    for (uint32_t i = 0; st == AA_OK && i < n; i++)
        if (pr->index[f][i] < INFINITY) pr->hist[f * BINS + bin_of(pr->index[f][i])]++;
    return st;
}

aa_status
price_restore(price *pr, const size_t *end, const size_t *used, uint64_t ids, uint64_t events,
              aa_ckpt_reader *r, aa_err *err)
{
    pr->ids = ids;
    flat_state fs = flatten_state(pr);
    aa_status  st = sections_copy(r, "price", "state", fs.bytes, fs.len, err);
    if (st == AA_OK) move_state(&fs, &pr->ps, pr->F, false);
    if (st == AA_OK && !state_ok(pr, end, events))
        st = aa_fail(err, AA_EPARSE, "section price.state: a number is out of range");
    for (size_t f = 0; st == AA_OK && f < pr->F; f++) {
        pr->used[f] = used[f];
        pr->held += used[f];
        st = restore_indices(pr, f, r, err);
    }
    set_budget(pr);
    set_share(pr);
    return st;
}
