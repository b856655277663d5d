#include "tools/synthetic/generator.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/elementary.h"

enum { TRAITS = 4, DRIFT_STEP = 1024, JUMP_SHARE = 100, BURST_SHARE = 10, SAMPLE = 20000 };

/* Strengths of the parts of the signal, the noise that makes the best AUC 0.80, and how fast the
 * threshold follows the share of positives. */
static const float USER_BIAS = 0.5f, ITEM_BIAS = 0.8f, MATCH = 0.3f, NOISE = 1.3f, FOLLOW = 0.0005f;

typedef struct {
    uint64_t id;
    float    bias, now[TRAITS], later[TRAITS]; /* traits turn from `now` towards `later` */
} place;

/* Ranks by Zipf's law in constant time (Walker's alias method), and who has which rank. */
typedef struct {
    place    *pl;      /* (n) */
    uint32_t *of_rank; /* (n) place of a rank */
    uint32_t *alias;   /* (n) */
    uint64_t *keep;    /* (n) chance, of 2^32, to keep the rank instead of taking its alias */
    uint64_t  n, next_id;
} population;

struct generator {
    generator_options go;
    population        users, items;
    uint64_t          rng[4];
    uint64_t          made, ordinary, flooded; /* events: all, without the flood, of the flood */
    uint64_t          burst_until;
    uint32_t          burst_place;
    float             threshold;
    double            turn_cos, turn_sin, step_cos, step_sin;
};

/* ---- random numbers: xoshiro256** ---- */

static uint64_t
rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t
random_bits(generator *gn)
{
    uint64_t *s = gn->rng, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void
random_seed(generator *gn, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        gn->rng[i] = z ^ z >> 31;
    }
}

/* uniform in 0..n-1, n < 2^32 */
static uint32_t
random_below(generator *gn, uint64_t n)
{
    return (uint32_t)((random_bits(gn) >> 32) * n >> 32);
}

static bool
random_chance(generator *gn, double p)
{
    return (double)(random_bits(gn) >> 11) < p * 0x1p53;
}

/* nearly normal, mean 0 and variance 1: the sum of four uniform numbers */
static float
random_normal(generator *gn)
{
    uint64_t r = random_bits(gn);
    int32_t  sum = (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) +
                  (int32_t)(r >> 32 & 0xffff) + (int32_t)(r >> 48) - 2 * 65535;
    return (float)sum * (1.7320508f / 65536.0f);
}

/* ---- populations ---- */

static void
population_fini(population *po)
{
    free(po->pl);
    free(po->of_rank);
    free(po->alias);
    free(po->keep);
}

static void
settle(generator *gn, population *po, place *pl)
{
    pl->id = po->next_id++;
    pl->bias = random_normal(gn);
    for (int k = 0; k < TRAITS; k++) {
        pl->now[k] = random_normal(gn);
        pl->later[k] = random_normal(gn);
    }
}

/* weight(rank) = (rank+1)^-exponent, scaled to a mean of 1; then Vose's construction */
static aa_status
build_alias(population *po, double exponent, aa_err *err)
{
    uint64_t  n = po->n;
    double   *weight = malloc(n * sizeof *weight), sum = 0;
    uint32_t *stack = malloc(n * sizeof *stack);
    uint64_t  small = 0, large = n; /* two stacks in one array */

    if (!weight || !stack) {
        free(weight);
        free(stack);
        return aa_fail(err, AA_ENOMEM, "%llu ranks", (unsigned long long)n);
    }
    for (uint64_t r = 0; r < n; r++)
        sum += weight[r] = aa_exp(-exponent * aa_log((double)(r + 1)));
    for (uint64_t r = 0; r < n; r++) {
        weight[r] *= (double)n / sum;
        if (weight[r] < 1)
            stack[small++] = (uint32_t)r;
        else
            stack[--large] = (uint32_t)r;
    }
    while (small > 0 && large < n) {
        uint32_t s = stack[--small], l = stack[large++];
        po->keep[s] = (uint64_t)(weight[s] * 0x1p32);
        po->alias[s] = l;
        weight[l] -= 1 - weight[s];
        if (weight[l] < 1)
            stack[small++] = l;
        else
            stack[--large] = l;
    }
    while (small > 0)
        po->keep[stack[--small]] = (uint64_t)1 << 32;
    while (large < n)
        po->keep[stack[large++]] = (uint64_t)1 << 32;
    free(weight);
    free(stack);
    return AA_OK;
}

