/* scorer/replica/reclaim - when may the updater free what readers might still be looking at?
 *
 * Readers load shared pointers without a lock; the updater swaps a pointer and retires the old
 * object. An object is freed once every reader that was inside when it was retired has left
 * (epoch-based reclamation, RCU-like). A reader costs two stores; it never waits.
 *
 * Pointers that are protected this way are stored and loaded with sequential consistency: that is
 * what orders "reader announced itself" against "updater swapped, then looked for readers".
 */
#ifndef AA_SCORER_REPLICA_RECLAIM_H
#define AA_SCORER_REPLICA_RECLAIM_H

#include <stdint.h>

#define RECLAIM_READERS 64

typedef struct reclaim reclaim;

/* First member of every object that can be retired. */
typedef struct reclaim_node reclaim_node;
struct reclaim_node {
    reclaim_node *next;
    uint64_t      era;
    void (*destroy)(reclaim_node *node);
};

reclaim *reclaim_new(void); /* NULL: out of memory */
/** Frees everything retired. @pre no reader is inside */
void reclaim_free(reclaim **rl_p);

/** A place for one reading thread: 0..RECLAIM_READERS-1, or -1 when all are taken. @thread any */
int  reclaim_join(reclaim *rl);
void reclaim_leave(reclaim *rl, int reader);

/** Between these two, what the reader loads stays valid. Not nested. @thread the reader's */
void reclaim_enter(reclaim *rl, int reader);
void reclaim_exit(reclaim *rl, int reader);

/** The object can no longer be reached; destroy it when no reader can hold it. NULL: nothing.
 *  @thread updater */
void reclaim_retire(reclaim *rl, reclaim_node *node, void (*destroy)(reclaim_node *node));
/** The destroy of an object that is one piece of memory. */
void reclaim_free_node(reclaim_node *node);
/** Free what can be freed. Called by retire; call it now and then besides. @thread updater */
void reclaim_now(reclaim *rl);

#endif
