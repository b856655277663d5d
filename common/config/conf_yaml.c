/* Job: read the file with libyaml's event parser. Events rather than a schema library, because
 * `kafka:` and `fields:` have keys that only the user knows, because each error must name its line
 * and key, and because environment and -o share the setters of conf_set.
 *
 * The grammar is a mapping of sections, each a mapping of scalars; only `fields:` is one deeper. So
 * nothing here recurses, however deep a hostile file nests. Anchors, aliases, tags, sequences and
 * further documents have no meaning in it and are errors. A key with nothing after its colon is an
 * empty section, but an error where a value belongs. */
#include "common/config/conf_yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/base/hash.h"
#include "common/config/conf_set.h"
#include "common/config/conf_table.h"

#define PATH_BYTES  192
#define WHERE_BYTES (AA_CONF_STR + 24)
#define MAX_KEYS    512

typedef struct {
    aa_conf      *cfg;
    const char   *name; /* of the file */
    const char   *text;
    size_t        len;
    aa_err       *err;
    yaml_parser_t parser;
    yaml_event_t  ev; /* the current event */
    struct {
        uint64_t path; /* hash of "section.key" */
        size_t   line;
    } seen[MAX_KEYS];
    size_t seen_count;
} reader;

/* One key of a mapping; the reader's event is its value. */
typedef struct {
    char   key[PATH_BYTES], path[PATH_BYTES];
    size_t line;
} pair;

typedef aa_status (*pair_handler)(reader *rd, const pair *pr, const char *parent);

static size_t
event_line(const reader *rd)
{
    return rd->ev.start_mark.line + 1;
}

static aa_status
fail_at(const reader *rd, size_t line, const char *path, const char *what)
{
    if (!*path) return aa_fail(rd->err, AA_ECONFIG, "%s:%zu: %s", rd->name, line, what);
    return aa_fail(rd->err, AA_ECONFIG, "%s:%zu: %s: %s", rd->name, line, path, what);
}

static size_t
line_of_offset(const reader *rd, size_t offset)
{
    size_t line = 1;
    for (size_t i = 0; i < offset && i < rd->len; i++)
        line += rd->text[i] == '\n';
    return line;
}

static aa_status
fail_yaml(const reader *rd)
{
    const yaml_parser_t *ps = &rd->parser;
    if (ps->error == YAML_MEMORY_ERROR) return aa_fail(rd->err, AA_ENOMEM, "%s", rd->name);
    size_t line = ps->error == YAML_READER_ERROR ? line_of_offset(rd, ps->problem_offset)
                                                 : ps->problem_mark.line + 1;
    return aa_fail(rd->err, AA_ECONFIG, "%s:%zu: not YAML: %s", rd->name, line,
                   ps->problem ? ps->problem : "unknown problem");
}

/* The next event becomes the current one. */
static aa_status
next(reader *rd)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    yaml_event_delete(&rd->ev);
    if (!yaml_parser_parse(&rd->parser, &rd->ev)) return fail_yaml(rd);
    switch (rd->ev.type) {
    case YAML_SCALAR_EVENT:
        anchor = rd->ev.data.scalar.anchor;
        tag = rd->ev.data.scalar.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = rd->ev.data.mapping_start.anchor;
        tag = rd->ev.data.mapping_start.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = rd->ev.data.sequence_start.anchor;
        tag = rd->ev.data.sequence_start.tag;
        break;
    case YAML_ALIAS_EVENT: anchor = rd->ev.data.alias.anchor; break;
    default: break;
    }
    if (anchor) return fail_at(rd, event_line(rd), "", "anchors and aliases are not supported");
    if (tag) return fail_at(rd, event_line(rd), "", "tags are not supported");
    return AA_OK;
}

static bool
is_empty_plain(const reader *rd)
{
    return rd->ev.type == YAML_SCALAR_EVENT && rd->ev.data.scalar.length == 0 &&
           rd->ev.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

/* Remember the key of pr; an error if this file had it before. */
static aa_status
check_first(reader *rd, const pair *pr)
{
    char     what[64];
    uint64_t path = aa_id_key(pr->path, strlen(pr->path));
    for (size_t i = 0; i < rd->seen_count; i++) {
        if (rd->seen[i].path != path) continue;
        snprintf(what, sizeof what, "set twice, first on line %zu", rd->seen[i].line);
        return fail_at(rd, pr->line, pr->path, what);
    }
    if (rd->seen_count == MAX_KEYS) return fail_at(rd, pr->line, pr->path, "too many keys");
    rd->seen[rd->seen_count].path = path;
    rd->seen[rd->seen_count++].line = pr->line;
    return AA_OK;
}

/* The current event as a key below parent ("" at the top). */
static aa_status
take_key(reader *rd, const char *parent, pair *pr)
{
    pr->line = event_line(rd);
    if (rd->ev.type != YAML_SCALAR_EVENT)
        return fail_at(rd, pr->line, parent, "expected a key, got a mapping or a sequence");
    const char *key = (const char *)rd->ev.data.scalar.value;
    size_t      len = rd->ev.data.scalar.length;
    if (strlen(parent) + len + 2 > PATH_BYTES)
        return fail_at(rd, pr->line, parent, "the key is too long");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)key[i] <= 0x20 || key[i] == 0x7F)
            return fail_at(rd, pr->line, parent, "space or control character in a key");
    if (len == 0) return fail_at(rd, pr->line, parent, "empty key");
    memcpy(pr->key, key, len);
    pr->key[len] = '\0';
    snprintf(pr->path, sizeof pr->path, "%s%s%.*s", parent, *parent ? "." : "", (int)len, pr->key);
    return check_first(rd, pr);
}

