/* ingest/registry/registry_internal - what registry.c and registry_fetch.c share. */
#ifndef AA_INGEST_REGISTRY_REGISTRY_INTERNAL_H
#define AA_INGEST_REGISTRY_REGISTRY_INTERNAL_H

#include "ingest/registry/registry.h"

typedef struct registry_fetch registry_fetch;

/** A client of the registry's addresses; cfg is kept. @errors as registry_open */
aa_status registry_fetch_open(registry_fetch **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void registry_fetch_close(registry_fetch **fe_p);

/** Ask for a schema and all that it refers to. Waits for the network.
 *  @param out  filled when SCHEMA_FOUND; its bytes are the caller's
 *  @param err  why, for SCHEMA_UNFIT and SCHEMA_LATER */
schema_answer registry_fetch_schema(registry_fetch *fe, uint32_t id, schema_texts *out,
                                    aa_err *err);

/** A question under way ends within a second or so, as one that failed. @thread any */
void registry_fetch_stop(registry_fetch *fe);

void registry_free_texts(schema_texts *sx);

#endif
