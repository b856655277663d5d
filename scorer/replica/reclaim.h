/* scorer/replica/reclaim - when may the updater free what readers might still be looking at?
 *
 * Readers load shared pointers without a lock; the updater swaps a pointer and retires the old
 * object. An object is freed once every reader that was inside when it was retired has left
 * (epoch-based reclamation). A reader costs two stores; it never waits.
 *
 * Pointers that are protected this way are stored and loaded with sequential consistency: that is
 * what orders "reader announced itself" against "updater swapped, then looked for readers".
 */
#ifndef AA_SCORER_REPLICA_RECLAIM_H
#define AA_SCORER_REPLICA_RECLAIM_H

#include <stdint.h>

#define EPOCH_READERS 64

typedef struct epoch epoch;

/* First member of every object that can be retired. */
typedef struct epoch_node epoch_node;
struct epoch_node {
    epoch_node *next;
    uint64_t    era;
    void (*destroy)(epoch_node *node);
};

epoch *epoch_new(void); /* NULL: out of memory */
/** Frees everything retired. @pre no reader is inside */
void epoch_free(epoch **ep_p);

/** A place for one reading thread: 0..EPOCH_READERS-1, or -1 when all are taken. @thread any */
int  epoch_join(epoch *ep);
void epoch_leave(epoch *ep, int reader);

/** Between these two, what the reader loads stays valid. Not nested. @thread the reader's */
void epoch_enter(epoch *ep, int reader);
void epoch_exit(epoch *ep, int reader);

/** The object can no longer be reached; destroy it when no reader can hold it. NULL: nothing.
 *  @thread updater */
void epoch_retire(epoch *ep, epoch_node *node, void (*destroy)(epoch_node *node));
/** Free what can be freed. Called by retire; call it now and then besides. @thread updater */
void epoch_reclaim(epoch *ep);

#endif
