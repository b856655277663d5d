#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/rng.h"
#include "common/state/checkpoint.h"
#include "tests/checkpoint_repair.h"

/* A pipeline in a folder of its own; removed again with all in it. */
typedef struct {
    char    folder[64];
    aa_conf cfg;
} fixture;

static int
setup(void **state)
{
    fixture *fx = calloc(1, sizeof *fx);
    if (!fx) return -1;
    strcpy(fx->folder, "/tmp/aa-ckpt-XXXXXX");
    if (!mkdtemp(fx->folder)) return -1;
    aa_conf_defaults(&fx->cfg);
    snprintf(fx->cfg.checkpoint.dir, sizeof fx->cfg.checkpoint.dir, "%s/a/b", fx->folder);
    strcpy(fx->cfg.pipeline.name, "films");
    fx->cfg.checkpoint.keep = 3;
    *state = fx;
    return 0;
}

static void
remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        char inner[1024];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (unlink(inner) != 0) remove_tree(inner);
    }
    if (dir) closedir(dir);
    rmdir(path);
}

static int
teardown(void **state)
{
    fixture *fx = *state;
    remove_tree(fx->folder);
    free(fx);
    return 0;
}

static const uint64_t numbers[] = {1, 2, 3, UINT64_MAX};

static aa_ckpt_writer *
create(const fixture *fx, uint64_t epoch)
{
    aa_ckpt_writer *w = NULL;
    aa_err          err = AA_ERR_INIT;
    if (aa_ckpt_create(&w, &fx->cfg, "learner", epoch, &err)) fail_msg("%s", err.text);
    return w;
}

static void
section(aa_ckpt_writer *w, const char *name, const void *data, size_t len)
{
    aa_err err = AA_ERR_INIT;
    if (aa_ckpt_section(w, name, data, len, &err)) fail_msg("%s", err.text);
}

/* A small file of three sections, of a run that stands on `base`. */
static void
save_on(const fixture *fx, uint64_t epoch, uint64_t base)
{
    aa_err          err = AA_ERR_INIT;
    aa_ckpt_writer *w = create(fx, epoch);
    section(w, "numbers", numbers, sizeof numbers);
    section(w, "nothing", NULL, 0);
    section(w, "text", "abc", 3);
    if (aa_ckpt_commit(&w, base, &err)) fail_msg("%s", err.text);
    assert_null(w);
}

/* Every epoch is committed. */
static void
save(const fixture *fx, uint64_t epoch)
{
    save_on(fx, epoch, epoch - 1);
}

static size_t
read_file(const fixture *fx, uint64_t epoch, uint8_t **bytes)
{
    char   path[1024];
    aa_err err = AA_ERR_INIT;
    assert_int_equal(aa_ckpt_path(path, sizeof path, &fx->cfg, "learner", epoch, &err), AA_OK);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    *bytes = malloc(1 << 20);
    assert_non_null(*bytes);
    size_t len = fread(*bytes, 1, 1 << 20, f);
    fclose(f);
    return len;
}

