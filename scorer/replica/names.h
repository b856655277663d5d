/* scorer/replica/names - the texts of IDs, in a list that only grows: what there is to rank.
 *
 * One updater puts names in, any number of readers walk over indices 0..names_end-1 without a lock.
 * Neither an entry nor its text ever moves or goes before names_free: a forgotten ID's is marked
 * and used again when the ID returns. Costs about 40 bytes per ID and its text.
 */
#ifndef AA_SCORER_REPLICA_NAMES_H
#define AA_SCORER_REPLICA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/wire_score.h"

typedef struct names names;

names *names_new(void); /* NULL: out of memory */
void   names_free(names **nm_p);

/** @param applied  false: it was there. @errors AA_ENOMEM. @thread updater */
aa_status names_put(names *nm, uint64_t key, const char *text, size_t len, bool *applied,
                    aa_err *err) __attribute__((warn_unused_result));
/** False: it was not there. @thread updater */
bool   names_delete(names *nm, uint64_t key);
size_t names_count(const names *nm); /* names there are now. @thread updater */
size_t names_bytes(const names *nm);

/** One more than the last index. @thread any */
size_t names_end(const names *nm);
/** The name at an index below that; false: forgotten. The text stays. @thread any */
bool names_get(const names *nm, size_t idx, uint64_t *key, aa_text *text);

#endif
