#include "common/config/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/config/conf_set.h"
#include "common/config/conf_table.h"
#include "common/config/conf_yaml.h"

/* An aa_conf has 200 kB: one for each test, on the heap. */
static int
new_conf(void **state)
{
    aa_conf *cfg = malloc(sizeof *cfg);
    assert_non_null(cfg);
    aa_conf_defaults(cfg);
    *state = cfg;
    return 0;
}

static int
free_conf(void **state)
{
    free(*state);
    return 0;
}

static aa_status
parse(aa_conf *cfg, const char *text, aa_err *err)
{
    aa_conf_plain_defaults(cfg);
    aa_status st = aa_conf_yaml_parse(cfg, "f", text, strlen(text), err);
    return st == AA_OK ? aa_conf_finish(cfg, err) : st;
}

static void
parse_good(aa_conf *cfg, const char *text)
{
    aa_err err = AA_ERR_INIT;
    if (parse(cfg, text, &err)) fail_msg("%s\n%s", text, err.text);
}

static const char *
kafka_value(const aa_conf *cfg, const char *key)
{
    for (size_t i = 0; i < cfg->kafka_count; i++)
        if (strcmp(cfg->kafka[i].key, key) == 0) return cfg->kafka[i].value;
    return NULL;
}

/* ---- defaults ---- */

static void
defaults_are_a_complete_configuration(void **state)
{
    const aa_conf *cfg = *state;
    assert_int_equal(cfg->field_count, 2);
    assert_string_equal(cfg->fields[0].name, "user");
    assert_string_equal(cfg->fields[1].name, "item");
    assert_string_equal(cfg->fields[1].path, "item");
    assert_int_equal(cfg->fields[0].threshold, 5);
    assert_int_equal(cfg->fields[1].threshold, 10);
    assert_int_equal(cfg->hidden_count, 2);
    assert_int_equal(cfg->hidden[0], 64);
    assert_int_equal(cfg->hidden[1], 32);
    assert_string_equal(cfg->topics.dead_letters, "interactions.dlq");
    assert_string_equal(kafka_value(cfg, "bootstrap.servers"), "localhost:9092");
    assert_string_equal(kafka_value(cfg, "group.id"), "autoassign-autoassign");
    assert_string_equal(cfg->path, "");
}

static void
every_default_is_a_value_that_its_setting_accepts(void **state)
{
    aa_conf          *cfg = *state;
    size_t            sections, count;
    const aa_section *sc = aa_conf_table_sections(&sections);
    char              text[AA_CONF_STR];
    assert_true(sections >= 12);
    for (size_t s = 0; s <= sections; s++) {
        const aa_section *one = s < sections ? &sc[s] : aa_conf_table_field();
        void             *base = s < sections ? (char *)cfg + one->offset : (char *)&cfg->fields[0];
        const aa_setting *se = one->settings(&count);
        for (size_t i = 0; i < count; i++) {
            aa_err err = AA_ERR_INIT;
            aa_conf_table_format(&se[i], base, text, sizeof text);
            if (aa_conf_table_parse(&se[i], base, text, strlen(text), &err))
                fail_msg("%s.%s: %s", one->name, se[i].name, err.text);
            assert_true(*se[i].help);
        }
    }
}

/* ---- good files ---- */

static void
file_sets_every_type_and_leaves_the_rest(void **state)
{
    aa_conf *cfg = *state;
    parse_good(cfg, "# comment\n"
                    "pipeline:\n"
                    "  name: 'films-2'\n"
                    "  seed: 9223372036854775807\n"
                    "model: {kind: fm, dim: \"8\", row_rate: 5e-2, hidden: ''}\n"
                    "publish:\n"
                    "  enabled: false\n"
                    "links:\n"
                    "topics:\n"
                    "  interactions: clicks\n"
                    "event:\n"
                    "  time_min_ms: -5\n");
    assert_string_equal(cfg->pipeline.name, "films-2");
    assert_true(cfg->pipeline.seed == INT64_MAX);
    assert_int_equal(cfg->model.kind, AA_MODEL_FM);
    assert_int_equal(cfg->model.dim, 8);
    assert_true(cfg->model.row_rate == 0.05);
    assert_int_equal(cfg->hidden_count, 0);
    assert_false(cfg->publish.enabled);
    assert_int_equal(cfg->links.in_flight, 8);
    assert_string_equal(cfg->topics.dead_letters, "clicks.dlq");
    assert_true(cfg->event.time_min_ms == -5);
    assert_string_equal(kafka_value(cfg, "group.id"), "autoassign-films-2");
}

static void
fields_keep_the_order_of_the_file(void **state)
{
    aa_conf *cfg = *state;
    parse_good(cfg, "fields:\n"
                    "  genre: {json: g, hash_rows: 4294967295}\n"
                    "  item:\n"
                    "  user: {}\n");
    assert_int_equal(cfg->field_count, 3);
    assert_string_equal(cfg->fields[0].name, "genre");
    assert_string_equal(cfg->fields[0].path, "g");
    assert_true(cfg->fields[0].hash_rows == UINT32_MAX);
    assert_int_equal(cfg->fields[0].threshold, 5);
    assert_string_equal(cfg->fields[1].name, "item");
    assert_int_equal(cfg->fields[1].threshold, 10);
    assert_string_equal(cfg->fields[2].name, "user");
    assert_string_equal(cfg->fields[2].path, "user");
}