static void
write_file(const fixture *fx, uint64_t epoch, const uint8_t *bytes, size_t len)
{
    char   path[1024];
    aa_err err = AA_ERR_INIT;
    assert_int_equal(aa_ckpt_path(path, sizeof path, &fx->cfg, "learner", epoch, &err), AA_OK);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

static aa_status
open_status(const aa_conf *cfg, const char *process, uint64_t epoch, const char *mentions)
{
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    aa_status       st = aa_ckpt_open(&r, cfg, process, epoch, &err);
    if (st != AA_OK && mentions && !strstr(err.text, mentions))
        fail_msg("\"%s\" does not mention \"%s\"", err.text, mentions);
    assert_true(st == AA_OK || r == NULL);
    aa_ckpt_close(&r);
    return st;
}

static void
what_was_saved_is_read_back(void **state)
{
    const fixture  *fx = *state;
    aa_ckpt_reader *r = NULL;
    aa_err          err = AA_ERR_INIT;
    aa_ckpt_info    info;
    const void     *data;
    const char     *name;
    size_t          len;
    uint64_t        digest;
    save(fx, 7);
    assert_int_equal(aa_ckpt_open(&r, &fx->cfg, "learner", 7, &err), AA_OK);
    assert_int_equal(aa_ckpt_get(r, "numbers", &data, &len, &err), AA_OK);
    assert_int_equal(len, sizeof numbers);
    assert_memory_equal(data, numbers, len);
    assert_int_equal((uintptr_t)data % 64, 0);
    assert_int_equal(aa_ckpt_get(r, "nothing", &data, &len, &err), AA_OK);
    assert_int_equal(len, 0);
    assert_int_equal(aa_ckpt_get(r, "text", &data, &len, &err), AA_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "abc", 3);
    assert_int_equal(aa_ckpt_get(r, "tex", &data, &len, &err), AA_EPARSE);
    assert_non_null(strstr(err.text, "no section tex"));
    aa_ckpt_info_get(r, &info);
    assert_int_equal(info.epoch, 7);
    assert_string_equal(info.process, "learner");
    assert_string_equal(info.pipeline, "films");
    assert_int_equal(info.config_digest, aa_conf_digest(&fx->cfg));
    assert_int_equal(info.section_count, 4); /* and the settings */
    aa_ckpt_section_at(r, 2, &name, &len, &digest);
    assert_string_equal(name, "text");
    assert_int_equal(len, 3);
    aa_ckpt_close(&r);
    assert_null(r);
}

static void
pieces_make_the_same_file_as_one_piece(void **state)
{
    const fixture *fx = *state;
    aa_err         err = AA_ERR_INIT;
    uint8_t       *big = malloc(700001), *one = NULL, *many = NULL;
    assert_non_null(big);
    for (size_t i = 0; i < 700001; i++)
        big[i] = (uint8_t)aa_rng_bits(1, AA_RNG_TEST, i, 0);
    aa_ckpt_writer *w = create(fx, 1);
    section(w, "big", big, 700001); /* larger than the writer's buffer */
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    size_t len = read_file(fx, 1, &one);
    w = create(fx, 1);
    assert_int_equal(aa_ckpt_begin(w, "big", 700001, &err), AA_OK);
    for (size_t at = 0; at < 700001;) {
        size_t part = 1 + (size_t)(aa_rng_bits(2, AA_RNG_TEST, at, 0) % 5000);
        if (part > 700001 - at) part = 700001 - at;
        assert_int_equal(aa_ckpt_append(w, big + at, part, &err), AA_OK);
        at += part;
    }
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    assert_int_equal(read_file(fx, 1, &many), len);
    assert_memory_equal(one, many, len);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_OK);
    free(big);
    free(one);
    free(many);
}

static void
file_without_sections_is_a_checkpoint(void **state)
{
    const fixture  *fx = *state;
    aa_err          err = AA_ERR_INIT;
    aa_ckpt_writer *w = create(fx, 1);
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_OK);
}

static void
truncation_at_every_length_is_refused(void **state)
{
    const fixture *fx = *state;
    uint8_t       *bytes = NULL;
    save(fx, 1);
    size_t len = read_file(fx, 1, &bytes);
    for (size_t cut = 0; cut < len; cut++) {
        write_file(fx, 1, bytes, cut);
        assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_EPARSE);
        aa_ckpt_reader *r = NULL;
        uint8_t        *exact = malloc(cut + 1); /* sanitizers see a read beyond it */
        assert_non_null(exact);
        memcpy(exact + 1, bytes, cut);
        assert_int_equal(aa_ckpt_open_bytes(&r, exact + 1, cut, NULL), AA_EPARSE);
        free(exact);
    }
    write_file(fx, 1, bytes, len);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_OK);
    free(bytes);
}