/* The current event must be a mapping (or nothing): handle each of its pairs. */
static aa_status
each_pair(reader *rd, const char *parent, pair_handler handle)
{
    aa_status st = AA_OK;
    if (is_empty_plain(rd)) return AA_OK;
    if (rd->ev.type != YAML_MAPPING_START_EVENT)
        return fail_at(rd, event_line(rd), parent, "expected a mapping (key: value)");
    while ((st = next(rd)) == AA_OK && rd->ev.type != YAML_MAPPING_END_EVENT) {
        pair pr;
        st = take_key(rd, parent, &pr);
        if (st == AA_OK) st = next(rd);
        if (st == AA_OK) st = handle(rd, &pr, parent);
        if (st != AA_OK) return st;
    }
    return st;
}

/* The current event as a value. v->where is written into the caller's buffer. */
static aa_status
take_value(reader *rd, const pair *pr, char where[WHERE_BYTES], aa_conf_value *v)
{
    size_t line = event_line(rd);
    if (rd->ev.type != YAML_SCALAR_EVENT)
        return fail_at(rd, line, pr->path, "expected one value, got a mapping or a sequence");
    if (is_empty_plain(rd))
        return fail_at(rd, pr->line, pr->path, "no value (write \"\" for an empty text)");
    snprintf(where, WHERE_BYTES, "%s:%zu", rd->name, line);
    v->text = (const char *)rd->ev.data.scalar.value;
    v->len = rd->ev.data.scalar.length;
    v->where = where;
    v->line = (int)line;
    return AA_OK;
}

/* The current event is a mapping: its pairs as the text "key=value,key=value". */
static aa_status
join_pairs(reader *rd, const pair *pr, char joined[AA_CONF_STR])
{
    size_t    len = 0;
    aa_status st;
    while ((st = next(rd)) == AA_OK && rd->ev.type != YAML_MAPPING_END_EVENT) {
        pair inner;
        st = take_key(rd, pr->path, &inner);
        if (st == AA_OK) st = next(rd);
        if (st != AA_OK) return st;
        if (rd->ev.type != YAML_SCALAR_EVENT)
            return fail_at(rd, event_line(rd), inner.path, "expected one value");
        const char *value = (const char *)rd->ev.data.scalar.value;
        const int   n = snprintf(joined + len, AA_CONF_STR - len, "%s%s=%s", len > 0 ? "," : "",
                                 inner.key, value);
        if (n < 0 || (size_t)n >= AA_CONF_STR - len)
            return fail_at(rd, inner.line, pr->path, "the mapping is too long");
        len += (size_t)n;
    }
    return st;
}

/* Settings that are lists of pairs may be written as a mapping. */
static aa_status
set_pairs(reader *rd, const pair *pr, const char *parent)
{
    char      joined[AA_CONF_STR] = "", where[WHERE_BYTES];
    aa_status st = join_pairs(rd, pr, joined);
    if (st != AA_OK) return st;
    snprintf(where, sizeof where, "%s:%zu", rd->name, pr->line);
    const aa_conf_value v = {
        .text = joined, .len = strlen(joined), .where = where, .line = (int)pr->line};
    return aa_conf_set(rd->cfg, parent, pr->key, &v, rd->err);
}

static aa_status
set_section_key(reader *rd, const pair *pr, const char *parent)
{
    char          where[WHERE_BYTES];
    aa_conf_value v;
    if (rd->ev.type == YAML_MAPPING_START_EVENT && strcmp(pr->path, "event.label_map") == 0)
        return set_pairs(rd, pr, parent);
    aa_status st = take_value(rd, pr, where, &v);
    return st == AA_OK ? aa_conf_set(rd->cfg, parent, pr->key, &v, rd->err) : st;
}

static aa_status
set_kafka_key(reader *rd, const pair *pr, const char *parent)
{
    char          where[WHERE_BYTES];
    aa_conf_value v;
    (void)parent;
    aa_status st = take_value(rd, pr, where, &v);
    return st == AA_OK ? aa_conf_set_kafka(rd->cfg, pr->key, &v, rd->err) : st;
}

static aa_status
set_field_key(reader *rd, const pair *pr, const char *parent)
{
    char          where[WHERE_BYTES];
    aa_conf_value v;
    aa_status     st = take_value(rd, pr, where, &v);
    if (st != AA_OK) return st;
    return aa_conf_set_field(rd->cfg, parent + strlen("fields."), pr->key, &v, rd->err);
}

