/* scorer/replica/idcode - an assignment in as few bits as say it exactly.
 *
 *   shared reading   one word:    tag 2 | place 30
 *   own row          three words: tag 2 | slot 30,  kind 2 | place 30 of the shared reading,  born 32
 *
 * place = (slot + mix) * 2^fraction_bits. The assigner's mixes are differences of floats below the
 * number of bins (assigner/field/lean.h), multiples of 2^-25 at the finest, and coarser the more
 * bins there are: with all positions and bins that the configuration allows they fit, without
 * rounding. What does not fit, for instance a mix from elsewhere, is for the caller to keep at
 * length. A born is kept modulo 2^32 batches, which is only compared for equality.
 */
#ifndef AA_SCORER_REPLICA_IDCODE_H
#define AA_SCORER_REPLICA_IDCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/conf.h"
#include "common/messages/wire_topic.h"

enum { IDCODE_SHARED_WORDS = 1, IDCODE_OWN_WORDS = 3 };

typedef struct {
    uint32_t fraction_bits;
    uint32_t bins;         /* p: a slot's position is slot / p + 1 */
    uint32_t own_position; /* of every ID with a row of its own */
} idcode;

idcode idcode_of(const aa_conf *cfg);

/** born modulo 2^32; 0 only if born is 0. */
uint32_t idcode_born(uint64_t born);
/** The tag of the first word. */
uint32_t idcode_tag(uint32_t word0);
uint32_t idcode_with_tag(uint32_t word0, uint32_t tag);

/** Words of a shared reading, a->born == 0. False: it does not fit. */
bool idcode_pack_shared(const idcode *ic, const aa_assignment *a, uint32_t tag, uint32_t *word);
/** Words of an ID with a row of its own, a->born > 0. False: it does not fit. */
bool idcode_pack_own(const idcode *ic, const aa_assignment *a, uint32_t tag, uint32_t *word);
/** The assignment; run_id is the tag, born modulo 2^32, version and modulo are 0. */
void idcode_unpack_shared(const idcode *ic, const uint32_t *word, aa_assignment *a);
void idcode_unpack_own(const idcode *ic, const uint32_t *word, aa_assignment *a);

/* ---- three words that point to an assignment which is kept at length ---- */
void  idcode_pack_pointer(void *at, uint32_t tag, uint32_t *word);
void *idcode_pointer(const uint32_t *word); /* NULL: these words say it themselves */

#endif
