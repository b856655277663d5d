/* ingest/meter - what ingest shows of itself: metrics, the STATS line, the summary at the end. */
#ifndef AA_INGEST_METER_H
#define AA_INGEST_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/status.h"
#include "common/config/conf.h"
#include "common/service/metrics.h"
#include "ingest/decode/decode.h"
#include "ingest/ingest.h"
#include "ingest/source.h"

typedef struct meter meter;

/** @errors AA_ENOMEM */
aa_status meter_new(meter **out, const aa_conf *cfg, aa_metrics *ms, aa_err *err)
    __attribute__((warn_unused_result));
void meter_free(meter **me_p);

/** The run began from this epoch (0: the configured start). */
void meter_opened(meter *me, uint64_t epoch, int64_t now_us);
void meter_batch(meter *me, size_t events, int64_t waited_us, int64_t now_us);
void meter_letter(meter *me, decode_reason reason);

/** The gauge of a partition's lag, made when it is first asked for; NULL: no memory for it. */
aa_gauge *meter_partition_lag(meter *me, int32_t partition);

/** Set gauges and counters; write the STATS line when it is due. Cheap enough for once a second.
 *  @return the lag of every partition is known */
bool meter_update(meter *me, const ingest *in, const order *od, const source *so,
                  uint64_t letters_lost, int64_t now_us);

/** FINAL line and summary file; whole: everything that was sent is committed.
 *  @errors AA_EIO the file */
aa_status meter_finish(meter *me, const ingest *in, const source *so, uint64_t letters_lost,
                       bool whole, aa_err *err) __attribute__((warn_unused_result));

#endif