static void
a_label_map_is_a_mapping_or_a_text(void **state)
{
    aa_conf *cfg = *state;
    parse_good(cfg, "event:\n"
                    "  label_map: {purchase: 1, com.x.click: 0.5, \"a=b\": 0}\n");
    assert_int_equal(cfg->label_count, 3);
    assert_string_equal(cfg->labels[1].name, "com.x.click");
    assert_true(cfg->labels[1].value == 0.5);
    assert_string_equal(cfg->labels[2].name, "a=b");
    parse_good(cfg, "event:\n  label_map: \"view=0, click=1\"\n");
    assert_int_equal(cfg->label_count, 2);
    assert_string_equal(cfg->labels[1].name, "click");
    parse_good(cfg, "event:\n  label_map: \"\"\n");
    assert_int_equal(cfg->label_count, 0);
}

static void
kafka_properties_pass_through_with_their_lines(void **state)
{
    aa_conf *cfg = *state;
    parse_good(cfg, "kafka:\n"
                    "  security.protocol: SASL_SSL\n"
                    "  sasl.password: \"p w\\n#\"\n"
                    "  queued.min.messages: 1000\n"
                    "  enable.idempotence: true\n"
                    "  bootstrap.servers: a:1,b:2\n"
                    "  group.id: mine\n");
    assert_int_equal(cfg->kafka_count, 6);
    assert_string_equal(kafka_value(cfg, "security.protocol"), "SASL_SSL");
    assert_string_equal(kafka_value(cfg, "sasl.password"), "p w\n#");
    assert_string_equal(kafka_value(cfg, "queued.min.messages"), "1000");
    assert_string_equal(kafka_value(cfg, "enable.idempotence"), "true");
    assert_string_equal(kafka_value(cfg, "bootstrap.servers"), "a:1,b:2");
    assert_string_equal(kafka_value(cfg, "group.id"), "mine");
    assert_string_equal(cfg->kafka[1].key, "security.protocol");
    assert_int_equal(cfg->kafka[1].line, 2);
}

static void
empty_files_are_the_defaults(void **state)
{
    const char *const texts[] = {"", "\n", "# only a comment\n", "---\n", "---\n...\n", "{}"};
    aa_conf          *cfg = *state;
    uint64_t          digest = aa_conf_digest(cfg);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        parse_good(cfg, texts[i]);
        assert_true(aa_conf_digest(cfg) == digest);
        assert_int_equal(cfg->field_count, 2);
    }
}

/* ---- bad files, each with its whole error ---- */

#define X64  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256 X64 X64 X64 X64

