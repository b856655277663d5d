/* tools/load - recorded interactions from files, for the `record` tool.
 *
 *   user,item,label,timestamp CSV with or without a header (MovieLens' ratings.csv as well);
 *   MovieLens' ratings.dat (user::item::rating::timestamp) and u.data (tabs); each also as .gz.
 *
 * The form is told from the first line. A header's names may be in any order, and further columns
 * are left alone. IDs are text and kept once each. Errors name file and line.
 */
#ifndef AA_TOOLS_LOAD_H
#define AA_TOOLS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    uint32_t user, item; /* numbers of the IDs, in order of appearance */
    double   label;
    int64_t  time_ms;
} load_row;

typedef struct load load;

/** @errors AA_ENOMEM */
aa_status load_new(load **out, aa_err *err) __attribute__((warn_unused_result));
void      load_free(load **ld_p);

/* Of timestamps. LOAD_UNIT_TOLD: by their size, since dates of our time tell the units apart; a file
 * whose timestamps do not agree is refused. A column timestamp_ms or time_ms is in ms in any case. */
typedef enum {
    LOAD_UNIT_TOLD,
    LOAD_UNIT_S,
    LOAD_UNIT_MS,
    LOAD_UNIT_US,
    LOAD_UNIT_NS,
    LOAD_UNITS
} load_unit;
/** "s", "ms", "us", "ns". */
const char *load_unit_name(load_unit unit);

/** Append a file.
 *  @errors AA_EPARSE file:line: what is wrong; AA_EIO; AA_ENOMEM */
aa_status load_file(load *ld, const char *path, load_unit unit, aa_err *err)
    __attribute__((warn_unused_result));
/** Sort by time; rows of the same time keep their order. @errors AA_ENOMEM */
aa_status load_sort(load *ld, aa_err *err) __attribute__((warn_unused_result));

const load_row *load_rows(const load *ld, size_t *count);
/** The text of an ID. */
const char *load_user(const load *ld, uint32_t user, size_t *len);
const char *load_item(const load *ld, uint32_t item, size_t *len);

typedef struct {
    uint64_t events, users, items;
    double   label_min, label_max; /* 0, 0 if there are no events */
    int64_t  time_min_ms, time_max_ms;
    bool     binary, sorted; /* every label is 0 or 1; times never decrease */
} load_facts;
void load_describe(const load *ld, load_facts *out);

#endif
