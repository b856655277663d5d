/* common/state/checkpoint - writing checkpoint files and keeping their folder. Reading:
 * checkpoint_read.c.
 *
 * Bytes pass through one buffer, so pieces may be small. The first error of a writer sticks: a
 * commit after it fails, whatever the caller did in between. */
#include "common/state/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config/conf_kept.h"
#include "common/state/checkpoint_format.h"

#define CKPT_BUFFER_BYTES ((size_t)256 * 1024)
#define CKPT_PATH_BYTES   1024
#define CKPT_TMP_PREFIX   ".tmp-"
#define CKPT_NAME         "epoch-%020" PRIu64 ".ckpt"

struct aa_ckpt_writer {
    int           fd;
    uint64_t      epoch;
    int64_t       keep;
    char          folder[CKPT_PATH_BYTES], path[CKPT_PATH_BYTES], tmp[CKPT_PATH_BYTES + 64];
    XXH3_state_t *whole, *section;
    char         *settings;             /* owned */
    uint64_t      section_count, bytes; /* bytes: of the file so far, buffered ones included */
    uint64_t      open_bytes;           /* still to come for the section that is open */
    uint64_t      open_len;             /* its length */
    bool          open, failed;
    size_t        buffered;
    uint8_t       buffer[CKPT_BUFFER_BYTES];
};

/* ---- paths ---- */

static bool
fit_for_path(const char *name)
{
    return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

static aa_status
folder_path(char *out, size_t size, const aa_conf *cfg, const char *process, aa_err *err)
{
    if (!fit_for_path(cfg->pipeline.name))
        return aa_fail(err, AA_ECONFIG, "pipeline.name \"%s\" cannot name a folder",
                       cfg->pipeline.name);
    if (!fit_for_path(process) || strlen(process) >= sizeof((ckpt_head *)0)->process)
        return aa_fail(err, AA_ECONFIG, "process \"%s\" cannot name a folder", process);
    int n = snprintf(out, size, "%s/%s/%" PRId64 "/%s", cfg->checkpoint.dir, cfg->pipeline.name,
                     cfg->pipeline.lane, process);
    if (n < 0 || (size_t)n >= size) return aa_fail(err, AA_ECONFIG, "checkpoint.dir is too long");
    return AA_OK;
}

aa_status
aa_ckpt_path(char *out, size_t size, const aa_conf *cfg, const char *process, uint64_t epoch,
             aa_err *err)
{
    aa_status st = folder_path(out, size, cfg, process, err);
    if (st != AA_OK) return st;
    size_t len = strlen(out);
    int    n = snprintf(out + len, size - len, "/" CKPT_NAME, epoch);
    if (n < 0 || (size_t)n >= size - len)
        return aa_fail(err, AA_ECONFIG, "checkpoint.dir is too long");
    return AA_OK;
}

/* Epoch of a file name of ours, 0 if it is not one. */
static uint64_t
epoch_of_name(const char *name)
{
    uint64_t epoch = 0;
    if (strncmp(name, "epoch-", 6) != 0 || strlen(name) != 6 + 20 + 5) return 0;
    if (strcmp(name + 26, ".ckpt") != 0) return 0;
    for (size_t i = 6; i < 26; i++) {
        if (name[i] < '0' || name[i] > '9') return 0;
        unsigned digit = (unsigned)(name[i] - '0');
        if (epoch > (UINT64_MAX - digit) / 10) return 0;
        epoch = epoch * 10 + digit;
    }
    return epoch;
}

static aa_status
sync_folder(const char *path, aa_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    aa_status st = AA_OK;
    /* EINVAL: a file system without such a thing */
    if (fsync(fd) != 0 && errno != EINVAL)
        st = aa_fail(err, AA_EIO, "fsync of %s: %s", path, strerror(errno));
    close(fd);
    return st;
}

aa_status
aa_ckpt_make_folders(const char *path, aa_err *err)
{
    char part[CKPT_PATH_BYTES], parent[CKPT_PATH_BYTES];
    if (strlen(path) >= sizeof part) return aa_fail(err, AA_EIO, "%.80s...: too long", path);
    snprintf(parent, sizeof parent, "%s", path[0] == '/' ? "/" : ".");
    for (const char *end = path; *end;) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        memcpy(part, path, (size_t)(end - path));
        part[end - path] = '\0';
        if (mkdir(part, 0700) == 0) {
            aa_status st = sync_folder(parent, err);
            if (st != AA_OK) return st;
        } else if (errno != EEXIST) {
            return aa_fail(err, AA_EIO, "cannot make folder %s: %s", part, strerror(errno));
        }
        memcpy(parent, part, (size_t)(end - path) + 1);
    }
    return AA_OK;
}