static void
flipped_bit_anywhere_is_refused(void **state)
{
    const fixture *fx = *state;
    uint8_t       *bytes = NULL;
    save(fx, 1);
    size_t len = read_file(fx, 1, &bytes);
    for (size_t bit = 0; bit < len * 8; bit++) {
        aa_ckpt_reader *r = NULL;
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (aa_ckpt_open_bytes(&r, bytes, len, NULL) != AA_EPARSE) fail_msg("bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}

static void
appended_bytes_are_refused(void **state)
{
    const fixture *fx = *state;
    uint8_t       *bytes = NULL;
    save(fx, 1);
    size_t len = read_file(fx, 1, &bytes);
    memset(bytes + len, 0, 128);
    for (size_t more = 1; more <= 128; more++) {
        write_file(fx, 1, bytes, len + more);
        assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_EPARSE);
    }
    free(bytes);
}

/* The file is whole, and still not the one that was asked for. */
static void
somebody_elses_checkpoint_is_refused(void **state)
{
    fixture *fx = *state;
    uint8_t *bytes = NULL;
    char     path[1024];
    aa_err   err = AA_ERR_INIT;
    save(fx, 1);
    size_t len = read_file(fx, 1, &bytes);
    write_file(fx, 2, bytes, len); /* copied under another epoch's name */
    assert_int_equal(open_status(&fx->cfg, "learner", 2, "epoch 1, not 2"), AA_EPARSE);
    assert_int_equal(open_status(&fx->cfg, "learner", 3, "No such file"), AA_EIO);

    fx->cfg.agent.positions++;
    assert_int_equal(open_status(&fx->cfg, "learner", 1, "agent.positions (8, now 9)"), AA_ECONFIG);
    fx->cfg.agent.positions--;

    aa_ckpt_writer *w = NULL; /* makes the folder of another process, pipeline, lane */
    assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "assigner", 1, &err), AA_OK);
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    assert_int_equal(aa_ckpt_path(path, sizeof path, &fx->cfg, "assigner", 1, &err), AA_OK);
    assert_int_equal(unlink(path), 0);
    char learners[1024];
    assert_int_equal(aa_ckpt_path(learners, sizeof learners, &fx->cfg, "learner", 1, &err), AA_OK);
    assert_int_equal(link(learners, path), 0);
    assert_int_equal(open_status(&fx->cfg, "assigner", 1, "of process learner"), AA_ECONFIG);

    strcpy(fx->cfg.pipeline.name, "books");
    save(fx, 1);
    write_file(fx, 1, bytes, len);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, "of pipeline \"films\""), AA_ECONFIG);
    strcpy(fx->cfg.pipeline.name, "films");

    fx->cfg.pipeline.lane = 1;
    save(fx, 1);
    write_file(fx, 1, bytes, len);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, "of lane 0, not 1"), AA_ECONFIG);
    fx->cfg.pipeline.lane = 0;

    free(bytes);
}

/* Newer or older, and whole as far as its own version goes:
 * the number is named, nothing is read. */
static void
settings_that_do_not_shape_the_state_may_change(void **state)
{
    fixture *fx = *state;
    save(fx, 1);
    fx->cfg.model.row_rate = 0.05;
    fx->cfg.agent.rows_least = 100;
    assert_int_equal(open_status(&fx->cfg, "learner", 1, ""), AA_OK);
    fx->cfg.model.dim = 8;
    assert_int_equal(open_status(&fx->cfg, "learner", 1, "other settings, model.dim (16, now 8):"),
                     AA_ECONFIG);
}

/* It has a digest of them only: what differs cannot be said. */
static void
checkpoint_without_its_settings_is_taken_with_the_same_ones(void **state)
{
    fixture *fx = *state;
    uint8_t *bytes = NULL;
    save(fx, 1);
    size_t len = read_file(fx, 1, &bytes), at = 0;
    while (at + 9 < len && memcmp(bytes + at, "settings", 9) != 0)
        at++;
    assert_true(at + 9 < len);
    bytes[at] = 'S'; /* another section */
    repair_checkpoint(bytes, len);
    write_file(fx, 1, bytes, len);
    free(bytes);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, ""), AA_OK);
    fx->cfg.model.row_rate = 0.05;
    assert_int_equal(open_status(&fx->cfg, "learner", 1, "another configuration"), AA_ECONFIG);
}

