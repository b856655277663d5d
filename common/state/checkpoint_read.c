/* common/state/checkpoint_read - reading checkpoint files.
 *
 * The file is mapped, and verified as a whole before anything of it is handed out: every byte is
 * under at least one digest. Lengths are followed only after the digest of the head they stand in.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/config/conf_kept.h"
#include "common/state/checkpoint.h"
#include "common/state/checkpoint_format.h"

typedef struct {
    char           name[AA_CKPT_NAME_BYTES];
    const uint8_t *data;
    size_t         len_bytes;
    uint64_t       digest;
} section;

struct aa_ckpt_reader {
    const uint8_t *bytes; /* (len) */
    size_t         len;
    void          *map; /* NULL: the caller's memory */
    ckpt_head      head;
    uint64_t       digest;
    section        sections[AA_CKPT_MAX_SECTIONS];
    size_t         section_count;
};

static bool
ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool
all_zero(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i]) return false;
    return true;
}

static aa_status
check_head(aa_ckpt_reader *r, aa_err *err)
{
    ckpt_head *h = &r->head;
    if (!r->bytes || r->len < sizeof *h + sizeof(ckpt_end))
        return aa_fail(err, AA_EPARSE, "truncated: %zu bytes are no checkpoint", r->len);
    memcpy(h, r->bytes, sizeof *h);
    if (memcmp(h->magic, CKPT_MAGIC, sizeof h->magic) != 0)
        return aa_fail(err, AA_EPARSE, "not a checkpoint file");
    if (h->format_version != AA_CKPT_FORMAT_VERSION)
        return aa_fail(err, AA_EPARSE, "format version %" PRIu32 ", this build reads %d",
                       h->format_version, AA_CKPT_FORMAT_VERSION);
    if (h->digest != ckpt_digest(h, offsetof(ckpt_head, digest)) ||
        !ends(h->process, sizeof h->process) || !ends(h->pipeline, sizeof h->pipeline))
        return aa_fail(err, AA_EPARSE, "damaged head");
    return AA_OK;
}

/* The end mark, but not yet its digest: a missing one means truncated, and that is worth saying. */
static aa_status
check_end(aa_ckpt_reader *r, ckpt_end *end, aa_err *err)
{
    AA_REQUIRE(r->bytes);
    memcpy(end, r->bytes + r->len - sizeof *end, sizeof *end);
    if (r->len % CKPT_ALIGN || memcmp(end->magic, CKPT_END_MAGIC, sizeof end->magic) != 0)
        return aa_fail(err, AA_EPARSE, "no end mark at %zu bytes: truncated or damaged", r->len);
    if (end->file_bytes != r->len)
        return aa_fail(err, AA_EPARSE, "%zu bytes instead of %" PRIu64, r->len, end->file_bytes);
    if (end->section_count > AA_CKPT_MAX_SECTIONS)
        return aa_fail(err, AA_EPARSE, "%" PRIu64 " sections, at most %d are read",
                       end->section_count, AA_CKPT_MAX_SECTIONS);
    return AA_OK;
}

/* The section at *at, of which `room` bytes are there before the end mark. */
static aa_status
check_section(aa_ckpt_reader *r, size_t *at, size_t room, aa_err *err)
{
    section     *s = &r->sections[r->section_count];
    ckpt_section h;
    if (room < sizeof h + CKPT_ALIGN)
        return aa_fail(err, AA_EPARSE, "section %zu: no room for it", r->section_count);
    memcpy(&h, r->bytes + *at, sizeof h);
    if (h.digest != ckpt_digest(&h, offsetof(ckpt_section, digest)) ||
        h.index != r->section_count || !h.name[0] || !ends(h.name, sizeof h.name))
        return aa_fail(err, AA_EPARSE, "section %zu: damaged head", r->section_count);
    room -= sizeof h;
    size_t padding = ckpt_padding(h.len_bytes);
    if (h.len_bytes > room || room - h.len_bytes < padding + sizeof s->digest)
        return aa_fail(err, AA_EPARSE, "section %s: %" PRIu64 " bytes are not there", h.name,
                       h.len_bytes);
    for (size_t i = 0; i < r->section_count; i++)
        if (strcmp(r->sections[i].name, h.name) == 0)
            return aa_fail(err, AA_EPARSE, "section %s: twice", h.name);
    memcpy(s->name, h.name, sizeof s->name);
    s->data = r->bytes + *at + sizeof h;
    s->len_bytes = (size_t)h.len_bytes;
    memcpy(&s->digest, s->data + s->len_bytes + padding, sizeof s->digest);
    if (s->digest != ckpt_digest(s->data, s->len_bytes) ||
        !all_zero(s->data + s->len_bytes, padding))
        return aa_fail(err, AA_EPARSE, "section %s: damaged, digest differs", h.name);
    *at += sizeof h + s->len_bytes + padding + sizeof s->digest;
    r->section_count++;
    return AA_OK;
}

