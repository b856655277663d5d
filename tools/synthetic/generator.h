/* tools/synthetic/generator - a synthetic stream of interactions with the troubles of a real one.
 *
 * Users and items live in places; a place has a rank, ranks are drawn by Zipf's law, and whoever
 * leaves a place is followed by an ID never seen before. The label depends on latent traits: s =
 * 0.5*bias(user) + 0.8*bias(item) + 0.3*<traits(user), traits(item)>,  label = [s + noise > t] with
 * noise so large that even who knows s reaches an AUC of about 0.80; t follows the wanted share of
 * positives. Items' traits turn slowly (drift). A function of the options: same options, same
 * stream.
 */
#ifndef AA_TOOLS_SYNTHETIC_GENERATOR_H
#define AA_TOOLS_SYNTHETIC_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    uint64_t events;       /* length of the stream, the flood included */
    uint64_t users, items; /* alive at a time */
    uint64_t seed;
    double   zipf;          /* exponent of items' popularity; users' is 0.6 of it */
    double   arrivals;      /* share of events after which a user and an item are replaced */
    double   one_time;      /* share of events by a user who comes once */
    double   positive_rate; /* share of label 1 */
    double   drift;         /* turns of the items' traits per million events */
    double   rate;          /* events per second of stream time */
    uint64_t start_s;       /* time of the first event, seconds since 1970 */
    uint64_t jump_every;    /* events; then the hottest 1 % of ranks go cold; 0: never */
    uint64_t burst_every;   /* events; then a new item takes a third of a tenth of them; 0: never */
    uint64_t flood_at, flood_count; /* from event flood_at on, flood_count events of IDs never seen,
                                       one after each ordinary event */
} generator_options;

typedef struct {
    uint64_t user, item;
    int64_t  time_ms;
    float    signal; /* what the best predictor would know: s - t; 0 in a flood */
    uint8_t  label;
} generator_event;

typedef struct generator generator;

void generator_defaults(generator_options *go);
/** @errors AA_ECONFIG an option makes no sense; AA_ENOMEM */
aa_status generator_new(generator **out, const generator_options *go, aa_err *err)
    __attribute__((warn_unused_result));
void generator_free(generator **gn_p);
/** @return false: that was all */
bool generator_next(generator *gn, generator_event *ev);

#endif
