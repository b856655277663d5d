/* tests/fakes/ckpt_folder - a temporary folder for the checkpoints of a test. */
#ifndef AA_TESTS_FAKES_CKPT_FOLDER_H
#define AA_TESTS_FAKES_CKPT_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/status.h"
#include "common/config/conf.h"

static inline void
ckpt_folder_make(aa_conf *cfg)
{
    char path[] = "/tmp/aa-test-XXXXXX";
    AA_REQUIRE(mkdtemp(path) != NULL);
    snprintf(cfg->checkpoint.dir, sizeof cfg->checkpoint.dir, "%s", path);
}

static inline void
ckpt_folder_remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        char inner[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if ((size_t)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) >= sizeof inner)
            continue;
        if (unlink(inner) != 0) ckpt_folder_remove_tree(inner);
    }
    if (dir) closedir(dir);
    rmdir(path);
}

static inline void
ckpt_folder_remove(const aa_conf *cfg)
{
    ckpt_folder_remove_tree(cfg->checkpoint.dir);
}

#endif