static aa_status
verify(aa_ckpt_reader *r, aa_err *err)
{
    ckpt_end  end;
    aa_status st = check_head(r, err);
    if (st != AA_OK || (st = check_end(r, &end, err)) != AA_OK) return st;
    size_t at = sizeof(ckpt_head), stop = r->len - sizeof end;
    for (uint64_t i = 0; i < end.section_count; i++)
        if ((st = check_section(r, &at, stop - at, err)) != AA_OK) return st;
    if (at != stop) return aa_fail(err, AA_EPARSE, "%zu bytes after the last section", stop - at);
    r->digest = ckpt_digest(r->bytes, r->len - sizeof r->digest);
    if (r->digest != end.digest) return aa_fail(err, AA_EPARSE, "damaged, digest differs");
    return AA_OK;
}

/* Map a regular file of sensible size. */
static aa_status
map_file(aa_ckpt_reader *r, const char *path, aa_err *err)
{
    struct stat sb;
    aa_status   st = AA_OK;
    int         fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    if (fd < 0 || fstat(fd, &sb) != 0) {
        st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(sb.st_mode)) {
        st = aa_fail(err, AA_EIO, "%s: not a file", path);
        goto out;
    }
    if (sb.st_size == 0 || (uint64_t)sb.st_size > AA_CKPT_MAX_BYTES) {
        st = aa_fail(err, AA_EPARSE, "%s: %jd bytes are no checkpoint", path, (intmax_t)sb.st_size);
        goto out;
    }
    void *map = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        st = aa_fail(err, AA_EIO, "%s: mmap: %s", path, strerror(errno));
        goto out;
    }
    r->map = map;
    r->bytes = map;
    r->len = (size_t)sb.st_size;
out:
    if (fd >= 0) close(fd);
    return st;
}

aa_status
aa_ckpt_open_bytes(aa_ckpt_reader **out, const void *buf, size_t len_bytes, aa_err *err)
{
    aa_ckpt_reader *r = calloc(1, sizeof *r);
    if (!r) return aa_fail(err, AA_ENOMEM, "out of memory for a checkpoint");
    r->bytes = buf;
    r->len = len_bytes;
    aa_status st = verify(r, err);
    if (st != AA_OK) {
        aa_ckpt_close(&r);
        return st;
    }
    *out = r;
    return AA_OK;
}

aa_status
aa_ckpt_open_path(aa_ckpt_reader **out, const char *path, aa_err *err)
{
    aa_err          why = AA_ERR_INIT;
    aa_ckpt_reader *r = calloc(1, sizeof *r);
    if (!r) return aa_fail(err, AA_ENOMEM, "out of memory for a checkpoint");
    aa_status st = map_file(r, path, err);
    if (st != AA_OK) goto out;
    if ((st = verify(r, &why)) != AA_OK) {
        aa_fail(err, st, "%s: %s", path, why.text);
        goto out;
    }
    *out = r;
    r = NULL;
out:
    aa_ckpt_close(&r);
    return st;
}

