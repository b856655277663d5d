/* The configuration file: any text is a configuration or an error that names the file. What is
 * accepted prints as YAML that is accepted again and means the same. A text that begins with ! is
 * lines for -o instead, one setting each. */
#include "common/config/conf.h"
#include "common/config/conf_yaml.h"
#include "tests/fuzz/fuzz.h"

static aa_conf first, second; /* too large for the stack */

/* `first` prints as YAML that is read again as itself. */
static void
check_printed(void)
{
    aa_err err = AA_ERR_INIT;
    char  *text = NULL;
    size_t len = 0;
    FILE  *out = open_memstream(&text, &len);
    AA_REQUIRE(out);
    aa_conf_print(&first, out);
    AA_REQUIRE(fclose(out) == 0);
    aa_conf_defaults(&second);
    AA_REQUIRE(aa_conf_yaml_parse(&second, "print", text, len, &err) == AA_OK);
    AA_REQUIRE(aa_conf_digest(&first) == aa_conf_digest(&second));
    free(text);
}

static void
overrides(const uint8_t *data, size_t size)
{
    enum { MOST = 64 };
    const char *line[MOST];
    size_t      count = 0;
    aa_err      err = AA_ERR_INIT;
    char       *text = malloc(size + 1);
    AA_REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text, *next; at && count < MOST; at = next) {
        next = strchr(at, '\n');
        if (next) *next++ = '\0';
        line[count++] = at;
    }
    const aa_status st = aa_conf_load(&first, NULL, line, count, &err);
    if (st == AA_OK)
        check_printed();
    else
        AA_REQUIRE(st == AA_ECONFIG && err.text[0]);
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    aa_err err = AA_ERR_INIT;
    if (size > 0 && data[0] == '!') {
        overrides(data + 1, size - 1);
        return 0;
    }
    aa_conf_defaults(&first);
    aa_status st = aa_conf_yaml_parse(&first, "fuzz.yaml", data, size, &err);
    if (st == AA_OK)
        check_printed();
    else
        AA_REQUIRE(st == AA_ECONFIG && strncmp(err.text, "fuzz.yaml", 9) == 0);
    return 0;
}

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
        "!model.dim=8\nfields.user.json=uid\nkafka.acks=1\nagent.mode=rule\n",
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