/* The nearest folder above path that exists, path itself included; "." or "/" at the least. */
static void
cut_to_existing(char *path)
{
    const bool absolute = path[0] == '/';
    while (*path && access(path, F_OK) != 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = '\0';
        else
            *path = '\0';
    }
    if (!*path) snprintf(path, 2, "%s", absolute ? "/" : ".");
}

/* Some file systems let everybody write, by their permissions, and take nothing. */
static bool
takes_folders(const char *path)
{
    char probe[CKPT_PATH_BYTES + 48];
    snprintf(probe, sizeof probe, "%s/.autoassign-check-%ld", path, (long)getpid());
    return mkdir(probe, 0700) == 0 ? rmdir(probe) == 0 : errno == EEXIST;
}

aa_status
aa_ckpt_check_folder(const aa_conf *cfg, const char *process, aa_err *err)
{
    char        path[CKPT_PATH_BYTES];
    aa_status   st = aa_ckpt_path(path, sizeof path, cfg, process, UINT64_MAX, err);
    struct stat what;
    if (st != AA_OK) return st;
    snprintf(path, sizeof path, "%s", cfg->checkpoint.dir);
    if (stat(path, &what) == 0 && S_ISDIR(what.st_mode)) return AA_OK;
    cut_to_existing(path);
    if (takes_folders(path) || errno == ENOSPC || errno == EDQUOT) return AA_OK;
    return aa_fail(err, AA_ECONFIG, "checkpoint.dir: %.80s: cannot be used: %.80s: %s",
                   cfg->checkpoint.dir, path, strerror(errno));
}

/* ---- the folder ---- */

static int
compare_epochs(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* The folder's epochs, ascending; the caller's to free. */
static aa_status
list_folder(const char *folder, uint64_t **epochs, size_t *count, aa_err *err)
{
    uint64_t *found = NULL;
    size_t    n = 0, cap = 0;
    aa_status st = AA_OK;
    DIR      *dir = opendir(folder);
    /* no folder yet, or a file in its place: that shows when one is written */
    if (!dir && errno != ENOENT && errno != ENOTDIR)
        return aa_fail(err, AA_EIO, "%s: %s", folder, strerror(errno));
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        uint64_t epoch = epoch_of_name(e->d_name);
        if (!epoch) continue;
        if (n == cap) {
            cap = cap ? cap * 2 : 16;
            uint64_t *grown = realloc(found, cap * sizeof *found);
            if (!grown) {
                st = aa_fail(err, AA_ENOMEM, "out of memory listing %s", folder);
                goto out;
            }
            found = grown;
        }
        found[n++] = epoch;
    }
    if (n) qsort(found, n, sizeof *found, compare_epochs);
    *epochs = found;
    *count = n;
    found = NULL;
out:
    if (dir) closedir(dir);
    free(found);
    return st;
}

aa_status
aa_ckpt_list(const aa_conf *cfg, const char *process, uint64_t **epochs, size_t *count, aa_err *err)
{
    char      folder[CKPT_PATH_BYTES];
    aa_status st = folder_path(folder, sizeof folder, cfg, process, err);
    return st == AA_OK ? list_folder(folder, epochs, count, err) : st;
}

aa_status
aa_ckpt_latest(const aa_conf *cfg, const char *process, uint64_t *epoch, aa_err *err)
{
    uint64_t *epochs = NULL;
    size_t    count = 0;
    aa_status st = aa_ckpt_list(cfg, process, &epochs, &count, err);
    if (st != AA_OK) return st;
    *epoch = count ? epochs[count - 1] : 0;
    free(epochs);
    return AA_OK;
}

/* What cannot be deleted now is tried again by the next writer; there is no log line, since this
 * runs in a forked child (common/state/snapshot). */
static void
delete_unfinished(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (const struct dirent *e; (e = readdir(dir));)
        if (strncmp(e->d_name, CKPT_TMP_PREFIX, sizeof CKPT_TMP_PREFIX - 1) == 0)
            (void)unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
}

/* Of the epochs up to base the last keep - 1 stay, and at least base itself; of those above it only
 * the new one, and later ones. */
static void
delete_old(const aa_ckpt_writer *w, uint64_t base)
{
    const size_t keep = w->keep > 2 ? (size_t)w->keep - 1 : 1;
    uint64_t    *epochs = NULL;
    size_t       count = 0, older = 0;
    char         path[CKPT_PATH_BYTES + 64];
    if (list_folder(w->folder, &epochs, &count, NULL) != AA_OK) return;
    while (older < count && epochs[older] <= base)
        older++;
    for (size_t i = 0; i < count && epochs[i] < w->epoch; i++) {
        if (i < older && older - i <= keep) continue;
        snprintf(path, sizeof path, "%s/" CKPT_NAME, w->folder, epochs[i]);
        (void)unlink(path);
    }
    free(epochs);
}