static const struct {
    const char *text, *error;
} bad_files[] = {
    /* names */
    {"modle:\n", "f:1: modle: unknown section (did you mean model?)"},
    {"zzzzzz: 1\n", "f:1: zzzzzz: unknown section"},
    {"kafak:\n", "f:1: kafak: unknown section (did you mean kafka?)"},
    {"model:\n  dimm: 3\n", "f:2: model.dimm: unknown key (did you mean dim?)"},
    {"model:\n\n  qqqqqqqq: 3\n", "f:3: model.qqqqqqqq: unknown key"},
    {"fields:\n  user:\n    jsno: u\n", "f:3: fields.user.jsno: unknown key (did you mean json?)"},
    {"fields:\n  a b: {}\n", "f:2: fields: space or control character in a key"},
    {"fields:\n  1st: {}\n",
     "f:2: fields.1st: a name is letters, digits, _ and -, at most 63 of them"},
    {"fields:\n  \"\": {}\n", "f:2: fields: empty key"},
    {"model:\n  \"di\\0m\": 3\n", "f:2: model: space or control character in a key"},
    {"model:\n  " X256 ": 3\n", "f:2: model: the key is too long"},
    /* twice */
    {"model:\n  dim: 3\nhttp:\nmodel:\n", "f:4: model: set twice, first on line 1"},
    {"model:\n  dim: 3\n  dim: 3\n", "f:3: model.dim: set twice, first on line 2"},
    {"kafka:\n  a.b: 3\n  a.b: 4\n", "f:3: kafka.a.b: set twice, first on line 2"},
    {"fields:\n  u: {}\n  u: {}\n", "f:3: fields.u: set twice, first on line 2"},
    {"fields: {u: {json: a, json: b}}\n", "f:1: fields.u.json: set twice, first on line 1"},
    /* types */
    {"model:\n  dim: many\n", "f:2: model.dim: expected a whole number, got \"many\""},
    {"model:\n  dim: 1.5\n", "f:2: model.dim: expected a whole number, got \"1.5\""},
    {"model:\n  dim: 0x10\n", "f:2: model.dim: expected a whole number, got \"0x10\""},
    {"model:\n  dim: 3 3\n", "f:2: model.dim: expected a whole number"},
    {"model:\n  dim: \"\"\n", "f:2: model.dim: expected a whole number, got nothing"},
    {"model:\n  dim: \"3\\0\"\n", "f:2: model.dim: expected a whole number"},
    {"model:\n  dim:\n", "f:2: model.dim: no value (write \"\" for an empty text)"},
    {"topics:\n  model:\n", "f:2: topics.model: no value (write \"\" for an empty text)"},
    {"model:\n  row_rate: nan\n", "f:2: model.row_rate: expected a number, got \"nan\""},
    {"model:\n  row_rate: inf\n", "f:2: model.row_rate: expected a number, got \"inf\""},
    {"model:\n  row_rate: 1e\n", "f:2: model.row_rate: expected a number, got \"1e\""},
    {"model:\n  row_rate: 1,5\n", "f:2: model.row_rate: expected a number, got \"1,5\""},
    {"publish:\n  enabled: yes\n", "f:2: publish.enabled: expected true or false, got \"yes\""},
    {"model: 3\n", "f:1: model: expected a mapping (key: value)"},
    {"model: [dim]\n", "f:1: model: expected a mapping (key: value)"},
    {"model:\n  dim: [3]\n", "f:2: model.dim: expected one value, got a mapping or a sequence"},
    {"kafka:\n  a: {b: c}\n", "f:2: kafka.a: expected one value, got a mapping or a sequence"},
    {"fields:\n  user: 3\n", "f:2: fields.user: expected a mapping (key: value)"},
    {"fields: [user, item]\n", "f:1: fields: expected a mapping (key: value)"},
    {"? [a]\n: 3\n", "f:1: expected a key, got a mapping or a sequence"},
    {"just text\n", "f:1: expected a mapping (key: value)"},
    {"- a\n- b\n", "f:1: expected a mapping (key: value)"},
    /* values */
    {"model:\n  dim: 0\n", "f:2: model.dim: 0 is out of range, 1 to 1024"},
    {"model:\n  dim: 99999999999999999999\n",
     "f:2: model.dim: 99999999999999999999 is out of range, 1 to 1024"},
    {"model:\n  row_rate: -1\n", "f:2: model.row_rate: -1 is out of range, 0 to 100"},
    {"model:\n  row_rate: 1e999\n", "f:2: model.row_rate: 1e999 is out of range, 0 to 100"},
    {"model:\n  kind: lstm\n",
     "f:2: model.kind: \"lstm\" is not one of fm|mlp|widedeep|deepfm|dcn"},
    {"model:\n  kind: fm|mlp\n",
     "f:2: model.kind: \"fm|mlp\" is not one of fm|mlp|widedeep|deepfm|dcn"},
    {"topics:\n  model: " X256 "\n", "f:2: topics.model: 256 bytes, at most 255"},
    {"topics:\n  model: \"a\\0b\"\n", "f:2: topics.model: control character in the value"},
    {"kafka:\n  a: \"a\\0b\"\n", "f:2: kafka.a: control character in the value"},
    {"kafka:\n  a: " X256 X256 X256 X256 "\n", "f:2: kafka.a: 1024 bytes, at most 1023"},
    {"fields: {}\n", "f:1: fields: at least one field is needed"},
    {"fields: {a: , b: , c: , d: , e: , f: , g: , h: , i: , j: , k: , l: , m: , n: , o: , p: , q: "
     ", "
     "r: , s: , t: , u: , v: , w: , x: , y: , z: , aa: , bb: , cc: , dd: , ee: , ff: , gg: }\n",
     "f:1: fields.gg: more than 32 fields"},
    /* what YAML has and this file has not */
    {"model: &m {dim: 3}\n", "f:1: anchors and aliases are not supported"},
    {"model: *m\n", "f:1: anchors and aliases are not supported"},
    {"model:\n  dim: !!int 3\n", "f:2: tags are not supported"},
    {"model:\n  <<: 3\n", "f:2: model.<<: unknown key"},
    {"model:\n  dim: 3\n---\nmodel:\n  dim: 4\n", "f:3: more than one document"},
    /* not YAML */
    {"model:\n  name: \"open\n", "f:3: not YAML: found unexpected end of stream"},
    {"model:\n\tdim: 3\n", "f:2: not YAML: found character that cannot start any token"},
    {"model: {dim: 3\n", "f:2: not YAML: did not find expected ',' or '}'"},
    {"model:\n  dim: 3\n dim: 4\n", "f:3: not YAML: did not find expected key"},
    {"model:\n  # \xff\n", "f:2: not YAML: invalid leading UTF-8 octet"},
    {"model:\n\n  # \x01\n", "f:3: not YAML: control characters are not allowed"},
    /* values that do not go together */
    {"model:\n  hidden: 64-\n",
     "model.hidden: \"64-\": expected widths from 1 to 65536 like 64-32"},
    {"model:\n  hidden: 64x32\n",
     "model.hidden: \"64x32\": expected widths from 1 to 65536 like 64-32"},
    {"model:\n  hidden: 0\n", "model.hidden: \"0\": expected widths from 1 to 65536 like 64-32"},
    {"model:\n  hidden: \"\"\n", "model.hidden: \"\": expected widths from 1 to 65536 like 64-32"},
    {"model:\n  hidden: 99999999999999999999\n",
     "model.hidden: \"99999999999999999999\": expected widths from 1 to 65536 like 64-32"},
    {"model:\n  hidden: 1-2-3-4-5-6-7-8-9\n", "model.hidden: more than 8 layers"},
    {"pipeline:\n  name: ../up\n",
     "pipeline.name: \"../up\": letters, digits, '.', '_' and '-' only"},
    {"pipeline:\n  name: \"\"\n", "pipeline.name: \"\": letters, digits, '.', '_' and '-' only"},
    {"topics:\n  model: interactions\n",
     "topics.model: \"interactions\" is also topics.interactions"},
    {"topics:\n  model: \"\"\n", "topics.model: is empty"},
    {"links:\n  events: ipc:///tmp/autoassign-score\n",
     "scorer.listen: \"ipc:///tmp/autoassign-score\" is also links.events"},
    {"event:\n  time_min_ms: 5\n  time_max_ms: 4\n",
     "event.time_min_ms: is after event.time_max_ms"},
    {"ingest:\n  replay_from: \"offset:\"\n",
     "ingest.replay_from: \"offset:\": expected beginning, offset:N or time:MS"},
    {"ingest:\n  replay_from: latest\n",
     "ingest.replay_from: \"latest\": expected beginning, offset:N or time:MS"},
    {"checkpoint:\n  every_ms: 0\n",
     "checkpoint.every_ms: 0, and every_events too: a live run would never commit"},
    {"agent:\n  mode: hash\n", "fields.user.hash_rows: agent.mode hash needs it above 0"},
    {"topics: {model: bad/topic}\n", "topics.model: \"bad/topic\": a topic's name has letters, "
                                     "digits, '.', '_' and '-' only"},
    {"topics: {interactions: a b}\n", "topics.interactions: \"a b\": a topic's name has letters, "
                                      "digits, '.', '_' and '-' only"},
    {"topics: {predictions: ..}\n", "topics.predictions: \"..\": a topic's name has letters, "
                                    "digits, '.', '_' and '-' only"},
    {"http: {ingest_port: 9000, learner_port: 9000}\n",
     "http.learner_port: port 9000 at 127.0.0.1 is also that of http.ingest_port"},
    {"links: {rewards: \"tcp://*:9000\"}\nhttp: {learner_port: 9000}\n",
     "http.learner_port: port 9000 at 127.0.0.1 is also that of links.rewards"},
    {"links: {assigned: \"tcp://10.0.0.1:5702\", rewards: \"tcp://*:5702\"}\n",
     "links.rewards: port 5702 at * is also that of links.assigned"},
    {"scorer: {listen: \"tcp://localhost:9000\"}\nhttp: {scorer_port: 9000}\n",
     "http.scorer_port: port 9000 at 127.0.0.1 is also that of scorer.listen"},
    {"links: {fetchers: \"tcp://0.0.0.0:9000\"}\nhttp: {bind: 0.0.0.0, ingest_port: 9000}\n",
     "http.ingest_port: port 9000 at 0.0.0.0 is also that of links.fetchers"},
    {"agent: {mode: unique}\nfields: {u: {budget_rows: 5}}\n",
     "fields.u.budget_rows: agent.mode unique keeps no budget"},
    {"fields: {u: {budget_rows: 4294967295}}\n",
     "fields.u.budget_rows: more than 4294967271 beside 24 shared rows"},
    {"fields:\n  user:\n  leak: {json: label}\n",
     "fields.leak.path: \"label\" is event.label_field: an ID that is the label gives the answer "
     "away"},
    {"event:\n  label_field: item\n",
     "fields.item.path: \"item\" is event.label_field: an ID that is the label gives the answer "
     "away"},
    {"fields: {a: {json: x}, b: {json: x}}\n", "fields.b.path: \"x\" is also fields.a.path"},
    {"fields: {a: , b: {json: a}}\n", "fields.b.path: \"a\" is also fields.a.path"},
    {"fields: {a: , timestamp_ms: }\n",
     "fields.timestamp_ms.path: \"timestamp_ms\" is event.time_field"},
    {"event: {label_map: {a: 1, b: x}}\n", "event.label_map: b: \"x\" is no number"},
    {"event: {label_map: a}\n", "event.label_map: \"a\": expected text=number"},
    {"event: {label_map: \"a=1,a=0\"}\n", "event.label_map: \"a\" stands twice"},
    {"event: {label_field: t, time_field: t}\n",
     "event.label_field: \"t\" is also event.time_field"},
};

