/* A file: "autoassign-schema 1 <digest>\n", then kind, count, and each text's length and bytes, as
 * numbers of 8 bytes, little-endian. */
#include "ingest/registry/schema_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hash.h"
#include "common/state/checkpoint.h"
#include "ingest/registry/registry_internal.h"

enum { HEAD_BYTES = 37, PATH_BYTES = AA_CONF_STR + 80 };
static const char head_format[] = "autoassign-schema 1 %016" PRIx64 "\n";

static void
folder_of(const aa_conf *cfg, char out[PATH_BYTES])
{
    const char *addresses = cfg->event.schema_registry;
    snprintf(out, PATH_BYTES, "%s/schemas/%016" PRIx64, cfg->checkpoint.dir,
             aa_digest(0, addresses, strlen(addresses)));
}

static void
path_of(const aa_conf *cfg, uint32_t id, char out[PATH_BYTES])
{
    folder_of(cfg, out);
    const size_t len = strlen(out);
    snprintf(out + len, PATH_BYTES - len, "/%" PRIu32, id);
}

/* ---- reading ---- */

typedef struct {
    const unsigned char *at, *end;
} cache_cursor;

static bool
take_u64(cache_cursor *cu, uint64_t *out)
{
    *out = 0;
    if (cu->end - cu->at < 8) return false;
    for (int i = 0; i < 8; i++)
        *out |= (uint64_t)*cu->at++ << 8 * i;
    return true;
}

static aa_status
unpack_texts(cache_cursor *cu, schema_texts *out, aa_err *err)
{
    uint64_t kind, count;
    if (!take_u64(cu, &kind) || !take_u64(cu, &count) || kind > SCHEMA_JSON || count == 0 ||
        count > SCHEMA_TEXTS)
        return aa_fail(err, AA_EPARSE, "damaged");
    out->kind = (schema_kind)kind;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t len;
        if (!take_u64(cu, &len) || len > (uint64_t)(cu->end - cu->at))
            return aa_fail(err, AA_EPARSE, "damaged");
        char *bytes = malloc((size_t)len + 1);
        if (!bytes) return aa_fail(err, AA_ENOMEM, "a schema of %" PRIu64 " bytes", len);
        memcpy(bytes, cu->at, (size_t)len);
        bytes[len] = '\0';
        cu->at += len;
        out->text[out->count++] = (schema_text){bytes, (size_t)len};
    }
    return cu->at == cu->end ? AA_OK : aa_fail(err, AA_EPARSE, "damaged");
}

static aa_status
unpack_file(const char *bytes, size_t len, schema_texts *out, aa_err *err)
{
    char head[HEAD_BYTES + 8];
    if (len < HEAD_BYTES) return aa_fail(err, AA_EPARSE, "damaged");
    snprintf(head, sizeof head, head_format, aa_digest(1, bytes + HEAD_BYTES, len - HEAD_BYTES));
    if (memcmp(head, bytes, HEAD_BYTES) != 0) return aa_fail(err, AA_EPARSE, "damaged");
    cache_cursor cu = {(const unsigned char *)bytes + HEAD_BYTES,
                       (const unsigned char *)bytes + len};
    return unpack_texts(&cu, out, err);
}

aa_status
schema_cache_get(const aa_conf *cfg, uint32_t id, schema_texts *out, aa_err *err)
{
    char        path[PATH_BYTES];
    struct stat is;
    char       *bytes = NULL;
    aa_status   st = AA_OK;
    aa_err      what = AA_ERR_INIT;
    out->count = 0;
    path_of(cfg, id, path);
    FILE *file = fopen(path, "rb");
    if (!file && errno == ENOENT) return aa_fail(err, AA_EAGAIN, "%s: none", path);
    if (!file) return aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    if (fstat(fileno(file), &is) != 0 || is.st_size > SCHEMA_CACHE_BYTES) {
        st = aa_fail(err, AA_EPARSE, "%s: too large", path);
        goto out;
    }
    bytes = malloc((size_t)is.st_size + 1);
    if (!bytes) {
        st = aa_fail(err, AA_ENOMEM, "%s", path);
        goto out;
    }
    const size_t len = fread(bytes, 1, (size_t)is.st_size, file);
    st = unpack_file(bytes, len, out, &what);
    if (st != AA_OK) st = aa_fail(err, st, "%s: %s", path, what.text);
out:
    if (st != AA_OK) registry_free_texts(out);
    free(bytes);
    fclose(file);
    return st;
}

/* ---- writing ---- */

static unsigned char *
put_u64(unsigned char *to, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        *to++ = (unsigned char)(value >> 8 * i);
    return to;
}

static unsigned char *
pack_file(const schema_texts *sx, size_t *len)
{
    char head[HEAD_BYTES + 8];
    *len = HEAD_BYTES + 16;
    for (size_t i = 0; i < sx->count; i++)
        *len += 8 + sx->text[i].len;
    unsigned char *bytes = malloc(*len);
    if (!bytes) return NULL;
    unsigned char *to = put_u64(bytes + HEAD_BYTES, (uint64_t)sx->kind);
    to = put_u64(to, sx->count);
    for (size_t i = 0; i < sx->count; i++) {
        to = put_u64(to, sx->text[i].len);
        if (sx->text[i].len > 0) memcpy(to, sx->text[i].bytes, sx->text[i].len);
        to += sx->text[i].len;
    }
    snprintf(head, sizeof head, head_format, aa_digest(1, bytes + HEAD_BYTES, *len - HEAD_BYTES));
    memcpy(bytes, head, HEAD_BYTES);
    return bytes;
}

static aa_status
write_file(const char *path, const unsigned char *bytes, size_t len, aa_err *err)
{
    char      part[PATH_BYTES + 32];
    aa_status st = AA_OK;
    snprintf(part, sizeof part, "%s.part-%ld", path, (long)getpid());
    const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0) return aa_fail(err, AA_EIO, "%s: %s", part, strerror(errno));
    for (size_t done = 0; st == AA_OK && done < len;) {
        const ssize_t n = write(fd, bytes + done, len - done);
        if (n > 0) done += (size_t)n;
        if (n < 0 && errno != EINTR) st = aa_fail(err, AA_EIO, "%s: %s", part, strerror(errno));
    }
    if (st == AA_OK && fsync(fd) != 0) st = aa_fail(err, AA_EIO, "%s: %s", part, strerror(errno));
    if (close(fd) != 0 && st == AA_OK) st = aa_fail(err, AA_EIO, "%s: %s", part, strerror(errno));
    if (st == AA_OK && rename(part, path) != 0)
        st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    if (st != AA_OK) (void)unlink(part);
    return st;
}

aa_status
schema_cache_put(const aa_conf *cfg, uint32_t id, const schema_texts *sx, aa_err *err)
{
    char           path[PATH_BYTES];
    size_t         len;
    unsigned char *bytes = pack_file(sx, &len);
    if (!bytes) return aa_fail(err, AA_ENOMEM, "a schema's file");
    folder_of(cfg, path);
    aa_status st = aa_ckpt_make_folders(path, err);
    path_of(cfg, id, path);
    if (st == AA_OK) st = write_file(path, bytes, len, err);
    free(bytes);
    return st;
}
