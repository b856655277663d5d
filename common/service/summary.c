#include "common/service/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

struct aa_summary {
    json_t *values; /* owned */
    bool    failed; /* a value could not be stored */
};

aa_summary *
aa_summary_new(void)
{
    aa_summary *su = calloc(1, sizeof *su);
    if (!su) return NULL;
    su->values = json_object();
    if (!su->values) {
        free(su);
        return NULL;
    }
    return su;
}

static void
set(aa_summary *su, const char *key, json_t *value)
{
    if (!su) {
        json_decref(value);
        return;
    }
    if (json_object_set_new(su->values, key, value)) su->failed = true;
}

void
aa_summary_int(aa_summary *su, const char *key, uint64_t value)
{
    set(su, key, json_integer((json_int_t)value));
}

static json_t *
put_summary_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

void
aa_summary_num(aa_summary *su, const char *key, double value)
{
    set(su, key, put_summary_number(value));
}

void
aa_summary_nums(aa_summary *su, const char *key, const double *value, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, put_summary_number(value[i])) && su) su->failed = true;
    set(su, key, list);
}

void
aa_summary_str(aa_summary *su, const char *key, const char *value)
{
    set(su, key, json_string(value));
}

void
aa_summary_hex(aa_summary *su, const char *key, uint64_t digest)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, digest);
    aa_summary_str(su, key, text);
}

uint64_t
aa_resident_bytes(const char *name)
{
    char         line[256];
    uint64_t     kib = 0;
    const size_t len = strlen(name);
    FILE        *in = fopen("/proc/self/status", "r");
    if (!in) return 0;
    while (!kib && fgets(line, sizeof line, in))
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            kib = strtoull(line + len + 1, NULL, 10);
    fclose(in);
    return kib * 1024;
}

aa_status
aa_summary_write(aa_summary **su_p, const aa_conf *cfg, const char *process, aa_err *err)
{
    aa_status   st = AA_OK;
    aa_summary *su = *su_p;
    char        path[AA_CONF_STR + 64], tmp[AA_CONF_STR + 72];
    *su_p = NULL;
    if (!su) return aa_fail(err, AA_ENOMEM, "summary");
    if (!cfg->pipeline.summary_dir[0]) goto out;
    aa_summary_int(su, "resident_bytes", aa_resident_bytes("VmRSS"));
    aa_summary_int(su, "peak_resident_bytes", aa_resident_bytes("VmHWM"));
    if (su->failed) {
        st = aa_fail(err, AA_ENOMEM, "summary of %s", process);
        goto out;
    }
    snprintf(path, sizeof path, "%s/%s.json", cfg->pipeline.summary_dir, process);
    snprintf(tmp, sizeof tmp, "%s.tmp", path);
    if (json_dump_file(su->values, tmp, JSON_INDENT(2) | JSON_REAL_PRECISION(10))) {
        st = aa_fail(err, AA_EIO, "cannot write %s", tmp);
        goto out;
    }
    if (rename(tmp, path))
        st = aa_fail(err, AA_EIO, "cannot rename %s to %s: %s", tmp, path, strerror(errno));
out:
    json_decref(su->values);
    free(su);
    return st;
}