/* Ports that only look alike: of other machines, of ends that connect, of nobody. */
static void
equal_ports_of_other_machines_are_good(void **state)
{
    static const char *const good[] = {
        "http: {bind: 0.0.0.0, ingest_port: 8080, assigner_port: 8080, learner_port: 8080, "
        "scorer_port: 8080}\n",
        "links: {events: \"tcp://a:5701\", assigned: \"tcp://b:5701\"}\n",
        "links: {assigned: \"tcp://*:5702\", rewards: \"tcp://*:5703\"}\n",
        "links: {events: \"tcp://*:*\", fetchers: \"tcp://*:*1\"}\n",
        "http: {enabled: false, ingest_port: 9000, learner_port: 9000}\n",
        "ingest: {role: fetcher}\nlinks: {fetchers: \"tcp://ingest:8080\"}\n"
        "http: {bind: 0.0.0.0, ingest_port: 8080}\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        aa_err err = AA_ERR_INIT;
        if (parse(*state, good[i], &err) != AA_OK) fail_msg("%s\n%s", good[i], err.text);
    }
}

static void
bad_file_says_line_key_and_what_is_wrong(void **state)
{
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
        aa_err    err = AA_ERR_INIT;
        aa_status st = parse(*state, bad_files[i].text, &err);
        if (st != AA_ECONFIG || strcmp(err.text, bad_files[i].error) != 0)
            fail_msg("file:\n%s\ngot  (%s) %s\nwant %s", bad_files[i].text, aa_status_name(st),
                     err.text, bad_files[i].error);
    }
}

static void
a_file_may_begin_with_a_byte_order_mark(void **state)
{
    aa_conf *cfg = *state;
    parse_good(cfg, "\xef\xbb\xbftopics:\n  model: bom\n");
    assert_string_equal(cfg->topics.model, "bom");
}

/* ---- hostile files ---- */

