/* scorer/replica/names - the texts of items, and which of them there are to rank.
 *
 * An item is shown, that is ranked, while the assigner holds it. A hidden one's text is kept for
 * NAMES_KEEP_S, which is longer than ingest remembers that it has announced an item
 * (ANNOUNCE_AGAIN_MS): an item that comes back earlier has its text here, one that comes back later
 * is announced again. Then its memory is used again.
 *
 * One updater changes names, any number of readers walk over a list of them without a lock. Names
 * are appended to the list; when a quarter of them can go, the updater makes a new list of the
 * rest, and the old one is freed when no reader can hold it (scorer/replica/reclaim). Costs about
 * 16 bytes per ID and its text. A key is not stored: it is the hash of the text.
 */
#ifndef AA_SCORER_REPLICA_NAMES_H
#define AA_SCORER_REPLICA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/wire_score.h"
#include "scorer/replica/reclaim.h"

#define NAMES_KEEP_S 600

typedef struct names      names;
typedef struct names_list names_list;

/** rl is kept (borrowed). NULL: out of memory. */
names *names_new(reclaim *rl);
/** @pre no reader is inside */
void names_free(names **nm_p);

/* ---- @thread updater ---- */
/** The name of aa_id_key(text), shown or hidden. @param applied  false: it was there.
 *  @errors AA_ENOMEM */
aa_status names_put(names *nm, const char *text, size_t len, bool shown, bool *applied, aa_err *err)
    __attribute__((warn_unused_result));
/** Show all that are there. */
void names_show_all(names *nm);
/** Show or hide it, if it is there. */
void names_show(names *nm, uint64_t key, bool shown);
/** Time passes; what has been hidden for long may go. @errors AA_ENOMEM nothing went */
aa_status names_tick(names *nm, int64_t now_ms, aa_err *err) __attribute__((warn_unused_result));
size_t    names_count(const names *nm); /* shown now */
size_t    names_bytes(const names *nm);

/* ---- @thread any, between reclaim_enter and _exit ---- */
const names_list *names_now(const names *nm);
/** One more than the last index. */
size_t names_end(const names_list *nl);
/** The name at an index below that; false: hidden. The text stays until reclaim_exit. */
bool names_get(const names_list *nl, size_t idx, uint64_t *key, aa_text *text);

#endif
