/* common/messages/mark - whose a record of the compacted topics is.
 *
 * Two pipelines may share the topics by mistake, and their records have equal keys. So each record
 * carries its pipeline's mark: a value in protobuf field 15, which all kinds of values have
 * (schemas/model.proto), a tombstone in a record header. Records of versions without marks have
 * none, and count as one's own.
 */
#ifndef AA_COMMON_MESSAGES_MARK_H
#define AA_COMMON_MESSAGES_MARK_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/wire.h"

#define AA_MARK_HEADER       "p"
#define AA_MARK_HEADER_BYTES 4

/** The mark of a pipeline: a digest of pipeline.name, never 0. */
uint32_t aa_mark_of(const char *pipeline);
/** Append it to a packed value. @errors AA_ENOMEM */
aa_status aa_mark_put(aa_bytes *value, uint32_t mark, aa_err *err)
    __attribute__((warn_unused_result));
/** The mark of a value; 0: it has none, or is damaged. */
uint32_t aa_mark_get(const void *value, size_t len);
/** A tombstone's header value, and back (0: not one). */
void     aa_mark_to_header(uint8_t out[AA_MARK_HEADER_BYTES], uint32_t mark);
uint32_t aa_mark_from_header(const void *value, size_t len);

#endif