static void
repeat_text(char *out, const char *piece, size_t times)
{
    size_t n = strlen(piece);
    for (size_t i = 0; i < times; i++)
        memcpy(out + i * n, piece, n);
    out[times * n] = '\0';
}

static void
deep_nesting_is_refused_where_it_begins(void **state)
{
    static char text[400100];
    aa_err      err = AA_ERR_INIT;
    repeat_text(text, "[", 400000);
    assert_int_equal(parse(*state, text, &err), AA_ECONFIG);
    assert_string_equal(err.text, "f:1: expected a mapping (key: value)");
    repeat_text(text, "{a: ", 100000);
    assert_int_equal(parse(*state, text, &err), AA_ECONFIG);
    assert_string_equal(err.text, "f:1: a: unknown section");
    repeat_text(text, "- ", 200000);
    assert_int_equal(parse(*state, text, &err), AA_ECONFIG);
}

static void
huge_scalars_are_refused(void **state)
{
    static char text[AA_CONF_FILE_BYTES];
    aa_err      err = AA_ERR_INIT;
    int         n = snprintf(text, sizeof text, "topics:\n  model: ");
    memset(text + n, 'x', sizeof text - (size_t)n - 1);
    assert_int_equal(parse(*state, text, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, "f:2: topics.model: "));
    assert_non_null(strstr(err.text, " bytes, at most 255"));
    memset(text, 'k', sizeof text - 1); /* a key without end */
    assert_int_equal(parse(*state, text, &err), AA_ECONFIG);
}

static void
too_many_kafka_properties_are_refused(void **state)
{
    static char text[64 * 1024];
    aa_err      err = AA_ERR_INIT;
    size_t      n = (size_t)snprintf(text, sizeof text, "kafka:\n");
    for (int i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "  prop.%d: v\n", i);
    assert_int_equal(parse(*state, text, &err), AA_ECONFIG);
    assert_string_equal(err.text, "f:129: kafka.prop.127: more than 128 properties");
}

static void
random_bytes_and_damaged_files_never_crash(void **state)
{
    enum { rounds = 3000, size = 512 };
    uint64_t seed = 20240607;
    aa_conf *cfg = *state;
    char    *good = NULL, *text = malloc(size);
    size_t   good_len = 0, refused = 0;
    FILE    *out = open_memstream(&good, &good_len);
    assert_non_null(out);
    assert_non_null(text);
    aa_conf_print(cfg, out);
    fclose(out);
    print_message("SEED %llu\n", (unsigned long long)seed);
    for (uint64_t r = 0; r < rounds; r++) {
        size_t n = 1 + aa_rng_bits(seed, AA_RNG_TEST, r, 0) % size;
        size_t from = aa_rng_bits(seed, AA_RNG_TEST, r, 1) % (good_len - n);
        memcpy(text, good + (r % 3 ? from : 0), n);
        for (uint64_t k = 0; k < (r % 3 ? 4 : 1) || (r % 7 == 0 && k < n); k++)
            text[aa_rng_bits(seed, AA_RNG_TEST, r, 2 * k + 2) % n] =
                (char)aa_rng_bits(seed, AA_RNG_TEST, r, 2 * k + 3);
        aa_err err = AA_ERR_INIT;
        aa_conf_plain_defaults(cfg);
        aa_status st = aa_conf_yaml_parse(cfg, "f", text, n, &err);
        assert_true(st == AA_OK || st == AA_ECONFIG);
        if (st != AA_OK) assert_memory_equal(err.text, "f:", 2);
        refused += st != AA_OK;
    }
    assert_true(refused > rounds / 2);
    free(text);
    free(good);
}

/* ---- from disk, environment and -o ---- */