static void
format_of_another_version_is_refused_by_its_number(void **state)
{
    static const char *const processes[] = {"ingest", "assigner", "learner"};
    static const uint32_t versions[] = {AA_CKPT_FORMAT_VERSION - 1, AA_CKPT_FORMAT_VERSION + 1, 77,
                                        UINT32_MAX};
    fixture              *fx = *state;
    aa_err                err = AA_ERR_INIT;
    for (size_t p = 0; p < 3; p++) {
        uint8_t         bytes[4096];
        char            path[1024], words[64];
        aa_ckpt_writer *w = NULL;
        assert_int_equal(aa_ckpt_create(&w, &fx->cfg, processes[p], 1, &err), AA_OK);
        assert_int_equal(aa_ckpt_section(w, "state", "hello", 5, &err), AA_OK);
        assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
        assert_int_equal(aa_ckpt_path(path, sizeof path, &fx->cfg, processes[p], 1, &err), AA_OK);
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        const size_t len = fread(bytes, 1, sizeof bytes, f);
        assert_true(len < sizeof bytes);
        for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
            repair_checkpoint(bytes, len);
            memcpy(bytes + offsetof(ckpt_head, format_version), &versions[v], sizeof versions[v]);
            repair_digest(bytes + offsetof(ckpt_head, digest), bytes, offsetof(ckpt_head, digest));
            repair_digest(bytes + len - 8, bytes, len - 8);
            rewind(f);
            assert_int_equal(fwrite(bytes, 1, len, f), len);
            assert_int_equal(fflush(f), 0);
            snprintf(words, sizeof words, "format version %" PRIu32 ", this build reads %d",
                     versions[v], AA_CKPT_FORMAT_VERSION);
            assert_int_equal(open_status(&fx->cfg, processes[p], 1, words), AA_EPARSE);
        }
        fclose(f);
    }
}

