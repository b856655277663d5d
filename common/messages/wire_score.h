/* common/messages/wire_score - what goes through the scorer's endpoints: requests and replies, as
 * structs and as protobuf (schemas/score.proto). The JSON form of the same structs is
 * scorer/api/score_json. */
#ifndef AA_COMMON_MESSAGES_WIRE_SCORE_H
#define AA_COMMON_MESSAGES_WIRE_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/messages/wire.h"

typedef struct {
    const char *data; /* not terminated; may hold any byte */
    size_t      len;
} aa_text;

/* One user, a list of items, and the IDs of the further fields. */
typedef struct {
    aa_text  token;
    aa_text  user;
    aa_text *item; /* (item_count) owned */
    size_t   item_count;
    aa_text *context; /* (context_count) owned */
    size_t   context_count;
    aa_text *exclude; /* (exclude_count) owned; rank: these are left out */
    size_t   exclude_count;
    bool     explain;
    bool     rank;        /* the best `top` of the items, or of all known when there are none */
    uint32_t top;         /* 0: AA_SCORE_TOP */
    uint32_t deadline_ms; /* 0: the scorer's own */
    uint64_t request_id;  /* echoed */
    void    *source;      /* what the texts point into, owned; NULL: the caller's memory */
    void (*source_free)(void *source);
} aa_score_request;

#define AA_SCORE_TOP 10

/* Status of a reply: 0, or one of HTTP's. */
enum {
    AA_SCORE_OK = 0,
    AA_SCORE_BAD_REQUEST = 400,
    AA_SCORE_BAD_TOKEN = 401,
    AA_SCORE_TOO_LARGE = 413,
    AA_SCORE_TOO_MANY = 429, /* requests wait already */
    AA_SCORE_FAILED = 500,
    AA_SCORE_NOT_READY = 503, /* or too late */
};

/* What one ID read: (1-mix)*row[slot] + mix*row[slot+1]. */
typedef struct {
    uint32_t slot;
    float    mix;
    uint32_t position; /* as assigned: 1..k shared, k+1 unique */
    bool     unique;   /* it read a row of its own */
    bool     known;    /* false: never seen, reads what a new ID would */
    uint64_t version;  /* of the row that was read; 0: there was none */
} aa_score_reading;

typedef struct {
    uint32_t                status;
    char                    error[200]; /* "" when status is 0 */
    const float            *score;      /* (score_count) borrowed; on unpacking: in `owned` */
    size_t                  score_count;
    const aa_text          *item; /* (item_count) of a ranking: score_count of them */
    size_t                  item_count;
    const aa_score_reading *reading; /* (reading_count) the user's, each item's, the context's */
    size_t                  reading_count;
    uint64_t                version; /* sequence number that the answer reflects */
    uint64_t                request_id;
    void                   *owned[3];
} aa_score_reply;

aa_status aa_score_pack_request(aa_bytes *out, const aa_score_request *rq, aa_err *err)
    __attribute__((warn_unused_result));
/** @errors AA_EPARSE: *rq is empty; AA_ENOMEM. Free with aa_score_request_fini */
aa_status aa_score_unpack_request(aa_score_request *rq, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
void aa_score_request_fini(aa_score_request *rq);

aa_status aa_score_pack_reply(aa_bytes *out, const aa_score_reply *rp, aa_err *err)
    __attribute__((warn_unused_result));
/** @errors AA_EPARSE: *rp is empty; AA_ENOMEM. Free with aa_score_reply_fini */
aa_status aa_score_unpack_reply(aa_score_reply *rp, const void *buf, size_t len, aa_err *err)
    __attribute__((warn_unused_result));
void aa_score_reply_fini(aa_score_reply *rp);

#endif
