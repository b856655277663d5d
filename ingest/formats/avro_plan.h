/* ingest/formats/avro_plan - picks the values of some paths out of Avro's binary encoding.
 *
 * A plan is made once from the writer's schema and the paths: what to go into, what to pick, what
 * to pass over. Paths lead through records by field, through maps by key, through arrays by index,
 * and through unions as if the branch stood there itself.
 *
 * A reader's schema, where there is one, resolves what the writer's does not have, by Avro's rules:
 * a field by its aliases, then by its default.
 */
#ifndef AA_INGEST_FORMATS_AVRO_PLAN_H
#define AA_INGEST_FORMATS_AVRO_PLAN_H

#include "ingest/decode/path.h"
#include "ingest/decode/picked.h"
#include "ingest/formats/avro_schema.h"

#define AVRO_PLAN_DEPTH 128   /* values within each other in a message */
#define AVRO_PLAN_NODES 16384 /* of a plan */

typedef struct avro_plan avro_plan;

/** writer, reader and pt are kept (borrowed). @param reader  NULL: none
 *  @errors AA_EPARSE the plan would be too large; AA_ENOMEM */
aa_status avro_plan_new(avro_plan **out, const avro_schema *writer, const avro_schema *reader,
                        const path_tree *pt, aa_err *err) __attribute__((warn_unused_result));
void      avro_plan_free(avro_plan **ap_p);

/** Read one value of the schema. @param value (pt->value_count) written
 *  @return NULL, or what is wrong, in words; then *at is the byte */
const char *avro_plan_read(avro_plan *ap, const void *buf, size_t len, picked *value, size_t *at);

#endif
