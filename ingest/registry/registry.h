/* ingest/registry/registry - a schema registry, asked by a thread of its own.
 *
 * registry_source's get looks into memory, then hands the number to the thread and waits for at most
 * REGISTRY_WAIT_MS; while the registry cannot be reached it does not wait at all. The thread looks
 * into the cache on disk, asks the addresses in turn, and tries again with a growing pause. An answer
 * that there is no such schema is believed for REGISTRY_UNKNOWN_MS.
 *
 * Credentials come from the environment: AUTOASSIGN_SCHEMA_REGISTRY_USER and _PASSWORD (basic), or
 * AUTOASSIGN_SCHEMA_REGISTRY_TOKEN (bearer).
 */
#ifndef AA_INGEST_REGISTRY_REGISTRY_H
#define AA_INGEST_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "ingest/formats/schema_source.h"

#define REGISTRY_WAIT_MS      500
#define REGISTRY_UNKNOWN_MS   60000
#define REGISTRY_ANSWER_BYTES (4 << 20)  /* of one answer */
#define REGISTRY_TEXT_BYTES   (16 << 20) /* of a schema and those that it refers to */
#define REGISTRY_DEPTH        32         /* references of references */
#define REGISTRY_SCHEMAS      4096       /* kept in memory */
#define REGISTRY_ADDRESSES    8

typedef struct registry registry;

/** Without event.schema_registry *out is NULL: no registry, which the functions here take too.
 *  cfg is kept (borrowed). @errors AA_ECONFIG event.schema_registry, event.schema_ca; AA_EIO;
 *  AA_ENOMEM */
aa_status registry_open(registry **out, const aa_conf *cfg, aa_err *err)
    __attribute__((warn_unused_result));
void registry_close(registry **rg_p);
/** For decode_set_source; valid until registry_close. One thread uses it. NULL: no registry */
const schema_source *registry_source(const registry *rg);

/** The registry cannot be reached, in words (a literal); NULL: no trouble. */
const char *registry_trouble(registry *rg);
/** Schemas that came from the registry, not from the cache; tries that failed. */
void registry_counts(registry *rg, uint64_t *fetched, uint64_t *failed);

#endif