static aa_status
population_init(generator *gn, population *po, uint64_t n, double exponent, aa_err *err)
{
    po->n = n;
    po->next_id = 1;
    po->pl = malloc(n * sizeof *po->pl);
    po->of_rank = malloc(n * sizeof *po->of_rank);
    po->alias = malloc(n * sizeof *po->alias);
    po->keep = malloc(n * sizeof *po->keep);
    if (!po->pl || !po->of_rank || !po->alias || !po->keep)
        return aa_fail(err, AA_ENOMEM, "%llu IDs", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t j = random_below(gn, i + 1); /* a random order of the places */
        po->of_rank[i] = po->of_rank[j];
        po->of_rank[j] = (uint32_t)i;
        settle(gn, po, &po->pl[i]);
    }
    return build_alias(po, exponent, err);
}

static uint32_t
draw_place(generator *gn, const population *po)
{
    uint64_t r = random_bits(gn);
    uint32_t rank = (uint32_t)((r >> 32) * po->n >> 32);
    if ((r & 0xffffffff) >= po->keep[rank]) rank = po->alias[rank];
    return po->of_rank[rank];
}

/* The hottest ranks change places with cold ones. */
static void
jump(generator *gn, population *po)
{
    uint64_t hot = po->n / JUMP_SHARE + 1, half = po->n / 2;
    for (uint64_t r = 0; r < hot && half > 0; r++) {
        uint64_t cold = po->n - 1 - random_below(gn, half);
        uint32_t swap = po->of_rank[r];
        po->of_rank[r] = po->of_rank[cold];
        po->of_rank[cold] = swap;
    }
}

/* ---- labels ---- */

static float
signal_of(const generator *gn, const place *user, const place *item)
{
    float c = (float)gn->turn_cos, s = (float)gn->turn_sin, match = 0;
    for (int k = 0; k < TRAITS; k++)
        match += user->now[k] * (c * item->now[k] + s * item->later[k]);
    return USER_BIAS * user->bias + ITEM_BIAS * item->bias + MATCH * match;
}

static int
by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* From a sample of what is to come: where the wanted share of labels is 1. */
static void
set_threshold(generator *gn)
{
    static float sample[SAMPLE];
    for (int i = 0; i < SAMPLE; i++) {
        const place *user = &gn->users.pl[draw_place(gn, &gn->users)];
        const place *item = &gn->items.pl[draw_place(gn, &gn->items)];
        sample[i] = signal_of(gn, user, item) + NOISE * random_normal(gn);
    }
    qsort(sample, SAMPLE, sizeof *sample, by_value);
    gn->threshold = sample[(int)((1 - gn->go.positive_rate) * (SAMPLE - 1))];
}

/* ---- open ---- */

void
generator_defaults(generator_options *go)
{
    *go = (generator_options){.events = 1000000,
                              .users = 20000,
                              .items = 5000,
                              .seed = 1,
                              .zipf = 1,
                              .arrivals = 0.01,
                              .one_time = 0.05,
                              .positive_rate = 0.4,
                              .drift = 0.1,
                              .rate = 10,
                              .start_s = 1700000000};
}

