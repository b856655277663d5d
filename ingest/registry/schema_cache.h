/* ingest/registry/schema_cache - schemas on disk, beside the checkpoints, so that a restart needs no
 * registry: <checkpoint.dir>/schemas/<digest of event.schema_registry>/<number>.
 *
 * A schema's number never means another schema, so a file is written once. It is written beside its
 * place and then moved, and begins with a digest of the rest: what is damaged is refused, and fetched
 * again. */
#ifndef AA_INGEST_REGISTRY_SCHEMA_CACHE_H
#define AA_INGEST_REGISTRY_SCHEMA_CACHE_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "ingest/formats/schema_source.h"

#define SCHEMA_CACHE_BYTES (32 << 20) /* of a file */

/** @param out  filled; its bytes are the caller's
 *  @errors AA_EAGAIN there is no file; AA_EPARSE it is damaged; AA_EIO; AA_ENOMEM */
aa_status schema_cache_get(const aa_conf *cfg, uint32_t id, schema_texts *out, aa_err *err)
    __attribute__((warn_unused_result));
/** Makes the folders. @errors AA_EIO; AA_ENOMEM */
aa_status schema_cache_put(const aa_conf *cfg, uint32_t id, const schema_texts *sx, aa_err *err)
    __attribute__((warn_unused_result));

#endif
