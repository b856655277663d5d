/* Keys of the compacted topics: what is accepted is written back as the same bytes. */
#include <string.h>

#include "common/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aa_topic_key k;
    aa_err       err = AA_ERR_INIT;
    uint8_t      again[AA_TOPIC_KEY_BYTES];
    if (aa_topic_key_get(&k, data, size, &err) != AA_OK) return 0;
    aa_topic_key_put(again, &k);
    AA_REQUIRE(size == sizeof again && memcmp(again, data, size) == 0);
    return 0;
}
