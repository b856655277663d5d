/* common/config/conf_yaml - the configuration file: YAML events to settings.
 * Only common/config/conf*.c and their tests include this. */
#ifndef AA_COMMON_CONFIG_CONF_YAML_H
#define AA_COMMON_CONFIG_CONF_YAML_H

#include "common/config/conf.h"

#define AA_CONF_FILE_BYTES (1 << 20) /* no configuration is as long */

/**
 * Set what the file sets; the rest of cfg stays as it was.
 * @param name  of the file, for errors
 * @errors AA_ECONFIG "name:line: section.key: what is wrong"
 */
aa_status aa_conf_yaml_parse(aa_conf *cfg, const char *name, const void *text, size_t len,
                             aa_err *err) __attribute__((warn_unused_result));

/** The same from a file. @errors also AA_EIO: it cannot be read; AA_ENOMEM */
aa_status aa_conf_yaml_load(aa_conf *cfg, const char *path, aa_err *err)
    __attribute__((warn_unused_result));

/** Line on which a file that loads sets "section.key"; 0: it does not, or it cannot be told. */
size_t aa_conf_yaml_line(const char *path, const char *key);

#endif
