/* assigner/field/field, fourth part: which ID goes where agent.budget_bytes has no room for another.
 *
 * The sweep's hand (next_forget) passes over the table; of the next EVICT_LOOKS IDs that hold no row
 * the one worth least goes (victims_worth: how often it comes, less the longer it is silent). An ID
 * with a row goes only where no other is in reach, or where every ID has a row; its row goes with it.
 */
#include <math.h>

#include "assigner/field/field.h"

#define EVICT_LOOKS 16u   /* IDs compared */
#define EVICT_REACH 1024u /* handles passed at most to find them */

static uint32_t
find_least(field *fd, uint64_t now)
{
    const aa_conf *cfg = fd->env.cfg;
    const bool     all_hold = !field_has_shared_rows(fd);
    uint32_t       least = IDTABLE_NONE, holder = IDTABLE_NONE, looks = 0;
    float          worth_least = INFINITY, worth_holder = INFINITY;
    for (uint32_t n = 0; n < EVICT_REACH && n < fd->tbl.end && looks < EVICT_LOOKS; n++) {
        if (fd->fs.next_forget >= fd->tbl.end) fd->fs.next_forget = 0;
        const uint32_t  handle = fd->fs.next_forget++;
        const id_entry *e = idtable_at(&fd->tbl, handle);
        if (e->key == 0) continue;
        const float worth = victims_worth(cfg, e, policy_frequency(cfg, e, now), now);
        const bool  holds = policy_holds_row(e);
        if (holds && worth < worth_holder) {
            worth_holder = worth;
            holder = handle;
        } else if (!holds && worth < worth_least) {
            worth_least = worth;
            least = handle;
        }
        if (!holds || all_hold) looks++;
    }
    return least != IDTABLE_NONE ? least : holder;
}

/* Does the mode give every ID a row as it comes? */
static bool
rows_come_with_ids(const field *fd)
{
    return fd->mode->own == AA_OWN_RANDOM && !field_has_shared_rows(fd);
}

static bool
claim_bytes(field *fd, uint64_t ids, uint64_t rows)
{
    byte_budget *bb = fd->env.bb;
    if (ids == fd->tbl.end && rows == fd->sl.end) return true;
    if (!byte_budget_admits(bb, fd->env.f, ids, rows)) return false;
    byte_budget_claim(bb, fd->env.f, ids, rows);
    return true;
}

bool
field_id_fits(field *fd)
{
    if (fd->env.bb->bytes == 0) return true;
    const bool     with_row = rows_come_with_ids(fd);
    const uint64_t ids = (uint64_t)fd->tbl.end + !idtable_has_place(&fd->tbl);
    return claim_bytes(fd, ids, fd->sl.end + (with_row && !slots_have_place(&fd->sl)));
}

aa_status
field_make_place(field *fd, const field_step *sp, aa_err *err)
{
    if (field_id_fits(fd)) return AA_OK;
    const uint32_t handle = find_least(fd, sp->now);
    if (handle == IDTABLE_NONE)
        return aa_fail(err, AA_ENOMEM, "agent.budget_bytes: no ID of field %u can go", fd->env.f);
    aa_status st = AA_OK;
    if (policy_holds_row(idtable_at(&fd->tbl, handle))) st = field_take_row(fd, sp, handle, err);
    return st == AA_OK ? field_forget(fd, handle, err) : st;
}

bool
field_row_fits(field *fd)
{
    if (fd->env.bb->bytes == 0 || rows_come_with_ids(fd)) return true;
    return claim_bytes(fd, fd->tbl.end, fd->sl.end + !slots_have_place(&fd->sl));
}

uint64_t
field_rows_bound(const field *fd)
{
    const byte_budget *bb = fd->env.bb;
    if (byte_budget_admits(bb, fd->env.f, fd->tbl.end, fd->sl.end + 1)) return 0;
    return fd->sl.end;
}