/* ---- writing ---- */

static aa_status
fail_io(aa_ckpt_writer *w, const char *doing, aa_err *err)
{
    w->failed = true;
    return aa_fail(err, AA_EIO, "checkpoint %s: %s: %s", w->path, doing, strerror(errno));
}

static aa_status
flush(aa_ckpt_writer *w, aa_err *err)
{
    for (size_t done = 0; done < w->buffered;) {
        ssize_t n = write(w->fd, w->buffer + done, w->buffered - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_io(w, "write", err);
        done += (size_t)n;
    }
    w->buffered = 0;
    return AA_OK;
}

/* Bytes into the file and into the digest of the whole. */
static aa_status
put(aa_ckpt_writer *w, const void *data, size_t len, aa_err *err)
{
    const uint8_t *at = data;
    if (w->failed) return aa_fail(err, AA_EIO, "checkpoint %s: failed before", w->path);
    XXH3_64bits_update(w->whole, data, len);
    w->bytes += len;
    while (len) {
        size_t room = sizeof w->buffer - w->buffered, part = len < room ? len : room;
        memcpy(w->buffer + w->buffered, at, part);
        w->buffered += part;
        at += part;
        len -= part;
        if (w->buffered == sizeof w->buffer) {
            aa_status st = flush(w, err);
            if (st != AA_OK) return st;
        }
    }
    return AA_OK;
}

static aa_status
put_head(aa_ckpt_writer *w, const aa_conf *cfg, const char *process, aa_err *err)
{
    ckpt_head head = {.magic = CKPT_MAGIC,
                      .format_version = AA_CKPT_FORMAT_VERSION,
                      .lane = (uint32_t)cfg->pipeline.lane,
                      .epoch = w->epoch,
                      .config_digest = aa_conf_digest(cfg)};
    memcpy(head.process, process, strlen(process));
    memcpy(head.pipeline, cfg->pipeline.name, strlen(cfg->pipeline.name));
    head.digest = ckpt_digest(&head, offsetof(ckpt_head, digest));
    return put(w, &head, sizeof head, err);
}

static void
writer_free(aa_ckpt_writer **w_p)
{
    aa_ckpt_writer *w = *w_p;
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->tmp);
    }
    XXH3_freeState(w->whole);
    XXH3_freeState(w->section);
    free(w->settings);
    free(w);
    *w_p = NULL;
}

aa_status
aa_ckpt_create(aa_ckpt_writer **out, const aa_conf *cfg, const char *process, uint64_t epoch,
               aa_err *err)
{
    if (epoch == 0) return aa_fail(err, AA_EPARSE, "epoch 0 cannot be a checkpoint");
    aa_ckpt_writer *w = calloc(1, sizeof *w);
    aa_status       st = AA_OK;
    if (!w) return aa_fail(err, AA_ENOMEM, "out of memory for a checkpoint");
    w->fd = -1;
    w->epoch = epoch;
    w->keep = cfg->checkpoint.keep;
    w->whole = XXH3_createState();
    w->section = XXH3_createState();
    if (!w->whole || !w->section) {
        st = aa_fail(err, AA_ENOMEM, "out of memory for a checkpoint");
        goto out;
    }
    XXH3_64bits_reset(w->whole);
    if ((st = aa_conf_kept_text(cfg, &w->settings, err)) != AA_OK) goto out;
    if ((st = folder_path(w->folder, sizeof w->folder, cfg, process, err)) != AA_OK) goto out;
    if ((st = aa_ckpt_path(w->path, sizeof w->path, cfg, process, epoch, err)) != AA_OK) goto out;
    if ((st = aa_ckpt_make_folders(w->folder, err)) != AA_OK) goto out;
    delete_unfinished(w->folder);
    snprintf(w->tmp, sizeof w->tmp, "%s/" CKPT_TMP_PREFIX "%ld-%020" PRIu64, w->folder,
             (long)getpid(), epoch);
    w->fd = open(w->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        st = fail_io(w, "create", err);
        goto out;
    }
    if ((st = put_head(w, cfg, process, err)) != AA_OK) goto out;
    *out = w;
    w = NULL;
out:
    writer_free(&w);
    return st;
}