static aa_status
read_field(reader *rd, const pair *pr, const char *parent)
{
    char where[WHERE_BYTES];
    (void)parent;
    snprintf(where, sizeof where, "%s:%zu", rd->name, pr->line);
    const aa_conf_value v = {.text = pr->key, .len = strlen(pr->key), .where = where};
    aa_status           st = aa_conf_add_field(rd->cfg, &v, rd->err);
    return st == AA_OK ? each_pair(rd, pr->path, set_field_key) : st;
}

/* The file's fields replace the default ones. */
static aa_status
read_fields(reader *rd, const pair *pr)
{
    rd->cfg->field_count = 0;
    memset(rd->cfg->fields, 0, sizeof rd->cfg->fields);
    aa_status st = each_pair(rd, pr->path, read_field);
    if (st == AA_OK && rd->cfg->field_count == 0)
        return fail_at(rd, pr->line, pr->path, "at least one field is needed");
    return st;
}

static aa_status
read_section(reader *rd, const pair *pr, const char *parent)
{
    char where[WHERE_BYTES];
    (void)parent;
    if (strcmp(pr->key, "fields") == 0) return read_fields(rd, pr);
    if (strcmp(pr->key, "kafka") == 0) return each_pair(rd, pr->path, set_kafka_key);
    if (aa_conf_table_find(pr->key)) return each_pair(rd, pr->path, set_section_key);
    snprintf(where, sizeof where, "%s:%zu", rd->name, pr->line);
    return aa_conf_unknown_section(pr->key, where, rd->err);
}

/* Stream and document around the top mapping. A file of comments only has no document. */
static aa_status
read_stream(reader *rd)
{
    aa_status st = next(rd);        /* the stream's start */
    if (st == AA_OK) st = next(rd); /* the document's start */
    if (st != AA_OK || rd->ev.type == YAML_STREAM_END_EVENT) return st;
    st = next(rd);
    if (st == AA_OK) st = each_pair(rd, "", read_section);
    if (st == AA_OK) st = next(rd); /* the document's end */
    if (st == AA_OK) st = next(rd); /* the stream's end */
    if (st != AA_OK) return st;
    if (rd->ev.type != YAML_STREAM_END_EVENT)
        return fail_at(rd, event_line(rd), "", "more than one document");
    return AA_OK;
}

/* Where the file set a key, 0: it did not. */
static size_t
line_of_key(const reader *rd, const char *key)
{
    uint64_t path = aa_id_key(key, strlen(key));
    for (size_t i = 0; i < rd->seen_count; i++)
        if (rd->seen[i].path == path) return rd->seen[i].line;
    return 0;
}

/* key: *line gets where it is set; NULL: nobody asks */
static aa_status
parse(aa_conf *cfg, const char *name, const void *text, size_t len, const char *key, size_t *line,
      aa_err *err)
{
    aa_status st = AA_OK;
    reader   *rd = calloc(1, sizeof *rd);
    if (!rd) return aa_fail(err, AA_ENOMEM, "%s", name);
    rd->cfg = cfg;
    rd->name = name;
    rd->text = text;
    rd->len = len;
    rd->err = err;
    if (!yaml_parser_initialize(&rd->parser)) {
        st = aa_fail(err, AA_ENOMEM, "%s", name);
        goto out;
    }
    yaml_parser_set_input_string(&rd->parser, text, len);
    st = read_stream(rd);
    if (key) *line = line_of_key(rd, key);
    yaml_event_delete(&rd->ev);
    yaml_parser_delete(&rd->parser);
out:
    free(rd);
    return st;
}

aa_status
aa_conf_yaml_parse(aa_conf *cfg, const char *name, const void *text, size_t len, aa_err *err)
{
    return parse(cfg, name, text, len, NULL, NULL, err);
}

static aa_status
load_file(aa_conf *cfg, const char *path, const char *key, size_t *line, aa_err *err)
{
    aa_status st = AA_OK;
    char     *text = NULL;
    FILE     *file = fopen(path, "rb");
    if (!file) return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    text = malloc(AA_CONF_FILE_BYTES + 1);
    if (!text) {
        st = aa_fail(err, AA_ENOMEM, "%s", path);
        goto out;
    }
    size_t len = fread(text, 1, AA_CONF_FILE_BYTES + 1, file);
    if (ferror(file)) {
        st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (len > AA_CONF_FILE_BYTES) {
        st = aa_fail(err, AA_ECONFIG, "%s: longer than %d bytes", path, AA_CONF_FILE_BYTES);
        goto out;
    }
    st = parse(cfg, path, text, len, key, line, err);
out:
    free(text);
    fclose(file);
    return st;
}

aa_status
aa_conf_yaml_load(aa_conf *cfg, const char *path, aa_err *err)
{
    return load_file(cfg, path, NULL, NULL, err);
}

size_t
aa_conf_yaml_line(const char *path, const char *key)
{
    size_t   line = 0;
    aa_conf *scratch = malloc(sizeof *scratch);
    if (!scratch) return 0;
    aa_conf_plain_defaults(scratch);
    if (load_file(scratch, path, key, &line, NULL) != AA_OK) line = 0;
    free(scratch);
    return line;
}
