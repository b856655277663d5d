#include "scorer/api/metrics_history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where the name ends: at the space behind it or its labels, whose values may hold anything. */
static size_t
name_length(const char *line, const char *end)
{
    bool quoted = false;
    for (const char *at = line; at < end; at++) {
        if (quoted && *at == '\\' && at + 1 < end)
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (*at == ' ' && !quoted)
            return (size_t)(at - line);
    }
    return 0;
}

const char *
metrics_history_next(const char *text, const char **name, size_t *name_len, double *value)
{
    while (text && *text) {
        const char *end = strchr(text, '\n'), *line = text;
        if (!end) end = text + strlen(text);
        text = *end ? end + 1 : end;
        if (*line == '#') continue;
        *name = line;
        *name_len = name_length(line, end);
        if (!*name_len) continue;
        char *stop;
        *value = strtod(line + *name_len, &stop);
        if (stop == line + *name_len || stop > end) continue;
        return text;
    }
    return NULL;
}

/* Does [at, at+len) hold this? */
static bool
holds(const char *at, size_t len, const char *part)
{
    const size_t n = strlen(part);
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(at + i, part, n) == 0) return true;
    return n == 0;
}

double
metrics_history_sum(const char *text, const char *metric, const char *label)
{
    const size_t n = strlen(metric);
    const char  *name;
    size_t       len;
    double       value, sum = 0;
    bool         any = false;
    while ((text = metrics_history_next(text, &name, &len, &value))) {
        if (len < n || memcmp(name, metric, n) != 0 || (len > n && name[n] != '{')) continue;
        if (!holds(name + n, len - n, label)) continue;
        sum += value;
        any = true;
    }
    return any ? sum : (double)NAN;
}
