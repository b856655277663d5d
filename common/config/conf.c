#include "common/config/conf.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent/mode.h"
#include "common/base/hash.h"
#include "common/config/conf_set.h"
#include "common/config/conf_table.h"
#include "common/config/conf_yaml.h"

#define MAX_LAYER  65536
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

extern char **environ;

/* ---- environment and -o ---- */

static aa_status
set_from_env(aa_conf *cfg, const aa_section *sc, const aa_setting *se, aa_err *err)
{
    char name[128];
    aa_conf_table_env_name(sc->name, se->name, name, sizeof name);
    const char *text = getenv(name);
    if (!text) return AA_OK;
    const aa_conf_value v = {.text = text, .len = strlen(text), .where = name};
    return aa_conf_set(cfg, sc->name, se->name, &v, err);
}

/* A variable that begins like one of ours and is none: most likely a slip of the pen. */
static aa_status
check_env_name(const aa_section *sc, const char *entry, aa_err *err)
{
    char              name[128], prefix[64];
    size_t            count, len = strcspn(entry, "=");
    const aa_setting *se = sc->settings(&count);
    aa_conf_table_env_name(sc->name, "", prefix, sizeof prefix);
    if (strncmp(entry, prefix, strlen(prefix)) != 0) return AA_OK;
    for (size_t i = 0; i < count; i++) {
        aa_conf_table_env_name(sc->name, se[i].name, name, sizeof name);
        if (strlen(name) == len && strncmp(entry, name, len) == 0) return AA_OK;
    }
    return aa_fail(err, AA_ECONFIG, "environment: %.*s: no such key in %s", (int)len, entry,
                   sc->name);
}

static aa_status
load_env(aa_conf *cfg, aa_err *err)
{
    aa_status         st = AA_OK;
    size_t            section_count, count;
    const aa_section *sc = aa_conf_table_sections(&section_count);
    for (size_t s = 0; st == AA_OK && s < section_count; s++) {
        const aa_setting *se = sc[s].settings(&count);
        for (size_t i = 0; st == AA_OK && i < count; i++)
            st = set_from_env(cfg, &sc[s], &se[i], err);
        for (char **entry = environ; st == AA_OK && entry && *entry; entry++)
            st = check_env_name(&sc[s], *entry, err);
    }
    return st;
}

/* Behind the others, with the defaults of a field. */
static aa_status
add_field(aa_conf *cfg, const char *name, aa_err *err)
{
    const aa_conf_value v = {.text = name, .len = strlen(name), .where = "-o"};
    for (size_t f = 0; f < cfg->field_count; f++)
        if (strcmp(cfg->fields[f].name, name) == 0) return AA_OK;
    return aa_conf_add_field(cfg, &v, err);
}

static aa_status
set_override(aa_conf *cfg, const char *text, aa_err *err)
{
    char                path[AA_CONF_STR];
    const char         *equals = strchr(text, '=');
    size_t              path_len = equals ? (size_t)(equals - text) : strlen(text);
    const aa_conf_value v = {
        .text = equals ? equals + 1 : "", .len = equals ? strlen(equals + 1) : 0, .where = "-o"};
    if (path_len >= sizeof path)
        return aa_fail(err, AA_ECONFIG, "-o: %.60s...: the key is too long", text);
    memcpy(path, text, path_len);
    path[path_len] = '\0';
    char *key = strchr(path, '.');
    if (!equals || !key || key == path || !key[1])
        return aa_fail(err, AA_ECONFIG, "-o: %.100s: expected section.key=value", path);
    *key++ = '\0';
    if (strcmp(path, "kafka") == 0) return aa_conf_set_kafka(cfg, key, &v, err);
    if (strcmp(path, "fields") != 0) return aa_conf_set(cfg, path, key, &v, err);

    const char *field = key;
    key = strchr(field, '.');
    if (!key && !*v.text) return add_field(cfg, field, err);
    if (!key || key == field || !key[1])
        return aa_fail(
            err, AA_ECONFIG,
            "-o: fields.%.60s: expected fields.name.key=value, or fields.name= for a new "
            "field",
            field);
    *key++ = '\0';
    aa_status st = AA_OK;
    if (!aa_conf_names_field(cfg, field)) st = add_field(cfg, field, err);
    return st == AA_OK ? aa_conf_set_field(cfg, field, key, &v, err) : st;
}