aa_status
aa_ckpt_begin(aa_ckpt_writer *w, const char *name, size_t len_bytes, aa_err *err)
{
    ckpt_section head = {.len_bytes = len_bytes, .index = w->section_count};
    AA_REQUIRE(!w->open && w->section_count < AA_CKPT_MAX_SECTIONS);
    AA_REQUIRE(name[0] && strlen(name) < sizeof head.name);
    memcpy(head.name, name, strlen(name));
    head.digest = ckpt_digest(&head, offsetof(ckpt_section, digest));
    w->section_count++;
    w->open = true;
    w->open_bytes = w->open_len = len_bytes;
    XXH3_64bits_reset(w->section);
    aa_status st = put(w, &head, sizeof head, err);
    return st == AA_OK && len_bytes == 0 ? aa_ckpt_append(w, "", 0, err) : st;
}

aa_status
aa_ckpt_append(aa_ckpt_writer *w, const void *data, size_t len_bytes, aa_err *err)
{
    static const uint8_t zeros[CKPT_ALIGN] = {0};
    aa_status            st;
    AA_REQUIRE(w->open && len_bytes <= w->open_bytes);
    if (len_bytes) {
        XXH3_64bits_update(w->section, data, len_bytes);
        if ((st = put(w, data, len_bytes, err)) != AA_OK) return st;
        w->open_bytes -= len_bytes;
    }
    if (w->open_bytes) return AA_OK;
    w->open = false;
    uint64_t digest = XXH3_64bits_digest(w->section);
    if ((st = put(w, zeros, ckpt_padding(w->open_len), err)) != AA_OK) return st;
    return put(w, &digest, sizeof digest, err);
}

aa_status
aa_ckpt_section(aa_ckpt_writer *w, const char *name, const void *data, size_t len_bytes,
                aa_err *err)
{
    aa_status st = aa_ckpt_begin(w, name, len_bytes, err);
    return st == AA_OK && len_bytes > 0 ? aa_ckpt_append(w, data, len_bytes, err) : st;
}

static aa_status
put_end(aa_ckpt_writer *w, aa_err *err)
{
    ckpt_end end = {.magic = CKPT_END_MAGIC,
                    .section_count = w->section_count,
                    .file_bytes = w->bytes + sizeof end};
    XXH3_64bits_update(w->whole, &end, offsetof(ckpt_end, digest));
    end.digest = XXH3_64bits_digest(w->whole);
    return put(w, &end, sizeof end, err);
}

aa_status
aa_ckpt_about(aa_ckpt_writer *w, const char *lines, aa_err *err)
{
    return aa_ckpt_section(w, AA_CKPT_ABOUT, lines, strlen(lines), err);
}

aa_status
aa_ckpt_commit(aa_ckpt_writer **w_p, uint64_t base, aa_err *err)
{
    aa_ckpt_writer *w = *w_p;
    aa_status       st;
    AA_REQUIRE(!w->open || w->failed);
    st = w->failed ? AA_OK /* the end says it */
                   : aa_ckpt_section(w, AA_CKPT_SETTINGS, w->settings, strlen(w->settings), err);
    if (st != AA_OK) goto out;
    if ((st = put_end(w, err)) != AA_OK || (st = flush(w, err)) != AA_OK) goto out;
    if (fsync(w->fd) != 0) {
        st = fail_io(w, "fsync", err);
        goto out;
    }
    if (rename(w->tmp, w->path) != 0) {
        st = fail_io(w, "rename", err);
        goto out;
    }
    close(w->fd); /* after fsync, nothing is left that it could report */
    w->fd = -1;
    if ((st = sync_folder(w->folder, err)) != AA_OK) goto out;
    if (base > 0 && base < w->epoch) delete_old(w, base);
out:
    writer_free(w_p);
    return st;
}

void
aa_ckpt_abort(aa_ckpt_writer **w_p)
{
    writer_free(w_p);
}

/* ---- one process at a time ---- */

/* A lock of POSIX: it ends with the process, children do not have it, and it tells whose it is. The
 * descriptor stays open on purpose. */
aa_status
aa_ckpt_lock(const aa_conf *cfg, const char *process, aa_err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char         path[CKPT_PATH_BYTES + 8];
    char         folder[CKPT_PATH_BYTES];
    aa_err       why = AA_ERR_INIT;
    aa_status    st = folder_path(folder, sizeof folder, cfg, process, err);
    if (st != AA_OK) return st;
    if (aa_ckpt_make_folders(folder, &why) != AA_OK) return AA_OK;
    snprintf(path, sizeof path, "%s/lock", folder);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return AA_OK;
    if (fcntl(fd, F_SETLK, &lock) == 0 || (errno != EACCES && errno != EAGAIN)) return AA_OK;
    if (fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) lock.l_pid = 0;
    close(fd);
    return aa_fail(err, AA_EIO, "checkpoint.dir: %s is in use by pid %ld", folder,
                   (long)lock.l_pid);
}