/* It is whole; is it ours? */
static aa_status
check_owner(const ckpt_head *h, const aa_conf *cfg, const char *process, uint64_t epoch,
            const char *path, aa_err *err)
{
    if (strcmp(h->pipeline, cfg->pipeline.name) != 0)
        return aa_fail(err, AA_ECONFIG, "%s: of pipeline \"%.64s\", not \"%.64s\"", path,
                       h->pipeline, cfg->pipeline.name);
    if (strcmp(h->process, process) != 0)
        return aa_fail(err, AA_ECONFIG, "%s: of process %s, not %s", path, h->process, process);
    if (h->lane != (uint64_t)cfg->pipeline.lane)
        return aa_fail(err, AA_ECONFIG, "%s: of lane %" PRIu32 ", not %" PRId64, path, h->lane,
                       cfg->pipeline.lane);
    if (h->epoch != epoch)
        return aa_fail(err, AA_EPARSE, "%s: of epoch %" PRIu64 ", not %" PRIu64, path, h->epoch,
                       epoch);
    return AA_OK;
}

/* Was it made with our settings, as far as they shape the state? Older programs kept a digest of
 * them only. */
static aa_status
check_settings(aa_ckpt_reader *r, const aa_conf *cfg, const char *path, aa_err *err)
{
    const void       *text = NULL;
    size_t            len = 0;
    aa_err            none = AA_ERR_INIT;
    aa_conf_kept_diff diff;

    if (r->head.config_digest == aa_conf_digest(cfg)) return AA_OK;
    if (aa_ckpt_get(r, AA_CKPT_SETTINGS, &text, &len, &none) != AA_OK)
        return aa_fail(err, AA_ECONFIG,
                       "%s: made with another configuration (fields, agent, model, seed or depth)",
                       path);
    aa_conf_kept_compare(cfg, text, len, &diff);
    if (diff.shaping[0])
        return aa_fail(err, AA_ECONFIG, "made with other settings, %s: %s", diff.shaping, path);
    if (diff.free[0])
        aa_info("SETTINGS-CHANGED", "since epoch %" PRIu64 ": %s", r->head.epoch, diff.free);
    return AA_OK;
}

aa_status
aa_ckpt_open(aa_ckpt_reader **out, const aa_conf *cfg, const char *process, uint64_t epoch,
             aa_err *err)
{
    char            path[1024];
    aa_ckpt_reader *r = NULL;
    aa_status       st = aa_ckpt_path(path, sizeof path, cfg, process, epoch, err);
    if (st != AA_OK) return st;
    if ((st = aa_ckpt_open_path(&r, path, err)) != AA_OK) return st;
    AA_REQUIRE(r);
    st = check_owner(&r->head, cfg, process, epoch, path, err);
    if (st == AA_OK) st = check_settings(r, cfg, path, err);
    if (st != AA_OK) {
        aa_ckpt_close(&r);
        return st;
    }
    *out = r;
    return AA_OK;
}

aa_status
aa_ckpt_get(aa_ckpt_reader *r, const char *name, const void **data, size_t *len_bytes, aa_err *err)
{
    for (size_t i = 0; i < r->section_count; i++) {
        if (strcmp(r->sections[i].name, name) != 0) continue;
        *data = r->sections[i].data;
        *len_bytes = r->sections[i].len_bytes;
        return AA_OK;
    }
    return aa_fail(err, AA_EPARSE, "checkpoint of epoch %" PRIu64 " has no section %s",
                   r->head.epoch, name);
}

void
aa_ckpt_info_get(const aa_ckpt_reader *r, aa_ckpt_info *out)
{
    *out = (aa_ckpt_info){.format_version = r->head.format_version,
                          .lane = r->head.lane,
                          .epoch = r->head.epoch,
                          .config_digest = r->head.config_digest,
                          .file_bytes = r->len,
                          .file_digest = r->digest,
                          .process = r->head.process,
                          .pipeline = r->head.pipeline,
                          .section_count = r->section_count};
}

void
aa_ckpt_section_at(const aa_ckpt_reader *r, size_t i, const char **name, size_t *len_bytes,
                   uint64_t *digest)
{
    AA_REQUIRE(i < r->section_count);
    *name = r->sections[i].name;
    *len_bytes = r->sections[i].len_bytes;
    *digest = r->sections[i].digest;
}

void
aa_ckpt_close(aa_ckpt_reader **r_p)
{
    aa_ckpt_reader *r = *r_p;
    if (!r) return;
    if (r->map) munmap(r->map, r->len);
    free(r);
    *r_p = NULL;
}
