/* The configuration file: any text is a configuration or an error that names the file. What is
 * accepted prints as YAML that is accepted again and means the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/conf_yaml.h"

static aa_conf first, second; /* too large for the stack */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aa_err err = AA_ERR_INIT;
    char  *text = NULL;
    size_t len = 0;
    aa_conf_defaults(&first);
    aa_status st = aa_conf_yaml_parse(&first, "fuzz.yaml", data, size, &err);
    if (st != AA_OK) {
        AA_REQUIRE(st == AA_ECONFIG && strncmp(err.text, "fuzz.yaml", 9) == 0);
        return 0;
    }
    FILE *out = open_memstream(&text, &len);
    AA_REQUIRE(out);
    aa_conf_print(&first, out);
    AA_REQUIRE(fclose(out) == 0);
    aa_conf_defaults(&second);
    AA_REQUIRE(aa_conf_yaml_parse(&second, "print", text, len, &err) == AA_OK);
    AA_REQUIRE(aa_conf_digest(&first) == aa_conf_digest(&second));
    free(text);
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* Now and then begin anew from lines of a valid file, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const part[] = {
        "pipeline:\n  name: films\n  seed: 7\n",
        "links:\n  events: \"tcp://127.0.0.1:5555\"\n",
        "fields:\n  user:\n    json: uid\n  item: {}\n  device:\n    json: device\n",
        "kafka:\n  bootstrap.servers: localhost:9092\n  security.protocol: SASL_SSL\n",
        "model:\n  kind: dcn\n  hidden: 64-32-16\n  row_rate: 1.5e-1\n",
        "event: {label: threshold, positive_above: 3.5}\n",
        "agent: &a\n  positions: 7\n",
        "publish:\n  enabled: false\n",
        "# a comment\n---\n",
    };
    const size_t parts = sizeof part / sizeof *part;
    size_t       len = 0;
    if (size > 1 && seed % 16) return LLVMFuzzerMutate(data, size, max_size);
    for (unsigned pick = seed / 16 | 1; pick; pick >>= 5) {
        const char *text = part[pick % parts];
        if (len + strlen(text) > max_size) break;
        memcpy(data + len, text, strlen(text));
        len += strlen(text);
    }
    return len ? len : LLVMFuzzerMutate(data, size, max_size);
}
