/* tools/encode - an interaction as the message that ingest reads: protobuf or JSON. */
#ifndef AA_TOOLS_ENCODE_H
#define AA_TOOLS_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"

typedef struct {
    const char *user, *item;
    size_t      user_len, item_len;
    double      label;
    int64_t     time_ms;
} encode_event;

/** A whole number as text, without sign or zeros to spare, is sent as a number (the same ID).
 *  @return bytes written. @errors AA_EFULL it does not fit */
aa_status encode_protobuf(const encode_event *ev, void *out, size_t size, size_t *len, aa_err *err)
    __attribute__((warn_unused_result));
/** With the config's names and time unit. @errors AA_EFULL; AA_EPARSE an ID is not UTF-8 */
aa_status encode_json(const aa_conf *cfg, const encode_event *ev, void *out, size_t size,
                      size_t *len, aa_err *err) __attribute__((warn_unused_result));

#endif