static void
things_that_are_no_files_are_refused(void **state)
{
    const fixture  *fx = *state;
    char            path[128];
    aa_err          err = AA_ERR_INIT;
    aa_ckpt_reader *r = NULL;
    assert_int_equal(aa_ckpt_open_path(&r, fx->folder, &err), AA_EIO);
    assert_non_null(strstr(err.text, "not a file"));
    snprintf(path, sizeof path, "%s/fifo", fx->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(aa_ckpt_open_path(&r, path, &err),
                     AA_EIO); /* and does not wait for a writer */
    assert_int_equal(aa_ckpt_open_path(&r, "/dev/zero", &err), AA_EIO);
    assert_null(r);
}

static size_t
list(const fixture *fx, uint64_t first[8])
{
    uint64_t *epochs = NULL;
    size_t    count = 0;
    aa_err    err = AA_ERR_INIT;
    assert_int_equal(aa_ckpt_list(&fx->cfg, "learner", &epochs, &count, &err), AA_OK);
    for (size_t i = 0; i < count && i < 8; i++)
        first[i] = epochs[i];
    free(epochs);
    return count;
}

static void
last_ones_are_kept(void **state)
{
    const fixture *fx = *state;
    uint64_t       epochs[8], latest = 99;
    aa_err         err = AA_ERR_INIT;
    assert_int_equal(list(fx, epochs), 0); /* not even a folder yet */
    assert_int_equal(aa_ckpt_latest(&fx->cfg, "learner", &latest, &err), AA_OK);
    assert_int_equal(latest, 0);
    for (uint64_t epoch = 8; epoch <= 12; epoch++)
        save(fx, epoch);
    assert_int_equal(list(fx, epochs), 3);
    assert_int_equal(epochs[0], 10);
    assert_int_equal(epochs[2], 12);
    assert_int_equal(aa_ckpt_latest(&fx->cfg, "learner", &latest, &err), AA_OK);
    assert_int_equal(latest, 12);
}

/* The new epoch is durable, but the offset that names it is not committed yet: the one before must
 * be there, even when only one is to be kept. */
static void
one_before_is_kept_whatever_keep_says(void **state)
{
    fixture *fx = *state;
    uint64_t epochs[8];
    fx->cfg.checkpoint.keep = 1;
    for (uint64_t epoch = 1; epoch <= 5; epoch++)
        save(fx, epoch);
    assert_int_equal(list(fx, epochs), 2);
    assert_int_equal(epochs[0], 4);
    assert_int_equal(epochs[1], 5);
}

/* Other processes could not save epochs 8 to 11: whatever dies before 12 is committed, 7 is what
 * all of them go back to, and after that the ones before 12 that were committed. */
static void
epochs_that_were_given_up_do_not_push_out_what_the_run_stands_on(void **state)
{
    const fixture *fx = *state;
    uint64_t       epochs[8];
    for (uint64_t epoch = 5; epoch <= 7; epoch++)
        save(fx, epoch);
    for (uint64_t epoch = 8; epoch <= 12; epoch++) {
        save_on(fx, epoch, 7);
        assert_int_equal(list(fx, epochs), 3);
        assert_int_equal(epochs[0], 6);
        assert_int_equal(epochs[1], 7);
        assert_int_equal(epochs[2], epoch);
    }
    save(fx, 13);
    assert_int_equal(list(fx, epochs), 3);
    assert_int_equal(epochs[0], 7);
    assert_int_equal(epochs[1], 12);
    assert_int_equal(epochs[2], 13);
}

/* A base is read from a message: one that makes no sense deletes nothing. */
static void
nothing_is_deleted_without_a_base(void **state)
{
    const fixture *fx = *state;
    uint64_t       epochs[8];
    for (uint64_t epoch = 1; epoch <= 5; epoch++)
        save_on(fx, epoch, epoch % 2 ? 0 : UINT64_MAX);
    assert_int_equal(list(fx, epochs), 5);
}

/* After a roll back the epochs begin again below files that are there: new ones must not be taken
 * for the oldest. */
static void
rolled_back_run_does_not_delete_itself(void **state)
{
    const fixture *fx = *state;
    uint64_t       epochs[8];
    for (uint64_t epoch = 98; epoch <= 100; epoch++)
        save(fx, epoch);
    for (uint64_t epoch = 1; epoch <= 4; epoch++)
        save(fx, epoch);
    assert_int_equal(list(fx, epochs), 6);
    assert_int_equal(epochs[0], 2);
    assert_int_equal(epochs[2], 4);
    assert_int_equal(epochs[3], 98);
    assert_int_equal(open_status(&fx->cfg, "learner", 4, NULL), AA_OK);
}

static void
saving_an_epoch_again_replaces_it(void **state)
{
    const fixture *fx = *state;
    aa_err         err = AA_ERR_INIT;
    const void    *data;
    size_t         len;
    save(fx, 5);
    aa_ckpt_writer *w = create(fx, 5);
    section(w, "text", "second", 6);
    assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
    aa_ckpt_reader *r = NULL;
    assert_int_equal(aa_ckpt_open(&r, &fx->cfg, "learner", 5, &err), AA_OK);
    assert_int_equal(aa_ckpt_get(r, "text", &data, &len, &err), AA_OK);
    assert_memory_equal(data, "second", 6);
    aa_ckpt_close(&r);
}

static size_t
count_files(const fixture *fx)
{
    char   folder[512];
    size_t n = 0;
    snprintf(folder, sizeof folder, "%s/films/0/learner", fx->cfg.checkpoint.dir);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.' || e->d_name[1] == 't';
    closedir(dir);
    return n;
}

static void
unfinished_file_is_ignored_and_cleaned(void **state)
{
    const fixture  *fx = *state;
    uint64_t        epochs[8];
    aa_err          err = AA_ERR_INIT;
    aa_ckpt_writer *killed = create(fx, 1); /* of a process that is thought dead */
    section(killed, "text", "abc", 3);
    assert_int_equal(count_files(fx), 1);
    assert_int_equal(list(fx, epochs), 0);
    save(fx, 1);
    assert_int_equal(count_files(fx), 1); /* only the finished one */
    /* and should it live after all, it cannot overwrite what came later */
    assert_int_equal(aa_ckpt_commit(&killed, 0, &err), AA_EIO);
    assert_null(killed);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_OK);
}