/* Write text to a new temporary file and put its name into path. */
static void
write_file(char path[32], const void *text, size_t len)
{
    snprintf(path, 32, "/tmp/aa-test-conf-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void
later_layers_win(void **state)
{
    aa_conf          *cfg = *state;
    char              path[32];
    aa_err            err = AA_ERR_INIT;
    const char *const text = "model: {dim: 4, kind: fm, step: 7}\nkafka: {a: 1, b: 1}\n";
    const char *const over[] = {"model.dim=6", "fields.user.json=uid", "kafka.group.id=g=h",
                                "kafka.b=2", "model.dim=7"};
    write_file(path, text, strlen(text));
    setenv("AUTOASSIGN_MODEL_DIM", "5", 1);
    setenv("AUTOASSIGN_MODEL_KIND", "mlp", 1);
    aa_status st = aa_conf_load(cfg, path, over, sizeof over / sizeof *over, &err);
    unsetenv("AUTOASSIGN_MODEL_DIM");
    unsetenv("AUTOASSIGN_MODEL_KIND");
    remove(path);
    assert_string_equal(err.text, "");
    assert_int_equal(st, AA_OK);
    assert_int_equal(cfg->model.dim, 7);
    assert_int_equal(cfg->model.kind, AA_MODEL_MLP);
    assert_int_equal(cfg->model.step, 7);
    assert_string_equal(cfg->fields[0].path, "uid");
    assert_string_equal(kafka_value(cfg, "group.id"), "g=h");
    assert_string_equal(kafka_value(cfg, "a"), "1");
    assert_string_equal(kafka_value(cfg, "b"), "2");
    assert_string_equal(cfg->path, path);
}

static void
an_override_makes_a_field(void **state)
{
    aa_conf          *cfg = *state;
    aa_err            err = AA_ERR_INIT;
    const char *const over[] = {"fields.shop.json=shop_id", "fields.shop.threshold=3",
                                "fields.user2=", "fields.user2.threshold=4", "fields.item="};
    aa_status         st = aa_conf_load(cfg, NULL, over, sizeof over / sizeof *over, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(st, AA_OK);
    assert_int_equal(cfg->field_count, 4); /* user, item and those two */
    assert_string_equal(cfg->fields[2].name, "shop");
    assert_string_equal(cfg->fields[2].path, "shop_id");
    assert_int_equal(cfg->fields[2].threshold, 3);
    assert_string_equal(cfg->fields[3].name, "user2");
    assert_string_equal(cfg->fields[3].path, "user2");
    assert_int_equal(cfg->fields[3].threshold, 4);
}

static void
fields_may_be_numbered_by_overrides(void **state)
{
    aa_conf          *cfg = *state;
    aa_err            err = AA_ERR_INIT;
    const char *const over[] = {"fields.f3.json=f3", "fields.f4.json=f4", "fields.f10.json=x",
                                "fields.user2.json=second_user", "fields.f4.threshold=7"};
    assert_int_equal(aa_conf_load(cfg, NULL, over, sizeof over / sizeof *over, &err), AA_OK);
    assert_int_equal(cfg->field_count, 6);
    assert_string_equal(cfg->fields[3].path, "f4");
    assert_int_equal(cfg->fields[3].threshold, 7);
    assert_string_equal(cfg->fields[5].path, "second_user");
}

static void
bad_overrides_say_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"model.dim", "-o: model.dim: expected section.key=value"},
        {"dim=3", "-o: dim: expected section.key=value"},
        {".dim=3", "-o: .dim: expected section.key=value"},
        {"model.=3", "-o: model.: expected section.key=value"},
        {"", "-o: : expected section.key=value"},
        {"model.dim=", "-o: model.dim: expected a whole number, got nothing"},
        {"model.dim=0", "-o: model.dim: 0 is out of range, 1 to 1024"},
        {"model.kid=fm", "-o: model.kid: unknown key (did you mean kind?)"},
        {"log.levle=info", "-o: log.levle: unknown key (did you mean level?)"},
        {"lgo.level=info", "-o: lgo: unknown section (did you mean log?)"},
        {"fields.user=3",
         "-o: fields.user: expected fields.name.key=value, or fields.name= for a new field"},
        {"fields.1st=", "-o: fields.1st: a name is letters, digits, _ and -, at most 63 of them"},
        {"fields.shop.jsno=u", "-o: fields.shop.jsno: unknown key (did you mean json?)"},
        {"fields.usr.json=u",
         "-o: fields.usr: unknown field (did you mean user? fields.usr= makes a new one)"},
        {"fields.user.jsn=u", "-o: fields.user.jsn: unknown key (did you mean json?)"},
        {"scorer.token=a\nb", "-o: scorer.token: control character in the value"},
        {"topics.model=a\xff", "-o: topics.model: the value is not UTF-8 text"},
        {"topics.model=a\xc3", "-o: topics.model: the value is not UTF-8 text"},
        {"topics.model=\xc2\x81", "-o: topics.model: the value is not UTF-8 text"},
        {"kafka.client.id=\xe9", "-o: kafka.client.id: the value is not UTF-8 text"},
        {"kafka.client id=x", "-o: kafka: space or control character in a key"},
        {"model.hidden=no", "model.hidden: \"no\": expected widths from 1 to 65536 like 64-32"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err err = AA_ERR_INIT;
        assert_int_equal(aa_conf_load(*state, NULL, &bad[i].text, 1, &err), AA_ECONFIG);
        assert_string_equal(err.text, bad[i].error);
    }
}

static void
bad_variables_say_what_is_wrong(void **state)
{
    static const struct {
        const char *name, *value, *error;
    } bad[] = {
        {"AUTOASSIGN_MODEL_DIM", "x",
         "AUTOASSIGN_MODEL_DIM: model.dim: expected a whole number, got \"x\""},
        {"AUTOASSIGN_MODEL_DIMM", "3", "environment: AUTOASSIGN_MODEL_DIMM: no such key in model"},
        {"AUTOASSIGN_MODEL_DI", "3", "environment: AUTOASSIGN_MODEL_DI: no such key in model"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err err = AA_ERR_INIT;
        setenv(bad[i].name, bad[i].value, 1);
        aa_status st = aa_conf_load(*state, NULL, NULL, 0, &err);
        unsetenv(bad[i].name);
        assert_int_equal(st, AA_ECONFIG);
        assert_string_equal(err.text, bad[i].error);
    }
}

static void
unreadable_files_are_named(void **state)
{
    aa_conf *cfg = *state;
    aa_err   err = AA_ERR_INIT;
    assert_int_equal(aa_conf_load(cfg, "/nonexistent/a.yaml", NULL, 0, &err), AA_EIO);
    assert_string_equal(err.text, "/nonexistent/a.yaml: No such file or directory");
    assert_int_equal(aa_conf_load(cfg, "/", NULL, 0, &err), AA_EIO);
    assert_string_equal(err.text, "/: Is a directory");
    assert_int_equal(aa_conf_load(cfg, X256, NULL, 0, &err), AA_EIO);
}

static void
file_beyond_the_limit_and_binary_file_are_refused(void **state)
{
    char    path[32];
    aa_err  err = AA_ERR_INIT;
    size_t  size = AA_CONF_FILE_BYTES + 1;
    char   *text = malloc(size);
    uint8_t binary[] = {0x7f, 'E', 'L', 'F', 0, 0, 1, 2, 0xff, 0xfe, 0};
    assert_non_null(text);
    memset(text, '\n', size);
    write_file(path, text, size);
    assert_int_equal(aa_conf_load(*state, path, NULL, 0, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, ": longer than 1048576 bytes"));
    remove(path);
    write_file(path, binary, sizeof binary);
    assert_int_equal(aa_conf_load(*state, path, NULL, 0, &err), AA_ECONFIG);
    assert_non_null(strstr(err.text, ":1: not YAML: "));
    remove(path);
    free(text);
}

static void
cross_check_names_file_and_line(void **state)
{
    char              path[32], want[128];
    aa_err            err = AA_ERR_INIT;
    const char *const text = "pipeline: {name: n}\nmodel:\n  hidden: x\n";
    write_file(path, text, strlen(text));
    assert_int_equal(aa_conf_load(*state, path, NULL, 0, &err), AA_ECONFIG);
    snprintf(want, sizeof want,
             "%s:3: model.hidden: \"x\": expected widths from 1 to 65536 like 64-32", path);
    assert_string_equal(err.text, want);
    remove(path);
}

/* The name of a field without `path:` is derived: the line is the field's. */
static void
cross_check_of_a_derived_name_names_the_line_it_is_derived_from(void **state)
{
    char              path[32], want[160];
    aa_err            err = AA_ERR_INIT;
    const char *const text = "fields:\n  user:\n  label:\n    threshold: 3\n";
    write_file(path, text, strlen(text));
    assert_int_equal(aa_conf_load(*state, path, NULL, 0, &err), AA_ECONFIG);
    snprintf(want, sizeof want, "%s:3: fields.label.path: \"label\" is event.label_field", path);
    assert_memory_equal(err.text, want, strlen(want));
    remove(path);
}

/* Protobuf has no names. */
static void
names_of_json_do_not_matter_where_all_is_protobuf(void **state)
{
    aa_err err = AA_ERR_INIT;
    assert_int_equal(
        parse(*state, "event: {format: protobuf}\nfields: {user: , item: , label: }\n", &err),
        AA_OK);
}

/* ---- digest ---- */

static void
digest_covers_what_processes_must_agree_on_and_no_more(void **state)
{
    static const char *const same[] = {"log.level=debug",     "http.enabled=false",
                                       "kafka.x=y",           "fields.user.json=uid",
                                       "pipeline.name=other", "checkpoint.keep=9"};
    static const char *const other[] = {"pipeline.seed=2",          "pipeline.depth=5",
                                        "agent.mode=rule",          "model.dim=8",
                                        "model.row_rate=0.21",      "fields.item.threshold=11",
                                        "fields.user.budget_rows=1"};
    aa_conf                 *cfg = *state;
    uint64_t                 digest = aa_conf_digest(cfg), last = 0;
    aa_err                   err = AA_ERR_INIT;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_int_equal(aa_conf_load(cfg, NULL, &same[i], 1, &err), AA_OK);
        assert_true(aa_conf_digest(cfg) == digest);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_int_equal(aa_conf_load(cfg, NULL, &other[i], 1, &err), AA_OK);
        assert_true(aa_conf_digest(cfg) != digest);
        assert_true(aa_conf_digest(cfg) != last);
        last = aa_conf_digest(cfg);
    }
    parse_good(cfg, "fields: {item: {}, user: {}}\n"); /* the order is part of the model */
    assert_true(aa_conf_digest(cfg) != digest);
}

/* Of the defaults, as checkpoints and commits have them. */
#define DIGEST_OF_DEFAULTS          0x2a2d0c09517352ee
#define DIGEST_OF_ROWS_OF_FLOATS    0x5b8648df99106dd8 /* the same with rows of floats */
#define DECODING_DIGEST_OF_DEFAULTS 0x4f84828eb6e02156

/* Checkpoints hold the digest: another one would refuse those that are there. Change the numbers
 * only with the format's version, or when a setting comes or goes. */
static void
digests_of_a_configuration_stay_from_build_to_build(void **state)
{
    static const char *const other[] = {"agent.mode=shared-only",
                                        "model.kind=dcn",
                                        "model.loss=mse",
                                        "event.format=protobuf",
                                        "event.time_unit=s",
                                        "event.label=threshold",
                                        "model.dim=8"};
    aa_conf                 *cfg = *state;
    aa_err                   err = AA_ERR_INIT;
    assert_int_equal(aa_conf_digest(cfg), DIGEST_OF_DEFAULTS);
    assert_int_equal(aa_conf_decoding_digest(cfg), DECODING_DIGEST_OF_DEFAULTS);
    assert_int_equal(aa_conf_load(cfg, NULL, other, sizeof other / sizeof *other, &err), AA_OK);
    assert_int_equal(aa_conf_digest(cfg), 0x86f8a5a09adf4a4d);
    assert_int_equal(aa_conf_decoding_digest(cfg), 0x35349adbafdf58b1);
}

/* A new setting must be left out at the value that does what builds before it did; otherwise their
 * checkpoints are refused. */
static void
younger_settings_count_only_where_they_are_not_as_before(void **state)
{
    static const char *const other[] = {"model.row_format=bf16", "model.row_optimizer=rowwise",
                                        "model.row_forget=0.003", "agent.budget_bytes=100000000"};
    static const char *const before[] = {"model.row_format=float", "model.row_optimizer=adagrad",
                                         "model.row_forget=0", "agent.budget_bytes=0"};
    aa_conf                 *cfg = *state;
    aa_err                   err = AA_ERR_INIT;
    for (size_t i = 0; i < 4; i++) {
        aa_conf_defaults(cfg);
        assert_int_equal(aa_conf_load(cfg, NULL, before, 4, &err), AA_OK);
        assert_true(aa_conf_digest(cfg) == DIGEST_OF_ROWS_OF_FLOATS);
        const char *changed[] = {before[0], before[1], before[2], before[3]};
        changed[i] = other[i];
        assert_int_equal(aa_conf_load(cfg, NULL, changed, 4, &err), AA_OK);
        assert_true(aa_conf_digest(cfg) != DIGEST_OF_ROWS_OF_FLOATS);
    }
    static const char *const ahead[] = {"event.time_max_ahead_ms=1"};
    assert_int_equal(aa_conf_load(cfg, NULL, ahead, 1, &err), AA_OK);
    assert_true(aa_conf_decoding_digest(cfg) != DECODING_DIGEST_OF_DEFAULTS);
}

/* ---- choices ---- */

static void
a_choice_is_the_constant_of_its_text_and_prints_as_that_text(void **state)
{
    aa_conf *cfg = *state;
    aa_err   err = AA_ERR_INIT;
    for (unsigned mode = 0; mode < aa_agent_mode_count; mode++) {
        char              set[64];
        const char *const all[] = {"fields.user.hash_rows=1", "fields.item.hash_rows=1", set};
        snprintf(set, sizeof set, "agent.mode=%s", aa_agent_mode_text(mode));
        assert_int_equal(aa_conf_load(cfg, NULL, all, 3, &err), AA_OK);
        assert_int_equal(cfg->agent.mode, mode);
    }
    assert_string_equal(aa_agent_mode_text(AA_MODE_SHARED_ONLY), "shared-only");
}

/* "auto", "a" and "avr" begin alike: only a whole text is a choice. */
static void
a_text_that_begins_like_a_choice_is_none(void **state)
{
    static const char *const bad[] = {"event.format=avr", "event.format=a", "event.format=autos",
                                      "event.format=auto|json", "event.time_unit=sec"};
    aa_conf                 *cfg = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aa_err err = AA_ERR_INIT;
        assert_int_equal(aa_conf_load(cfg, NULL, &bad[i], 1, &err), AA_ECONFIG);
        assert_non_null(strstr(err.text, "is not one of"));
    }
}