/* ---- cross-checks ---- */

static aa_status
parse_hidden(aa_conf *cfg, aa_err *err)
{
    const char *p = cfg->model.hidden;
    cfg->hidden_count = 0;
    memset(cfg->hidden, 0, sizeof cfg->hidden);
    if (!*p && cfg->model.kind == AA_MODEL_FM) return AA_OK;
    for (;;) {
        char *end;
        long  width = *p >= '0' && *p <= '9' ? strtol(p, &end, 10) : 0;
        if (width < 1 || width > MAX_LAYER || (*end && *end != '-'))
            return aa_fail(err, AA_ECONFIG,
                           "model.hidden: \"%.40s\": expected widths from 1 to %d like 64-32",
                           cfg->model.hidden, MAX_LAYER);
        if (cfg->hidden_count == AA_MAX_HIDDEN)
            return aa_fail(err, AA_ECONFIG, "model.hidden: more than %d layers", AA_MAX_HIDDEN);
        cfg->hidden[cfg->hidden_count++] = (size_t)width;
        if (!*end) return AA_OK;
        p = end + 1;
    }
}

/* prefix, then a whole number of at most 18 digits */
static bool
take_number_after(const char *text, const char *prefix, int64_t *value)
{
    if (strncmp(text, prefix, strlen(prefix)) != 0) return false;
    text += strlen(prefix);
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits]) return false;
    *value = strtoll(text, NULL, 10);
    return true;
}

static aa_status
parse_replay_from(aa_conf *cfg, aa_err *err)
{
    const char     *text = cfg->ingest.replay_from;
    aa_replay_from *from = &cfg->replay_from;
    *from = (aa_replay_from){.kind = AA_FROM_BEGINNING};
    if (strcmp(text, "beginning") == 0) return AA_OK;
    if (take_number_after(text, "offset:", &from->value))
        from->kind = AA_FROM_OFFSET;
    else if (take_number_after(text, "time:", &from->value))
        from->kind = AA_FROM_TIME;
    else
        return aa_fail(err, AA_ECONFIG,
                       "ingest.replay_from: \"%.60s\": expected beginning, offset:N or time:MS",
                       text);
    return AA_OK;
}

/* One of event.label_map: "purchase=1"; the last equals sign counts. */
static aa_status
add_label(aa_conf *cfg, const char *text, size_t len, aa_err *err)
{
    char           number[32];
    size_t         name = len;
    aa_conf_label *la = &cfg->labels[cfg->label_count];
    while (name > 0 && text[name - 1] != '=')
        name--;
    const size_t digits = len - name;
    if (name < 2 || name - 1 >= sizeof la->name || digits == 0 || digits >= sizeof number)
        return aa_fail(err, AA_ECONFIG, "event.label_map: \"%.*s\": expected text=number", (int)len,
                       text);
    if (cfg->label_count == AA_MAX_LABELS)
        return aa_fail(err, AA_ECONFIG, "event.label_map: more than %d labels", AA_MAX_LABELS);
    memset(la, 0, sizeof *la);
    memcpy(la->name, text, name - 1);
    memcpy(number, text + name, digits);
    number[digits] = '\0';
    char *end;
    la->value = strtod(number, &end);
    if (*end || !isfinite(la->value))
        return aa_fail(err, AA_ECONFIG, "event.label_map: %s: \"%s\" is no number", la->name,
                       number);
    for (size_t i = 0; i < cfg->label_count; i++)
        if (strcmp(cfg->labels[i].name, la->name) == 0)
            return aa_fail(err, AA_ECONFIG, "event.label_map: \"%s\" stands twice", la->name);
    cfg->label_count++;
    return AA_OK;
}