static aa_status
check_options(const generator_options *go, aa_err *err)
{
    const struct {
        const char *name;
        double      value, min, max;
    } range[] = {{"users", (double)go->users, 1, 1e9},
                 {"items", (double)go->items, 1, 1e9},
                 {"zipf", go->zipf, 0, 10},
                 {"arrivals", go->arrivals, 0, 1},
                 {"one-time", go->one_time, 0, 1},
                 {"positive-rate", go->positive_rate, 0.001, 0.999},
                 {"drift", go->drift, 0, 1e6},
                 {"rate", go->rate, 1e-6, 1e9},
                 {"start", (double)go->start_s, 0, 4e9}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (!(range[i].value >= range[i].min && range[i].value <= range[i].max))
            return aa_fail(err, AA_ECONFIG, "%s: %g is not in %g..%g", range[i].name,
                           range[i].value, range[i].min, range[i].max);
    return AA_OK;
}

aa_status
generator_new(generator **out, const generator_options *go, aa_err *err)
{
    aa_status  st = check_options(go, err);
    generator *gn;

    if (st != AA_OK) return st;
    gn = calloc(1, sizeof *gn);
    if (!gn) return aa_fail(err, AA_ENOMEM, "generator");
    gn->go = *go;
    random_seed(gn, go->seed);
    gn->turn_cos = 1;
    aa_turn(go->drift * DRIFT_STEP / 1e6, &gn->step_cos, &gn->step_sin);
    st = population_init(gn, &gn->users, go->users, 0.6 * go->zipf, err);
    if (st == AA_OK) st = population_init(gn, &gn->items, go->items, go->zipf, err);
    if (st != AA_OK) {
        generator_free(&gn);
        return st;
    }
    set_threshold(gn);
    *out = gn;
    return AA_OK;
}

void
generator_free(generator **gn_p)
{
    generator *gn = *gn_p;
    if (!gn) return;
    population_fini(&gn->users);
    population_fini(&gn->items);
    free(gn);
    *gn_p = NULL;
}

/* ---- events ---- */

static void
turn_traits(generator *gn)
{
    double c = gn->turn_cos * gn->step_cos - gn->turn_sin * gn->step_sin;
    gn->turn_sin = gn->turn_sin * gn->step_cos + gn->turn_cos * gn->step_sin;
    gn->turn_cos = c;
}

/* What is due before ordinary event n. */
static void
change_world(generator *gn, uint64_t n)
{
    const generator_options *go = &gn->go;

    if (n == 0) return;
    if (n % DRIFT_STEP == 0) turn_traits(gn);
    if (random_chance(gn, go->arrivals)) {
        settle(gn, &gn->users, &gn->users.pl[random_below(gn, gn->users.n)]);
        settle(gn, &gn->items, &gn->items.pl[random_below(gn, gn->items.n)]);
    }
    if (go->jump_every > 0 && n % go->jump_every == 0) {
        jump(gn, &gn->users);
        jump(gn, &gn->items);
    }
    if (go->burst_every > 0 && n % go->burst_every == 0) {
        gn->burst_place = random_below(gn, gn->items.n);
        settle(gn, &gn->items, &gn->items.pl[gn->burst_place]);
        gn->burst_until = n + go->burst_every / BURST_SHARE;
    }
}

static void
ordinary_event(generator *gn, generator_event *ev)
{
    uint64_t     n = gn->ordinary++;
    uint32_t     item_place;
    place        visitor;
    const place *user, *item;

    change_world(gn, n);
    if (random_chance(gn, gn->go.one_time)) {
        settle(gn, &gn->users, &visitor);
        user = &visitor;
    } else {
        user = &gn->users.pl[draw_place(gn, &gn->users)];
    }
    item_place = draw_place(gn, &gn->items);
    if (n < gn->burst_until && random_below(gn, 3) == 0) item_place = gn->burst_place;
    item = &gn->items.pl[item_place];
    ev->user = user->id;
    ev->item = item->id;
    ev->signal = signal_of(gn, user, item) - gn->threshold;
    ev->label = ev->signal + NOISE * random_normal(gn) > 0;
    gn->threshold += FOLLOW * ((float)ev->label - (float)gn->go.positive_rate);
}

static void
flood_event(generator *gn, generator_event *ev)
{
    gn->flooded++;
    ev->user = gn->users.next_id++;
    ev->item = gn->items.next_id++;
    ev->signal = 0;
    ev->label = random_chance(gn, gn->go.positive_rate);
}

bool
generator_next(generator *gn, generator_event *ev)
{
    const generator_options *go = &gn->go;
    uint64_t                 i = gn->made;

    if (i == go->events) return false;
    if (gn->flooded < go->flood_count && i >= go->flood_at && (i - go->flood_at) % 2 == 1)
        flood_event(gn, ev);
    else
        ordinary_event(gn, ev);
    ev->time_ms = (int64_t)go->start_s * 1000 + (int64_t)((double)i * 1000 / go->rate);
    gn->made++;
    return true;
}
