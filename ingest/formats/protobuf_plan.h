/* ingest/formats/protobuf_plan - picks the values of some paths out of a protobuf message.
 *
 * A plan is made once from the message's schema and the paths. By protobuf's rules: of a member that
 * comes twice the last one holds, a message that comes twice is merged, of a oneof the last member
 * holds, and a member of another wire type than its own is an unknown one. Paths lead through
 * messages by field, through repeated fields by index, through maps by key. Messages that no path
 * leads into are passed over by their length.
 *
 * What is not in the message: a field with implicit presence (proto3 without `optional`) is its
 * type's zero, one of proto2 its default, any other is absent, as is all within an absent message.
 */
#ifndef AA_INGEST_FORMATS_PROTOBUF_PLAN_H
#define AA_INGEST_FORMATS_PROTOBUF_PLAN_H

#include "ingest/decode/path.h"
#include "ingest/decode/picked.h"
#include "ingest/formats/protobuf_schema.h"

#define PROTOBUF_PLAN_GROUPS 64 /* groups within each other that are passed over */

typedef struct protobuf_plan protobuf_plan;

/** ps and pt are kept (borrowed).
 *  @param message  a type of ps
 *  @param no_zero  a bit per value: a zero of implicit presence counts as absent
 *  @errors AA_ENOMEM */
aa_status protobuf_plan_new(protobuf_plan **out, const protobuf_schema *ps, uint32_t message,
                            const path_tree *pt, uint64_t no_zero, aa_err *err)
    __attribute__((warn_unused_result));
void protobuf_plan_free(protobuf_plan **pp_p);

/** @param value (pt->value_count) written. @return NULL, or what is wrong, in words */
const char *protobuf_plan_read(protobuf_plan *pp, const void *buf, size_t len, picked *value);

#endif