static aa_status
parse_label_map(aa_conf *cfg, aa_err *err)
{
    const char *at = cfg->event.label_map;
    cfg->label_count = 0;
    while (*at) {
        while (*at == ' ')
            at++;
        const size_t item = strcspn(at, ",");
        size_t       len = item;
        while (len > 0 && at[len - 1] == ' ')
            len--;
        aa_status st = add_label(cfg, at, len, err);
        if (st != AA_OK) return st;
        at += item + (at[item] == ',');
    }
    return AA_OK;
}

static aa_status
check_pipeline(const aa_conf *cfg, aa_err *err)
{
    const char *name = cfg->pipeline.name; /* of folders and of the consumer group */
    if (!*name || *name == '.' || name[strspn(name, NAME_CHARS)])
        return aa_fail(err, AA_ECONFIG,
                       "pipeline.name: \"%.60s\": letters, digits, '.', '_' and '-' only", name);
    if (strlen(name) > 100) return aa_fail(err, AA_ECONFIG, "pipeline.name: longer than 100 bytes");
    return AA_OK;
}

/* No two of count names may be the same; "" is none. */
static aa_status
check_distinct(const char *const (*named)[2], size_t count, aa_err *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (*named[i][1] && strcmp(named[i][1], named[j][1]) == 0)
                return aa_fail(err, AA_ECONFIG, "%s: \"%.100s\" is also %s", named[i][0],
                               named[i][1], named[j][0]);
    return AA_OK;
}

aa_conf_link_set
aa_conf_links(const aa_conf *cfg)
{
    return (aa_conf_link_set){{
        {"links.events", cfg->links.events},
        {"links.assigned", cfg->links.assigned},
        {"links.rewards", cfg->links.rewards},
        {"scorer.listen", cfg->scorer.listen},
        {"links.fetchers", cfg->links.fetchers}, /* may be empty */
    }};
}

