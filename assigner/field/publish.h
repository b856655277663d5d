/* assigner/field/publish - what scorers have not heard yet of one field's assignments.
 *
 * An ID whose reading changed is queued once, however often it changes before it is sent. Small
 * moves of a mix are held back (PUBLISH_STEP), and so is an ID that reads what any unseen ID reads;
 * publish_exact queues those too, and tell_new all that are new: scorers may have heard of them
 * from a run that was abandoned, and would keep what they heard. None of it is state: it depends on
 * when the clock let us publish, so checkpoints and digests leave it out, and after a restore
 * everything is sent again.
 */
#ifndef AA_ASSIGNER_FIELD_PUBLISH_H
#define AA_ASSIGNER_FIELD_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assigner/field/idtable.h"
#include "common/base/status.h"

#define PUBLISH_STEP 0.05f /* of slot + mix */

/* id_entry.flags */
enum { PUBLISH_QUEUED = 1, PUBLISH_INEXACT = 2, PUBLISH_ROW = 4 /* with a row of its own */ };
/* id_entry.published: (slot + mix) * 256 of the shared reading, or one of these */
#define PUBLISH_NEVER 0          /* scorers read it as an unseen ID; real codes begin at 1 */
#define PUBLISH_NONE  UINT16_MAX /* no shared reading: a row that stands instead of it */

typedef struct {
    bool enabled;
    bool tell_new; /* an ID that reads what unseen ones do is sent as well, once */
    bool named;    /* the IDs have names, which go with them: tell_new always, and each one's end */
    uint16_t  unseen; /* code of what an unseen ID reads */
    uint32_t *queue;  /* (head..tail) handles, some perhaps removed since */
    size_t    head, tail, cap;
    uint64_t *gone; /* (gone_count) keys of forgotten IDs */
    size_t    gone_count, gone_cap;
    bool      walking; /* every ID is being sent, walk is next */
    uint32_t  walk;
    size_t    limit;       /* of queue and gone: byte_budget_waiting; 0: none */
    uint64_t  unannounced; /* forgotten IDs that found gone full: scorers keep what they read */
} publish;

void publish_init(publish *pb, bool enabled);
void publish_fini(publish *pb);

/** Code of a shared reading; slot AA_NO_SLOT: there is none. */
uint16_t publish_code(uint32_t slot, float mix);
/** What the ID reads, its own row or this, may have changed: queue it if scorers should hear. */
aa_status publish_note(publish *pb, uint32_t handle, id_entry *e, uint16_t code, aa_err *err)
    __attribute__((warn_unused_result));
/** The ID is about to be removed. */
aa_status publish_forget(publish *pb, const id_entry *e, aa_err *err)
    __attribute__((warn_unused_result));
/** Queue every ID whose reading is not exactly what was sent. */
aa_status publish_exact(publish *pb, idtable *tbl, aa_err *err) __attribute__((warn_unused_result));
/** Begin again with every ID there is. */
void publish_all(publish *pb);

/** Next forgotten key, 0: none. */
uint64_t publish_next_gone(publish *pb);
/** Next ID to send, or IDTABLE_NONE. The caller sends its exact reading, of this code. */
uint32_t publish_next(publish *pb, const idtable *tbl);
void     publish_sent(id_entry *e, uint16_t code);
size_t   publish_bytes(const publish *pb);
/** The most with such a limit. */
uint64_t publish_most_bytes(size_t limit);
/** Much of the limit is used: it is time to send, whatever the clock shows. */
bool publish_crowded(const publish *pb);

#endif
