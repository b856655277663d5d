/* assigner/field/field, fourth part: which ID goes where agent.budget_bytes has no room for another.
 *
 * The sweep's hand (next_forget) passes over the table; of the next EVICT_LOOKS IDs that hold no row
 * the one worth least goes (victims_worth: how often it comes, less the longer it is silent). An ID
 * with a row goes only where no other is in reach, or where every ID has a row; its row goes with it.
 */
#include <math.h>

#include "assigner/field/field.h"

#define EVICT_LOOKS 16u   /* IDs compared */
#define EVICT_REACH 1024u /* IDs passed at most to find them */

/* False: there is no ID. */
static bool
find_least(field *fd, uint64_t now, field_id *out)
{
    const aa_conf *cfg = fd->env.cfg;
    const bool     all_hold = !field_has_shared_rows(fd);
    field_id       least = {0}, holder = {0};
    float          worth_least = INFINITY, worth_holder = INFINITY;
    uint32_t       looks = 0;
    for (uint32_t n = 0; n < EVICT_REACH && n < fd->tbl.count && looks < EVICT_LOOKS; n++) {
        field_id id = field_walk_round(fd, &fd->fs.next_forget);
        field_load(fd, now, &id);
        const float worth = victims_worth(cfg, &id.e, policy_frequency(cfg, &id.e, now), now);
        const bool  holds = policy_holds_row(&id.e);
        if (holds && worth < worth_holder) {
            worth_holder = worth;
            holder = id;
        } else if (!holds && worth < worth_least) {
            worth_least = worth;
            least = id;
        }
        if (!holds || all_hold) looks++;
    }
    if (worth_least < INFINITY)
        *out = least;
    else if (worth_holder < INFINITY)
        *out = holder;
    return worth_least < INFINITY || worth_holder < INFINITY;
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
    if (ids == fd->fs.ids_peak && rows == fd->sl.end) return true;
    if (!byte_budget_admits(bb, fd->env.f, ids, rows)) return false;
    byte_budget_claim(bb, fd->env.f, ids, rows);
    return true;
}

bool
field_id_fits(field *fd)
{
    if (fd->env.bb->bytes == 0) return true;
    const bool     with_row = rows_come_with_ids(fd);
    const uint64_t ids = fd->fs.ids_peak + (fd->tbl.count == fd->fs.ids_peak);
    return claim_bytes(fd, ids, fd->sl.end + (with_row && !slots_have_place(&fd->sl)));
}

aa_status
field_make_place(field *fd, const field_step *sp, aa_err *err)
{
    if (field_id_fits(fd)) return AA_OK;
    field_id id = {0};
    if (!find_least(fd, sp->now, &id))
        return aa_fail(err, AA_ENOMEM, "agent.budget_bytes: no ID of field %u can go", fd->env.f);
    aa_status st = AA_OK;
    if (policy_holds_row(&id.e)) st = field_take_row(fd, sp, &id, err);
    return st == AA_OK ? field_forget(fd, &id, err) : st;
}

bool
field_row_fits(field *fd)
{
    if (fd->env.bb->bytes == 0 || rows_come_with_ids(fd)) return true;
    return claim_bytes(fd, fd->fs.ids_peak, fd->sl.end + !slots_have_place(&fd->sl));
}

uint64_t
field_rows_bound(const field *fd)
{
    const byte_budget *bb = fd->env.bb;
    if (byte_budget_admits(bb, fd->env.f, fd->fs.ids_peak, fd->sl.end + 1)) return 0;
    return fd->sl.end;
}