/* What a broker takes as a topic's name. */
static aa_status
check_topic_name(const char *key, const char *name, aa_err *err)
{
    enum { TOPIC_MOST = 249 };
    if (name[strspn(name, NAME_CHARS)] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return aa_fail(err, AA_ECONFIG,
                       "%s: \"%.60s\": a topic's name has letters, digits, '.', '_' and '-' only",
                       key, name);
    if (strlen(name) > TOPIC_MOST)
        return aa_fail(err, AA_ECONFIG, "%s: \"%.60s...\": longer than %d bytes", key, name,
                       TOPIC_MOST);
    return AA_OK;
}

static aa_status
check_names(const aa_conf *cfg, aa_err *err)
{
    const char *const topics[][2] = {
        {"topics.interactions", cfg->topics.interactions},
        {"topics.dead_letters", cfg->topics.dead_letters},
        {"topics.assignments", cfg->topics.assignments},
        {"topics.model", cfg->topics.model},
        {"topics.predictions", cfg->topics.predictions},
    };
    const aa_conf_link_set links = aa_conf_links(cfg);
    for (size_t i = 0; i < 4; i++) {
        if (!*topics[i][1]) return aa_fail(err, AA_ECONFIG, "%s: is empty", topics[i][0]);
        if (!*links.named[i][1]) return aa_fail(err, AA_ECONFIG, "%s: is empty", links.named[i][0]);
    }
    aa_status st = AA_OK;
    for (size_t i = 0; st == AA_OK && i < sizeof topics / sizeof *topics; i++)
        st = check_topic_name(topics[i][0], topics[i][1], err);
    if (st == AA_OK) st = check_distinct(topics, sizeof topics / sizeof *topics, err);
    return st == AA_OK ? check_distinct(links.named, AA_CONF_LINKS, err) : st;
}

/* ---- ports ---- */

/* Where a process listens. */
typedef struct {
    const char *key, *process;
    char        host[AA_CONF_STR];
    int64_t     port;
} listener;

enum { LISTENERS_MAX = AA_CONF_LINKS + 4 };

static bool
is_every_address(const char *host)
{
    return strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0 ||
           strcmp(host, "::") == 0;
}

/* Port 0, also one that is no number: none that is known. */
static void
set_listener(listener *li, const char *key, const char *process, const char *host, size_t host_len,
             int64_t port)
{
    *li = (listener){.key = key, .process = process, .port = port};
    snprintf(li->host, sizeof li->host, "%.*s", (int)host_len, host);
    if (strcmp(li->host, "localhost") == 0) snprintf(li->host, sizeof li->host, "127.0.0.1");
}

static size_t
find_listeners(const aa_conf *cfg, listener *li)
{
    static const char *const binder[AA_CONF_LINKS] = {"assigner", "learner", "learner", "scorer",
                                                      "ingest"};
    const struct {
        const char *key, *process;
        int64_t     port;
    } http[] = {{"http.ingest_port", "ingest", cfg->http.ingest_port},
                {"http.assigner_port", "assigner", cfg->http.assigner_port},
                {"http.learner_port", "learner", cfg->http.learner_port},
                {"http.scorer_port", "scorer", cfg->http.scorer_port}};
    const aa_conf_link_set links = aa_conf_links(cfg);
    size_t                 n = 0;
    for (size_t i = 0; i < AA_CONF_LINKS; i++) {
        const char *address = links.named[i][1], *colon = strrchr(address, ':');
        if (strncmp(address, "tcp://", 6) != 0 || colon < address + 6) continue;
        if (links.named[i][1] == cfg->links.fetchers && cfg->ingest.role == AA_ROLE_FETCHER)
            continue; /* it connects */
        set_listener(&li[n++], links.named[i][0], binder[i], address + 6,
                     (size_t)(colon - address - 6), strtoll(colon + 1, NULL, 10));
    }
    for (size_t i = 0; cfg->http.enabled && i < sizeof http / sizeof *http; i++)
        set_listener(&li[n++], http[i].key, http[i].process, cfg->http.bind, strlen(cfg->http.bind),
                     http[i].port);
    return n;
}

/* One process, or one address, which is one machine's, has a port once. Other processes may listen
 * at every address of machines of their own. */
static bool
is_taken_by(const listener *a, const listener *b)
{
    if (a->port <= 0 || a->port != b->port) return false;
    if (strcmp(a->process, b->process) == 0 &&
        (is_every_address(a->host) || is_every_address(b->host)))
        return true;
    return strcmp(a->host, b->host) == 0 && !is_every_address(a->host);
}

/* A name may be known later; what is no name and no address never will. */
static aa_status
check_bind(const aa_conf *cfg, aa_err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%";
    const char   *host = cfg->http.bind;
    unsigned char number[4];
    const bool    dotted = *host && host[strspn(host, "0123456789.")] == '\0';
    if (*host && host[strspn(host, letters)] == '\0' &&
        (!dotted || inet_pton(AF_INET, host, number) == 1))
        return AA_OK;
    return aa_fail(err, AA_ECONFIG,
                   "http.bind: \"%.60s\": an address (127.0.0.1, 0.0.0.0, ::1) or a host's name",
                   host);
}

static aa_status
check_ports(const aa_conf *cfg, aa_err *err)
{
    listener     li[LISTENERS_MAX];
    const size_t n = find_listeners(cfg, li);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (is_taken_by(&li[i], &li[j]))
                return aa_fail(err, AA_ECONFIG, "%s: port %" PRId64 " at %.60s is also that of %s",
                               li[i].key, li[i].port, li[i].host, li[j].key);
    return AA_OK;
}

static aa_status
check_stream(const aa_conf *cfg, aa_err *err)
{
    if (cfg->event.time_min_ms > cfg->event.time_max_ms)
        return aa_fail(err, AA_ECONFIG, "event.time_min_ms: is after event.time_max_ms");
    if (cfg->ingest.run == AA_RUN_LIVE && !cfg->checkpoint.every_ms &&
        !cfg->checkpoint.every_events)
        return aa_fail(
            err, AA_ECONFIG,
            "checkpoint.every_ms: 0, and every_events too: a live run would never commit");
    if (!*cfg->checkpoint.dir) return aa_fail(err, AA_ECONFIG, "checkpoint.dir: is empty");
    return AA_OK;
}

static aa_status
check_fields(const aa_conf *cfg, aa_err *err)
{
    int64_t shared = cfg->agent.positions * cfg->agent.lean_bins;
    bool    by_key = aa_mode_of(cfg)->own == AA_OWN_BY_KEY;
    if (cfg->field_count == 0) return aa_fail(err, AA_ECONFIG, "fields: at least one is needed");
    for (size_t f = 0; f < cfg->field_count; f++) {
        const aa_conf_field *fd = &cfg->fields[f];
        if (aa_mode_of(cfg)->shared == AA_SHARED_NONE && fd->budget_rows + fd->budget_bytes > 0)
            return aa_fail(err, AA_ECONFIG, "fields.%s.budget_%s: agent.mode %s keeps no budget",
                           fd->name, fd->budget_rows > 0 ? "rows" : "bytes",
                           aa_agent_mode_text(cfg->agent.mode));
        if (by_key && fd->hash_rows == 0)
            return aa_fail(err, AA_ECONFIG, "fields.%s.hash_rows: agent.mode %s needs it above 0",
                           fd->name, aa_agent_mode_text(cfg->agent.mode));
        if (shared + fd->budget_rows > UINT32_MAX) /* slots have 32 bits */
            return aa_fail(err, AA_ECONFIG,
                           "fields.%s.budget_rows: more than %" PRId64 " beside %" PRId64
                           " shared rows",
                           fd->name, UINT32_MAX - shared, shared);
    }
    return AA_OK;
}

/* No member of a JSON event may be read for two purposes: an ID that is the label gives the model the
 * answer. Protobuf has no names. */
static aa_status
check_members(const aa_conf *cfg, aa_err *err)
{
    const char *label = cfg->event.label_field, *time = cfg->event.time_field;
    if (cfg->event.format == AA_EVENT_FORMAT_PROTOBUF && !*cfg->event.descriptor &&
        !*cfg->event.schema_registry)
        return AA_OK;
    if (strcmp(label, time) == 0)
        return aa_fail(err, AA_ECONFIG, "event.label_field: \"%.60s\" is also event.time_field",
                       label);
    for (size_t f = 0; f < cfg->field_count; f++) {
        const aa_conf_field *fd = &cfg->fields[f];
        if (strcmp(fd->path, label) == 0)
            return aa_fail(err, AA_ECONFIG,
                           "fields.%s.path: \"%.60s\" is event.label_field: an ID that is the "
                           "label gives the answer away",
                           fd->name, fd->path);
        if (strcmp(fd->path, time) == 0)
            return aa_fail(err, AA_ECONFIG, "fields.%s.path: \"%.60s\" is event.time_field",
                           fd->name, fd->path);
        for (size_t g = 0; g < f; g++)
            if (strcmp(fd->path, cfg->fields[g].path) == 0)
                return aa_fail(err, AA_ECONFIG, "fields.%s.path: \"%.60s\" is also fields.%s.path",
                               fd->name, fd->path, cfg->fields[g].name);
    }
    return AA_OK;
}

static aa_status
check_schemas(const aa_conf *cfg, aa_err *err)
{
    const struct aa_conf_event *ev = &cfg->event;
    if (ev->format == AA_EVENT_FORMAT_AVRO && !*ev->schema_registry && !*ev->schema_file)
        return aa_fail(err, AA_ECONFIG,
                       "event.format: avro needs event.schema_registry or event.schema_file");
    if (*ev->schema_file && ev->format != AA_EVENT_FORMAT_AVRO)
        return aa_fail(err, AA_ECONFIG, "event.schema_file: only with event.format: avro");
    if (*ev->descriptor &&
        (ev->format == AA_EVENT_FORMAT_AVRO || ev->format == AA_EVENT_FORMAT_JSON))
        return aa_fail(err, AA_ECONFIG,
                       "event.descriptor: only with event.format: protobuf or auto");
    if (*ev->descriptor && !*ev->message)
        return aa_fail(err, AA_ECONFIG, "event.message: is empty, but event.descriptor is set");
    if (*ev->message && !*ev->descriptor && !*ev->schema_registry)
        return aa_fail(err, AA_ECONFIG,
                       "event.message: needs event.descriptor or event.schema_registry");
    if (*ev->schema_registry && strncmp(ev->schema_registry, "http://", 7) != 0 &&
        strncmp(ev->schema_registry, "https://", 8) != 0)
        return aa_fail(err, AA_ECONFIG,
                       "event.schema_registry: expected http://... or https://...");
    if (*ev->schema_registry && (*ev->schema_file || *ev->descriptor))
        return aa_fail(err, AA_ECONFIG, "event.schema_registry: not beside event.%s",
                       *ev->schema_file ? "schema_file" : "descriptor");
    if (ev->framing == AA_FRAMING_CONFLUENT && !*ev->schema_registry && !*ev->schema_file &&
        !*ev->descriptor)
        return aa_fail(err, AA_ECONFIG,
                       "event.framing: confluent needs event.schema_registry, or a file");
    if (ev->framing == AA_FRAMING_PLAIN && *ev->schema_registry)
        return aa_fail(err, AA_ECONFIG, "event.framing: plain, but event.schema_registry is set");
    return AA_OK;
}

/* ---- what follows from other values ---- */

static bool
has_kafka(const aa_conf *cfg, const char *key)
{
    for (size_t i = 0; i < cfg->kafka_count; i++)
        if (strcmp(cfg->kafka[i].key, key) == 0) return true;
    return false;
}

static aa_status
check_role(const aa_conf *cfg, aa_err *err)
{
    if (cfg->ingest.role != AA_ROLE_FETCHER) return AA_OK;
    if (cfg->ingest.run != AA_RUN_LIVE)
        return aa_fail(err, AA_ECONFIG,
                       "ingest.role: fetcher: a replay has none, its one ingest reads everything");
    if (!*cfg->links.fetchers)
        return aa_fail(err, AA_ECONFIG, "links.fetchers: is empty, but ingest.role is fetcher");
    if (has_kafka(cfg, "group.instance.id"))
        return aa_fail(err, AA_ECONFIG,
                       "kafka.group.instance.id: a fetcher is a dynamic member of the group");
    return AA_OK;
}

static aa_status
default_kafka(aa_conf *cfg, const char *key, const char *value, aa_err *err)
{
    const aa_conf_value v = {.text = value, .len = strlen(value), .where = "default"};
    if (has_kafka(cfg, key)) return AA_OK;
    return aa_conf_set_kafka(cfg, key, &v, err);
}

static aa_status
derive(aa_conf *cfg, aa_err *err)
{
    char   group[AA_CONF_STR + 16];
    size_t room = sizeof cfg->topics.dead_letters - sizeof ".dlq";
    if (!*cfg->topics.dead_letters) {
        if (strlen(cfg->topics.interactions) > room)
            return aa_fail(err, AA_ECONFIG, "topics.interactions: longer than %zu bytes", room);
        snprintf(cfg->topics.dead_letters, sizeof cfg->topics.dead_letters, "%.*s.dlq", (int)room,
                 cfg->topics.interactions);
    }
    for (size_t f = 0; f < cfg->field_count; f++)
        if (!*cfg->fields[f].path)
            snprintf(cfg->fields[f].path, sizeof cfg->fields[f].path, "%s", cfg->fields[f].name);
    snprintf(group, sizeof group, "autoassign-%s", cfg->pipeline.name);
    aa_status st = default_kafka(cfg, "bootstrap.servers", "localhost:9092", err);
    if (st != AA_OK) return st;
    return default_kafka(cfg, "group.id", group, err);
}

static aa_status
check_hold(const aa_conf *cfg, aa_err *err)
{
    const double min = cfg->publish.hold_calibration_min, max = cfg->publish.hold_calibration_max;
    if (max == 0.0 || min <= max) return AA_OK;
    return aa_fail(err, AA_ECONFIG,
                   "publish.hold_calibration_max: %g is below publish.hold_calibration_min, %g",
                   max, min);
}

aa_status
aa_conf_finish(aa_conf *cfg, aa_err *err)
{
    aa_status st = check_pipeline(cfg, err);
    if (st == AA_OK) st = derive(cfg, err);
    if (st == AA_OK) st = parse_hidden(cfg, err);
    if (st == AA_OK) st = parse_replay_from(cfg, err);
    if (st == AA_OK) st = parse_label_map(cfg, err);
    if (st == AA_OK) st = check_names(cfg, err);
    if (st == AA_OK) st = check_bind(cfg, err);
    if (st == AA_OK) st = check_ports(cfg, err);
    if (st == AA_OK) st = check_stream(cfg, err);
    if (st == AA_OK) st = check_role(cfg, err);
    if (st == AA_OK) st = check_hold(cfg, err);
    if (st == AA_OK) st = check_fields(cfg, err);
    if (st == AA_OK) st = check_schemas(cfg, err);
    return st == AA_OK ? check_members(cfg, err) : st;
}

void
aa_conf_defaults(aa_conf *cfg)
{
    aa_conf_plain_defaults(cfg);
    AA_REQUIRE(aa_conf_finish(cfg, NULL) == AA_OK);
}

/* what: "section.key: what is wrong". The line, where the file sets that key or else what it is in,
 * goes before it. */
static aa_status
fail_at_key(const char *path, aa_status st, const char *what, aa_err *err)
{
    char        key[128] = "";
    const char *end = strstr(what, ": ");
    if (!path) return aa_fail(err, st, "%s", what);
    if (end && (size_t)(end - what) < sizeof key) memcpy(key, what, (size_t)(end - what));
    size_t line = aa_conf_yaml_line(path, key);
    for (char *dot; line == 0 && (dot = strrchr(key, '.')); line = aa_conf_yaml_line(path, key))
        *dot = '\0';
    if (line == 0) return aa_fail(err, st, "%s: %s", path, what);
    return aa_fail(err, st, "%s:%zu: %s", path, line, what);
}

aa_status
aa_conf_load(aa_conf *cfg, const char *path, const char *const *overrides, size_t count,
             aa_err *err)
{
    aa_err    what = AA_ERR_INIT;
    aa_status st = AA_OK;
    aa_conf_plain_defaults(cfg);
    if (path) {
        if (strlen(path) >= sizeof cfg->path)
            return aa_fail(err, AA_EIO, "%.60s...: the path is too long", path);
        snprintf(cfg->path, sizeof cfg->path, "%s", path);
        st = aa_conf_yaml_load(cfg, path, err);
    }
    if (st == AA_OK) st = load_env(cfg, err);
    for (size_t i = 0; st == AA_OK && i < count; i++)
        st = set_override(cfg, overrides[i], err);
    if (st != AA_OK) return st;
    st = aa_conf_finish(cfg, &what);
    return st == AA_OK ? AA_OK : fail_at_key(path, st, what.text, err);
}

aa_status
aa_conf_fail_at(const aa_conf *cfg, aa_status st, const char *what, aa_err *err)
{
    return fail_at_key(cfg->path[0] ? cfg->path : NULL, st, what, err);
}

/* ---- digest ---- */

/* word is one of words, which are between spaces */
static bool
is_among(const char *word, const char *words)
{
    size_t n = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p++)
        if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' ')) return true;
    return false;
}