static void
aborted_file_leaves_nothing(void **state)
{
    const fixture  *fx = *state;
    uint64_t        epochs[8];
    aa_ckpt_writer *w = create(fx, 1);
    section(w, "text", "abc", 3);
    aa_ckpt_abort(&w);
    assert_null(w);
    aa_ckpt_abort(&w);
    assert_int_equal(list(fx, epochs), 0);
    assert_int_equal(count_files(fx), 0);
}

static void
files_and_folders_are_private(void **state)
{
    const fixture *fx = *state;
    struct stat    sb;
    char           path[1024];
    aa_err         err = AA_ERR_INIT;
    mode_t         before = umask(0);
    save(fx, 1);
    umask(before);
    assert_int_equal(aa_ckpt_path(path, sizeof path, &fx->cfg, "learner", 1, &err), AA_OK);
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    for (int up = 0; up < 5; up++) { /* learner, lane, pipeline, b, a */
        *strrchr(path, '/') = '\0';
        assert_int_equal(stat(path, &sb), 0);
        assert_int_equal(sb.st_mode & 0777, 0700);
    }
}

static void
names_that_leave_the_folder_are_refused(void **state)
{
    fixture                 *fx = *state;
    aa_ckpt_writer          *w = NULL;
    aa_err                   err = AA_ERR_INIT;
    static const char *const bad[] = {"", ".", "..", "a/b", "../../etc"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        strcpy(fx->cfg.pipeline.name, bad[i]);
        assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "learner", 1, &err), AA_ECONFIG);
        strcpy(fx->cfg.pipeline.name, "films");
        assert_int_equal(aa_ckpt_create(&w, &fx->cfg, bad[i], 1, &err), AA_ECONFIG);
    }
    assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "learner", 0, &err), AA_EPARSE);
    assert_null(w);
}

static void
folder_that_cannot_be_made_is_an_error(void **state)
{
    fixture        *fx = *state;
    aa_ckpt_writer *w = NULL;
    aa_err          err = AA_ERR_INIT;
    strcpy(fx->cfg.checkpoint.dir, "/dev/null/checkpoints");
    assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "learner", 1, &err), AA_EIO);
    assert_non_null(strstr(err.text, "/dev/null/checkpoints"));
    strcpy(fx->cfg.checkpoint.dir, "/proc/checkpoints"); /* a file system that takes no files */
    assert_int_equal(aa_ckpt_create(&w, &fx->cfg, "learner", 1, &err), AA_EIO);
    assert_null(w);
}

/* A limit on file sizes stands in for a disk that fills up: write fails the same way. */
static void
disk_that_fills_up_keeps_the_old_epoch(void **state)
{
    const fixture *fx = *state;
    struct rlimit  before, small;
    uint64_t       epochs[8];
    aa_err         err = AA_ERR_INIT;
    static uint8_t big[1 << 20];
    save(fx, 1);
    aa_ckpt_writer *w = create(fx, 2);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 300000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    aa_status section_status = aa_ckpt_section(w, "big", big, sizeof big, &err);
    aa_status commit_status = aa_ckpt_commit(&w, 0, NULL); /* fails too: the error sticks */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(section_status, AA_EIO);
    assert_int_equal(commit_status, AA_EIO);
    assert_non_null(strstr(err.text, "write"));
    assert_null(w);
    assert_int_equal(count_files(fx), 1);
    assert_int_equal(list(fx, epochs), 1);
    assert_int_equal(open_status(&fx->cfg, "learner", 1, NULL), AA_OK);
}

