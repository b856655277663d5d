/* Avro: any schema, a reader's schema, and any message of it. An input is the two schemas, each up
 * to a 0, and the message behind them; a schema that is empty is a fixed one. What is picked lies in
 * the message or is a text of the schema's. */
#include "ingest/formats/avro_plan.h"
#include "tests/fuzz/fuzz.h"

enum { PATHS = 7 };
static const char *const paths[PATHS] = {"a", "b.c", "l[1]", "m.k", "l2[0].x", "u", "d.e"};
static const char        usual[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"a\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}},"
    "{\"name\":\"b\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"B\",\"fields\":["
    "{\"name\":\"c\",\"type\":\"string\"},{\"name\":\"n\",\"type\":[\"null\",\"R\"]}]}]},"
    "{\"name\":\"l\",\"type\":{\"type\":\"array\",\"items\":\"double\"}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":{\"type\":\"enum\",\"name\":\"E\","
    "\"symbols\":[\"X\",\"Y\"]}}},"
    "{\"name\":\"l2\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"I\","
    "\"fields\":[{\"name\":\"x\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\","
    "\"precision\":9,\"scale\":3}}]}}},"
    "{\"name\":\"u\",\"type\":{\"type\":\"fixed\",\"name\":\"U\",\"size\":16,"
    "\"logicalType\":\"uuid\"}}]}";

/* Up to a 0, which goes too. */
static avro_schema *
take_schema(fuzz_bytes *in, const char *otherwise)
{
    aa_err         err = AA_ERR_INIT;
    avro_schema   *as = NULL;
    size_t         len;
    const uint8_t *nul = in->left > 0 ? memchr(in->at, 0, in->left) : NULL;
    const char *text = (const char *)fuzz_take(in, nul ? (size_t)(nul - in->at) : in->left, &len);
    (void)fuzz_byte(in);
    avro_text at = {text, len};
    if (len == 0 && !otherwise) return NULL;
    if (len == 0) at = (avro_text){otherwise, strlen(otherwise)};
    if (avro_schema_new(&as, &at, 1, &err) != AA_OK) AA_REQUIRE(err.text[0] && !as);
    return as;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes   in = {data, size};
    aa_err       err = AA_ERR_INIT;
    path_tree   *pt = NULL;
    avro_plan   *ap = NULL;
    picked       value[PATHS];
    size_t       at;
    volatile int sum = 0;
    avro_schema *as = take_schema(&in, usual), *reader = take_schema(&in, NULL);

    AA_REQUIRE(path_tree_new(&pt, paths, PATHS, &err) == AA_OK);
    if (as && avro_plan_new(&ap, as, reader, pt, &err) == AA_OK) {
        const char *wrong = avro_plan_read(ap, in.at, in.left, value, &at);
        AA_REQUIRE(at <= in.left && (!wrong || *wrong));
        for (size_t i = 0; !wrong && i < PATHS; i++)
            for (size_t k = 0; value[i].text && k < value[i].len; k++)
                sum += value[i].text[k];
    }
    (void)sum;
    avro_plan_free(&ap);
    path_tree_free(&pt);
    avro_schema_free(&as);
    avro_schema_free(&reader);
    return 0;
}

/* Now and then begin anew from a valid input, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
#define INPUT(text)                                                                                \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }
    static const struct {
        const char *text;
        size_t      len;
    } inputs[] = {
        INPUT(
            "\0\0\x02\x02\x02x\0\x04\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\x08\x40\0\x02\x02k\x02\0\x02\x04"
            "\x01\x02\0"
            "0123456789abcdef"),
        INPUT(
            "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"q\",\"type\":\"int\"}]}\0"
            "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"aliases\":[\"q\"],"
            "\"type\":\"int\"},{\"name\":\"u\",\"type\":\"string\",\"default\":\"x\"}]}\0\x02"),
        INPUT(
            "{\"type\":\"record\",\"name\":\"R\",\"namespace\":\"n\",\"fields\":[{\"name\":\"l\","
            "\"type\":{\"type\":\"array\",\"items\":[\"null\",\"n.R\",\"float\"]}}]}\0\0\x02\0\0"),
    };
    const size_t pick = seed / 16 % (sizeof inputs / sizeof *inputs);
    return fuzz_anew(data, size, max_size, seed, inputs[pick].text, inputs[pick].len);
}