/* Settings that are younger than the digests, and the value that does what builds before them did.
 * At that value they are left out, so that checkpoints of those builds stay valid. dense_step is
 * kept in no state: its default is left out. */
static const struct {
    const char *key, *as_before;
} younger[] = {{"event.time_max_ahead_ms", "0"},   {"model.row_format", "float"},
               {"model.row_optimizer", "adagrad"}, {"model.row_forget", "0"},
               {"agent.budget_bytes", "0"},        {"event.label_map", ""},
               {"event.label_other", "reject"},    {"event.framing", "auto"},
               {"event.schema_registry", ""},      {"event.schema_ca", ""},
               {"event.schema_file", ""},          {"event.reader_schema", ""},
               {"event.descriptor", ""},           {"event.message", ""},
               {"fields.missing", "reject"},       {"model.dense_step", "8"}};

const char *
aa_conf_before(const char *key)
{
    for (size_t i = 0; i < sizeof younger / sizeof *younger; i++)
        if (strcmp(key, younger[i].key) == 0) return younger[i].as_before;
    return NULL;
}

static bool
is_as_before(const char *section, const char *name, const char *text)
{
    char key[AA_CONF_STR];
    snprintf(key, sizeof key, "%s.%s", section, name);
    const char *before = aa_conf_before(key);
    return before && strcmp(text, before) == 0;
}