static void
where_a_replay_begins_is_parsed_once(void **state)
{
    static const struct {
        const char    *text;
        aa_replay_from from;
    } good[] = {{"ingest.replay_from=beginning", {AA_FROM_BEGINNING, 0}},
                {"ingest.replay_from=offset:0", {AA_FROM_OFFSET, 0}},
                {"ingest.replay_from=offset:25", {AA_FROM_OFFSET, 25}},
                {"ingest.replay_from=time:999999999999999999", {AA_FROM_TIME, 999999999999999999}}};
    static const char *const bad[] = {
        "ingest.replay_from=offset:-1", "ingest.replay_from=time:", "ingest.replay_from=time:1s",
        "ingest.replay_from=begin", "ingest.replay_from=offset:1000000000000000000"};
    aa_conf *cfg = *state;
    aa_err   err = AA_ERR_INIT;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(aa_conf_load(cfg, NULL, &good[i].text, 1, &err), AA_OK);
        assert_int_equal(cfg->replay_from.kind, good[i].from.kind);
        assert_int_equal(cfg->replay_from.value, good[i].from.value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(aa_conf_load(cfg, NULL, &bad[i], 1, &err), AA_ECONFIG);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, new_conf, free_conf)
    const struct CMUnitTest tests[] = {
        T(defaults_are_a_complete_configuration),
        T(every_default_is_a_value_that_its_setting_accepts),
        T(file_sets_every_type_and_leaves_the_rest),
        T(fields_keep_the_order_of_the_file),
        T(a_label_map_is_a_mapping_or_a_text),
        T(kafka_properties_pass_through_with_their_lines),
        T(empty_files_are_the_defaults),
        T(bad_file_says_line_key_and_what_is_wrong),
        T(a_file_may_begin_with_a_byte_order_mark),
        T(deep_nesting_is_refused_where_it_begins),
        T(huge_scalars_are_refused),
        T(too_many_kafka_properties_are_refused),
        T(random_bytes_and_damaged_files_never_crash),
        T(later_layers_win),
        T(fields_may_be_numbered_by_overrides),
        T(bad_overrides_say_what_is_wrong),
        T(an_override_makes_a_field),
        T(equal_ports_of_other_machines_are_good),
        T(bad_variables_say_what_is_wrong),
        T(unreadable_files_are_named),
        T(file_beyond_the_limit_and_binary_file_are_refused),
        T(cross_check_names_file_and_line),
        T(cross_check_of_a_derived_name_names_the_line_it_is_derived_from),
        T(names_of_json_do_not_matter_where_all_is_protobuf),
        T(digest_covers_what_processes_must_agree_on_and_no_more),
        T(digests_of_a_configuration_stay_from_build_to_build),
        T(younger_settings_count_only_where_they_are_not_as_before),
        T(a_choice_is_the_constant_of_its_text_and_prints_as_that_text),
        T(a_text_that_begins_like_a_choice_is_none),
        T(where_a_replay_begins_is_parsed_once),
    };
    return cmocka_run_group_tests_name("common/config/conf", tests, NULL, NULL);
}
