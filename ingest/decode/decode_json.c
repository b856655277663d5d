/* JSON events: one object per message; what is not ours is passed over (json_reader). */
#include "ingest/decode/decode_internal.h"

decode_reason
decode_json(decode *dc, const void *buf, size_t len, int64_t kafka_ms, decode_raw *raw)
{
    size_t      at;
    const char *wrong = json_reader_read(dc->jr, buf, len, &at);

    if (wrong) return decode_fail(dc, DECODE_MALFORMED, "not JSON, byte %zu: %s", at, wrong);
    return decode_values(dc, json_reader_value_of(dc->jr, 0), kafka_ms, raw);
}