/* @param only  the names to digest, between spaces; NULL: all */
static uint64_t
digest_settings(uint64_t d, const aa_section *sc, const void *base, const char *only)
{
    char              text[AA_CONF_STR];
    size_t            count;
    const aa_setting *se = sc->settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (only && !is_among(se[i].name, only)) continue;
        aa_conf_table_format(&se[i], base, text, sizeof text);
        if (is_as_before(sc->name, se[i].name, text)) continue;
        d = aa_digest(d, se[i].name, strlen(se[i].name) + 1);
        d = aa_digest(d, text, strlen(text) + 1);
    }
    return d;
}

/* Of the values' text, so that neither the struct's layout nor the order of a file matters. */
uint64_t
aa_conf_digest(const aa_conf *cfg)
{
    uint64_t d = 1;
    d = digest_settings(d, aa_conf_table_find("pipeline"), &cfg->pipeline, "seed depth");
    d = digest_settings(d, aa_conf_table_find("agent"), &cfg->agent, NULL);
    d = digest_settings(d, aa_conf_table_find("model"), &cfg->model, NULL);
    for (size_t f = 0; f < cfg->field_count; f++) {
        d = aa_digest(d, cfg->fields[f].name, strlen(cfg->fields[f].name) + 1);
        d = digest_settings(d, aa_conf_table_field(), &cfg->fields[f],
                            "threshold budget_rows budget_bytes hash_rows");
    }
    return d;
}

uint64_t
aa_conf_decoding_digest(const aa_conf *cfg)
{
    static const char path_was[] = "json"; /* the key's name in older builds */
    const char       *topic = cfg->topics.interactions;
    uint64_t          d = aa_digest(1, topic, strlen(topic) + 1);

    d = digest_settings(d, aa_conf_table_find("event"), &cfg->event, NULL);
    for (size_t f = 0; f < cfg->field_count; f++) {
        d = aa_digest(d, cfg->fields[f].name, strlen(cfg->fields[f].name) + 1);
        d = aa_digest(d, path_was, sizeof path_was);
        d = aa_digest(d, cfg->fields[f].path, strlen(cfg->fields[f].path) + 1);
        d = digest_settings(d, aa_conf_table_field(), &cfg->fields[f], "missing");
    }
    return d;
}
