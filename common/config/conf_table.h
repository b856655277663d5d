/* common/config/conf_table - the lists of settings.h as tables, for parsing, printing and
 * documents. Only common/config/conf*.c and their tests include this. */
#ifndef AA_COMMON_CONFIG_CONF_TABLE_H
#define AA_COMMON_CONFIG_CONF_TABLE_H

#include "common/config/conf.h"

typedef enum { AA_SET_STR, AA_SET_CHO, AA_SET_INT, AA_SET_NUM, AA_SET_BOO } aa_setting_type;

typedef struct {
    const char     *name;
    aa_setting_type type;
    size_t          offset; /* in the section's struct */
    const char     *def_str;
    const char     *choices; /* "a|b|c", the texts of the constants 0, 1, 2 */
    int64_t         def_int, min_int, max_int;
    double          def_num, min_num, max_num;
    bool            def_boo;
    int             def_cho;
    const char     *unit, *help;
} aa_setting;

typedef struct {
    const char *name, *help;
    size_t      offset; /* of the section in aa_conf */
    const aa_setting *(*settings)(size_t *count);
} aa_section;

/** All sections but fields and kafka. */
const aa_section *aa_conf_table_sections(size_t *count);
/** The settings of one entry of fields (its offset is 0: they are relative to an aa_conf_field). */
const aa_section *aa_conf_table_field(void);

/** NULL if there is none. */
const aa_section *aa_conf_table_find(const char *section);
const aa_setting *aa_conf_table_setting(const aa_section *sc, const char *key);

/** Set every setting of sc, which lies at base, to its default. */
void aa_conf_table_defaults(const aa_section *sc, void *base);

/** Parse text into the setting. @errors AA_ECONFIG, the text says what is wrong with the value */
aa_status aa_conf_table_parse(const aa_setting *se, void *base, const char *text, size_t len,
                              aa_err *err) __attribute__((warn_unused_result));

/** The value as text that aa_conf_table_parse takes, not quoted. */
void aa_conf_table_format(const aa_setting *se, const void *base, char *buf, size_t size);

/** Among the names the nearest to what was written, or NULL if none is near. */
const char *aa_conf_table_nearest(const char *text, const char *const *names, size_t count);

/** AUTOASSIGN_SECTION_KEY. */
void aa_conf_table_env_name(const char *section, const char *key, char *buf, size_t size);

/** A value that must not be shown: password, secret, token, private key. */
bool aa_conf_table_secret(const char *key);

#endif
