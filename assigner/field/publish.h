/* assigner/field/publish - what scorers have not heard yet of one field's assignments.
 *
 * An ID whose reading changed is queued once, however often it changes before it is sent. Small
 * moves of a mix are held back, and so is an ID that reads what any unseen ID reads; publish_exact
 * sends those too, and tell_new all that are new: scorers may have heard of them from a run that was
 * abandoned, and would keep what they heard. Where the queue would get long, IDs are only marked,
 * and a walk over all of them finds those.
 *
 * What was sent is not kept. There are two grids of readings, cells 0.1 wide, shifted by half a
 * cell; of an ID that was sent, the grid in which its reading was nearer to the middle of a cell is
 * kept, and it is sent again when it leaves that cell: not before it has moved by 0.025, and before
 * it has moved by more than 0.076.
 *
 * None of it is state: it depends on when the clock let us publish, so checkpoints and
 * digests leave it out, and after a restore everything is sent again.
 */
#ifndef AA_ASSIGNER_FIELD_PUBLISH_H
#define AA_ASSIGNER_FIELD_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assigner/field/idtable.h"
#include "common/base/status.h"

/* id_entry.flags: one of these, PUBLISH_TOLD with GRID and INEXACT or without. New: scorers have not
 * heard of the ID and read it as an unseen one. Inexact: by now it may read something else, near
 * by. */
enum {
    PUBLISH_NEW = 0,
    PUBLISH_NEW_INEXACT = 1,
    PUBLISH_NEW_QUEUED = 2,
    PUBLISH_TOLD_QUEUED = 3,
    PUBLISH_TOLD = 4,
    PUBLISH_GRID = 2,   /* the second one */
    PUBLISH_INEXACT = 1 /* with NEW or TOLD */
};

static inline bool
publish_queued(unsigned flags)
{
    return flags == PUBLISH_NEW_QUEUED || flags == PUBLISH_TOLD_QUEUED;
}

/* Which IDs a walk is to send. */
typedef enum { PUBLISH_NOBODY, PUBLISH_THE_QUEUED, PUBLISH_THE_INEXACT, PUBLISH_ALL } publish_whom;

#define PUBLISH_NONE UINT16_MAX /* code of no shared reading: a row that stands instead of it */

/* What an ID reads: to see whether it has changed. */
typedef struct {
    uint16_t code;   /* (slot + mix) * 256 of the shared reading + 1, or PUBLISH_NONE */
    bool     row;    /* with a row of its own */
    uint16_t signal; /* common/model/signal; 0 where the model reads none */
} publish_reading;

typedef struct {
    bool enabled;
    bool tell_new; /* an ID that reads what unseen ones do is sent as well, once */
    bool named;    /* the IDs have names, which go with them: tell_new always, and each one's end */
    publish_reading unseen;
    uint64_t       *queue; /* (head..tail) hashes, some perhaps removed since */
    size_t          head, tail, cap;
    uint64_t       *gone; /* (gone_count) keys of forgotten IDs */
    size_t          gone_count, gone_cap;
    publish_whom    walking, walking_next; /* the walk under way, and the one after it */
    uint64_t        walk;                  /* next hash */
    size_t          limit;                 /* of gone: byte_budget_waiting; 0: none */
    uint64_t unannounced; /* forgotten IDs that found gone full: scorers keep what they read */
} publish;

void publish_init(publish *pb, bool enabled);
void publish_fini(publish *pb);

/** Of a shared reading, slot AA_NO_SLOT: there is none; row: the ID has one of its own. */
publish_reading publish_reads(uint32_t slot, float mix, bool row, uint32_t signal);
/** What the ID reads may have changed from `was`: queue it if scorers should hear. @pre enabled, and
 *  it is not queued */
aa_status publish_note(publish *pb, id_entry *e, publish_reading was, publish_reading is,
                       aa_err *err) __attribute__((warn_unused_result));
/** The ID is about to be removed. */
aa_status publish_forget(publish *pb, const id_entry *e, aa_err *err)
    __attribute__((warn_unused_result));
/** Send every ID whose reading is not exactly what was sent. */
void publish_exact(publish *pb);
/** Begin again with every ID there is. */
void publish_all(publish *pb);

/** Next forgotten key, 0: none. */
uint64_t publish_next_gone(publish *pb);
/** Next ID to send; false: none. The caller sends its exact reading. */
bool   publish_next(publish *pb, const idtable *tbl, idtable_walk *wk);
void   publish_sent(id_entry *e, publish_reading is);
size_t publish_bytes(const publish *pb);
/** The most with such a limit. */
uint64_t publish_most_bytes(size_t limit);
/** Much of the room is used: it is time to send, whatever the clock shows. */
bool publish_crowded(const publish *pb);

#endif
