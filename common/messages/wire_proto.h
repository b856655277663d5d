/* common/messages/wire_proto - what the files common/messages/wire*.c share: protobuf-c with an
 * arena, the header, and checks of arrays. Private to them.
 *
 * protobuf-c allocates per field. Unpacking takes that memory from an arena whose first block is as
 * large as the message, so a batch costs one malloc. The arena has an upper limit in proportion to
 * the message: a small message cannot make the parser allocate a lot. */
#ifndef AA_COMMON_MESSAGES_WIRE_PROTO_H
#define AA_COMMON_MESSAGES_WIRE_PROTO_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/messages/wire.h"
#include "schemas/batch.pb-c.h"

typedef struct wire_block wire_block;
typedef struct {
    ProtobufCAllocator allocator;
    wire_block        *blocks; /* newest first */
    size_t             used, cap, total_bytes, limit_bytes;
    bool exhausted; /* malloc failed, as opposed to a message that asks for too much */
} wire_arena;

/** Parse; *msg lives in the arena until fini. name is for error texts. */
aa_status wire_unpack(wire_arena *ar, ProtobufCMessage **msg, const char *name,
                      const ProtobufCMessageDescriptor *descriptor, const void *buf, size_t len,
                      aa_err *err);
void      wire_arena_fini(wire_arena *ar);

/** Replace out's bytes with the message. */
aa_status wire_pack(aa_bytes *out, const ProtobufCMessage *msg, aa_err *err);

/* The header that messages between processes begin with. NULL does not pass the check. */
Autoassign__Header wire_header_of(const aa_header *hd);
aa_header          wire_header_from(const Autoassign__Header *h);
aa_status          wire_check_header(const Autoassign__Header *h, aa_err *err);

/* Arrays: x (n). name is for error texts. */
aa_status wire_check_finite(const char *name, const float *x, size_t n, aa_err *err);
aa_status wire_check_mix(const char *name, const float *x, size_t n, aa_err *err); /* [0,1) */
aa_status wire_check_count(const char *name, size_t got, size_t want, aa_err *err);

/** protobuf-c's structs have no const; packing does not write through them. */
void *wire_unconst(const void *p);
/** memcpy that takes NULL when there is nothing to copy. */
void wire_copy(void *dst, const void *src, size_t len_bytes);

#endif
