#include "common/state/holdfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/state/checkpoint.h"

#define WORD_FILE  "publish-word"
#define STATE_FILE "publish-state"
enum { PATH_BYTES = 1024, TEXT_BYTES = 128 };

static const char *const words[AA_HOLD_WORDS] = {"auto", "hold", "resume"};

const char *
aa_hold_word_text(aa_hold_word word)
{
    return words[word];
}

/* Beside the learner's epochs. */
static aa_status
file_path(const aa_conf *cfg, const char *name, char path[PATH_BYTES], aa_err *err)
{
    aa_status st = aa_ckpt_path(path, PATH_BYTES, cfg, "learner", 1, err);
    if (st != AA_OK) return st;
    char *last = strrchr(path, '/') + 1;
    snprintf(last, (size_t)(path + PATH_BYTES - last), "%s", name); /* shorter than an epoch's */
    return AA_OK;
}

/* The whole text or, after a crash, the one before. */
static aa_status
write_text(const aa_conf *cfg, const char *name, const char *text, aa_err *err)
{
    char      path[PATH_BYTES], tmp[PATH_BYTES + 8];
    aa_status st = file_path(cfg, name, path, err);
    if (st != AA_OK) return st;
    snprintf(tmp, sizeof tmp, "%s.new", path);
    const size_t len = strlen(text);
    const int    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return aa_fail(err, AA_EIO, "%s: %s", tmp, strerror(errno));
    bool whole = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    whole = close(fd) == 0 && whole && rename(tmp, path) == 0;
    return whole ? AA_OK : aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
}

/* text: "" if there is no file */
static aa_status
read_text(const aa_conf *cfg, const char *name, char text[TEXT_BYTES], aa_err *err)
{
    char      path[PATH_BYTES];
    aa_status st = file_path(cfg, name, path, err);
    text[0] = '\0';
    if (st != AA_OK) return st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return AA_OK;
    const ssize_t len = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);
    if (len < 0) st = aa_fail(err, AA_EIO, "%s: %s", path, strerror(errno));
    text[len > 0 ? len : 0] = '\0';
    if (fd >= 0) close(fd);
    return st;
}

aa_status
aa_hold_word_write(const aa_conf *cfg, aa_hold_word word, aa_err *err)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%s\n", words[word]);
    return write_text(cfg, WORD_FILE, text, err);
}

aa_status
aa_hold_word_read(const aa_conf *cfg, aa_hold_word *word, aa_err *err)
{
    char      text[TEXT_BYTES];
    aa_status st = read_text(cfg, WORD_FILE, text, err);
    if (st != AA_OK) return st;
    text[strcspn(text, "\n")] = '\0';
    *word = AA_HOLD_AUTO;
    if (!text[0]) return AA_OK;
    for (size_t i = 0; i < AA_HOLD_WORDS; i++) {
        *word = (aa_hold_word)i;
        if (strcmp(text, words[i]) == 0) return AA_OK;
    }
    *word = AA_HOLD_AUTO;
    return aa_fail(err, AA_EPARSE, WORD_FILE " holds none of auto, hold, resume");
}

aa_status
aa_hold_state_write(const aa_conf *cfg, const aa_hold_state *hs, aa_err *err)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "held=%d bad=%d why=%s\n", hs->held, hs->bad, hs->why);
    return write_text(cfg, STATE_FILE, text, err);
}

aa_status
aa_hold_state_read(const aa_conf *cfg, aa_hold_state *hs, bool *known, aa_err *err)
{
    static const char form[] = "held=0 bad=0 why=";
    char              text[TEXT_BYTES], *end;
    aa_status         st = read_text(cfg, STATE_FILE, text, err);
    *hs = (aa_hold_state){0};
    if (known) *known = text[0] != '\0';
    if (st != AA_OK || !text[0]) return st;
    end = strchr(text, '\n');
    if (strlen(text) < sizeof form || strncmp(text, form, 5) != 0 || !end)
        return aa_fail(err, AA_EPARSE, STATE_FILE " is damaged");
    *end = '\0';
    hs->held = text[5] == '1';
    hs->bad = text[11] == '1';
    snprintf(hs->why, sizeof hs->why, "%.15s", text + sizeof form - 1);
    return AA_OK;
}