/* Random sections, each read back whole. */
static void
random_sections_survive(void **state)
{
    const fixture *fx = *state;
    uint64_t       seed = 20240229;
    print_message("seed %" PRIu64 "\n", seed);
    static uint8_t data[5000];
    for (uint64_t round = 1; round <= 50; round++) {
        aa_err          err = AA_ERR_INIT;
        aa_ckpt_writer *w = create(fx, round);
        size_t          count = (size_t)(aa_rng_bits(seed, AA_RNG_TEST, round, 0) % 8), len[8];
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (uint8_t)aa_rng_bits(seed, AA_RNG_TEST, round, 100 + i);
        for (size_t i = 0; i < count; i++) {
            char name[8];
            len[i] = (size_t)(aa_rng_bits(seed, AA_RNG_TEST, round, 1 + i) % (i % 2 ? 5000 : 130));
            snprintf(name, sizeof name, "s%zu", i);
            section(w, name, data, len[i]);
        }
        assert_int_equal(aa_ckpt_commit(&w, 0, &err), AA_OK);
        aa_ckpt_reader *r = NULL;
        assert_int_equal(aa_ckpt_open(&r, &fx->cfg, "learner", round, &err), AA_OK);
        for (size_t i = 0; i < count; i++) {
            char        name[8];
            const void *got;
            size_t      got_len;
            snprintf(name, sizeof name, "s%zu", i);
            assert_int_equal(aa_ckpt_get(r, name, &got, &got_len, &err), AA_OK);
            assert_int_equal(got_len, len[i]);
            assert_memory_equal(got, data, got_len);
        }
        aa_ckpt_close(&r);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The second process is another one: a lock of POSIX does not keep its own process out. */
static void
a_folder_in_use_is_refused_and_says_by_whom(void **state)
{
    fixture *fx = *state;
    aa_err   err = AA_ERR_INIT;
    int      up[2], status, said = 0;
    assert_int_equal(pipe(up), 0);
    assert_int_equal(aa_ckpt_lock(&fx->cfg, "learner", &err), AA_OK);
    const pid_t child = fork();
    if (child == 0) {
        char pid[32];
        snprintf(pid, sizeof pid, "in use by pid %ld", (long)getppid());
        const bool refused = aa_ckpt_lock(&fx->cfg, "learner", &err) == AA_EIO;
        const bool free_one = aa_ckpt_lock(&fx->cfg, "assigner", &err) == AA_OK;
        said = refused && strstr(err.text, pid) && free_one;
        (void)!write(up[1], &said, sizeof said);
        _exit(0);
    }
    assert_int_equal(read(up[0], &said, sizeof said), sizeof said);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(said);
    close(up[0]);
    close(up[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_in_use_is_refused_and_says_by_whom),
        TEST(what_was_saved_is_read_back),
        TEST(pieces_make_the_same_file_as_one_piece),
        TEST(file_without_sections_is_a_checkpoint),
        TEST(truncation_at_every_length_is_refused),
        TEST(flipped_bit_anywhere_is_refused),
        TEST(appended_bytes_are_refused),
        TEST(somebody_elses_checkpoint_is_refused),
        TEST(settings_that_do_not_shape_the_state_may_change),
        TEST(checkpoint_without_its_settings_is_taken_with_the_same_ones),
        TEST(format_of_another_version_is_refused_by_its_number),
        TEST(things_that_are_no_files_are_refused),
        TEST(last_ones_are_kept),
        TEST(one_before_is_kept_whatever_keep_says),
        TEST(epochs_that_were_given_up_do_not_push_out_what_the_run_stands_on),
        TEST(nothing_is_deleted_without_a_base),
        TEST(rolled_back_run_does_not_delete_itself),
        TEST(saving_an_epoch_again_replaces_it),
        TEST(unfinished_file_is_ignored_and_cleaned),
        TEST(aborted_file_leaves_nothing),
        TEST(files_and_folders_are_private),
        TEST(names_that_leave_the_folder_are_refused),
        TEST(folder_that_cannot_be_made_is_an_error),
        TEST(disk_that_fills_up_keeps_the_old_epoch),
        TEST(random_sections_survive),
    };
    return cmocka_run_group_tests_name("common/state/checkpoint", tests, NULL, NULL);
}
