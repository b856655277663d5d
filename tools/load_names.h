/* tools/load_names - texts, each kept once and numbered in order of appearance. */
#ifndef AA_TOOLS_LOAD_NAMES_H
#define AA_TOOLS_LOAD_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"

typedef struct {
    char     *text; /* (text_len of text_cap) all of them, one after the other */
    size_t    text_len, text_cap;
    size_t   *start; /* (count+1 of start_cap) where each begins; the last: where the next will */
    uint32_t *table; /* (table_size) number+1 by hash, 0: free */
    size_t    start_cap, table_size;
    uint32_t  count;
} load_names;

void load_names_fini(load_names *nm);
/** The text's number, new or not. @errors AA_ENOMEM; AA_EFULL 2^32-2 texts */
aa_status   load_names_number(load_names *nm, const char *text, size_t len, uint32_t *number,
                              aa_err *err) __attribute__((warn_unused_result));
const char *load_names_text(const load_names *nm, uint32_t number, size_t *len);

#endif
