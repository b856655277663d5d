/* common/config/conf_set - one value into the configuration, wherever it came from: file,
 * environment and -o go through these three, so they accept the same values and complain in the
 * same words. Only common/config/conf*.c and their tests include this. */
#ifndef AA_COMMON_CONFIG_CONF_SET_H
#define AA_COMMON_CONFIG_CONF_SET_H

#include "common/config/conf.h"

typedef struct {
    const char *text; /* borrowed; may hold NUL bytes */
    size_t      len;
    const char *where; /* "autoassign.yaml:12", "-o", the variable's name */
    int         line;  /* 0: not from a file */
} aa_conf_value;

/* All: @errors AA_ECONFIG "where: section.key: what is wrong"; then nothing was changed. */
aa_status aa_conf_set(aa_conf *cfg, const char *section, const char *key, const aa_conf_value *v,
                      aa_err *err) __attribute__((warn_unused_result));
/** The field must be there. */
aa_status aa_conf_set_field(aa_conf *cfg, const char *field, const char *key,
                            const aa_conf_value *v, aa_err *err)
    __attribute__((warn_unused_result));
/** The property is added or replaced. */
aa_status aa_conf_set_kafka(aa_conf *cfg, const char *key, const aa_conf_value *v, aa_err *err)
    __attribute__((warn_unused_result));

/** Is it the name of a field, or so close to one that it is most likely meant to be? */
bool aa_conf_names_field(const aa_conf *cfg, const char *field);
/** Append a field with its defaults; v->text is its name. */
aa_status aa_conf_add_field(aa_conf *cfg, const aa_conf_value *v, aa_err *err)
    __attribute__((warn_unused_result));

/** "where: section: unknown section (did you mean …?)" */
aa_status aa_conf_unknown_section(const char *section, const char *where, aa_err *err);

/** The defaults as settings.h has them, with nothing derived: what a file may leave out. */
void aa_conf_plain_defaults(aa_conf *cfg);

#endif
