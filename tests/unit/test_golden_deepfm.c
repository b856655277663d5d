/* The recommender and its optimizers against PyTorch: tests/golden/deepfm.py made deepfm.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/model/model.h"
#include "learner/rows/adam.h"
#include "learner/rows/rows.h"
#include "tests/check.h"

#define FIXTURE "tests/golden/deepfm.txt" /* tests run in the project's folder */

/* One line of the fixture: in double as it stands, and as float. */
typedef struct {
    size_t  n;
    double *want;
    float  *as_float;
} values;

static values
read_values(const char *name)
{
    FILE  *in = fopen(FIXTURE, "r");
    char   word[64];
    values va = {0};
    if (!in) fail_msg("cannot open %s", FIXTURE);
    while (fscanf(in, "%63s %zu", word, &va.n) == 2 && strcmp(word, name) != 0)
        if (fscanf(in, "%*[^\n]") != 0) break;
    if (strcmp(word, name) != 0 || va.n == 0) fail_msg("no %s in %s", name, FIXTURE);
    va.want = malloc(va.n * sizeof *va.want);
    va.as_float = malloc(va.n * sizeof *va.as_float);
    assert_true(va.want && va.as_float);
    for (size_t i = 0; i < va.n; i++) {
        if (fscanf(in, "%lf", &va.want[i]) != 1) fail_msg("%s: %zu values", name, i);
        va.as_float[i] = (float)va.want[i];
    }
    fclose(in);
    return va;
}

static void
values_free(values *va)
{
    free(va->want);
    free(va->as_float);
}

/* float against float64: sums of up to 20 products of order 1 */
static void
check_values(const char *name, const float *got, size_t n)
{
    values va = read_values(name);
    assert_int_equal(va.n, n);
    for (size_t i = 0; i < n; i++)
        check_close((double)got[i], va.want[i], 2e-6, 2e-6, i);
    values_free(&va);
}

typedef struct {
    aa_model_shape sh;
    size_t         B;
    values         shape, x, w, label;
    float         *logit, *dlogit, *scratch, *dx, *dw;
} deepfm;

static deepfm
deepfm_forward(void)
{
    const aa_model_kind *kind = aa_model_find(AA_MODEL_DEEPFM);
    deepfm               df = {.shape = read_values("shape"),
                               .x = read_values("x"),
                               .w = read_values("w"),
                               .label = read_values("label")};
    const double        *s = df.shape.want;
    df.sh = (aa_model_shape){.F = (size_t)s[0], .K = (size_t)s[1], .H = (size_t)s[3]};
    df.B = (size_t)s[2];
    for (size_t l = 0; l < df.sh.H; l++)
        df.sh.hidden[l] = (size_t)s[4 + l];
    assert_int_equal(kind->weight_count(&df.sh), df.w.n);
    df.logit = calloc(df.B, sizeof(float));
    df.dlogit = calloc(df.B, sizeof(float));
    df.dx = calloc(df.x.n, sizeof(float));
    df.dw = calloc(df.w.n, sizeof(float));
    df.scratch = calloc(kind->scratch_count(&df.sh, df.B), sizeof(float));
    assert_true(df.logit && df.dlogit && df.dx && df.dw && df.scratch);
    kind->prepare(&df.sh, df.w.as_float, df.scratch);
    kind->forward(&df.sh, df.w.as_float, df.x.as_float, NULL, df.B, df.logit, df.scratch);
    return df;
}

static void
deepfm_free(deepfm *df)
{
    values *all[] = {&df->shape, &df->x, &df->w, &df->label};
    float  *floats[] = {df->logit, df->dlogit, df->scratch, df->dx, df->dw};
    for (size_t i = 0; i < 4; i++)
        values_free(all[i]);
    for (size_t i = 0; i < 5; i++)
        free(floats[i]);
}

static void
check_loss(const char *name, aa_loss (*loss)(float, float))
{
    deepfm df = deepfm_forward();
    float  losses[64];
    char   key[64];
    assert_in_range(df.B, 1, 64);
    for (size_t b = 0; b < df.B; b++) {
        const aa_loss lo = loss(df.logit[b], df.label.as_float[b]);
        losses[b] = lo.loss;
        df.dlogit[b] = lo.gradient;
    }
    aa_model_find(AA_MODEL_DEEPFM)
        ->backward(&df.sh, df.w.as_float, df.x.as_float, NULL, df.B, df.dlogit, df.scratch, df.dx,
                   df.dw);
    check_values("logit", df.logit, df.B);
    check_values(name, losses, df.B);
    snprintf(key, sizeof key, "%s_dx", name);
    check_values(key, df.dx, df.x.n);
    snprintf(key, sizeof key, "%s_dw", name);
    check_values(key, df.dw, df.w.n);
    deepfm_free(&df);
}

static void
logloss_and_its_gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    check_loss("logloss", aa_logloss_all);
}

static void
squared_error_and_its_gradients_are_those_of_pytorch(void **state)
{
    (void)state;
    check_loss("mse", aa_mse_all);
}

static void
adam_steps_are_those_of_pytorch(void **state)
{
    (void)state;
    values g = read_values("gradient"), w = read_values("w");
    adam   ad;
    aa_err err = AA_ERR_INIT;
    assert_int_equal(adam_init(&ad, w.n, &err), AA_OK);
    memcpy(ad.w, w.as_float, w.n * sizeof(float));
    float *grad = malloc(g.n * sizeof *grad);
    assert_non_null(grad);
    for (int t = 0; t < 3; t++) {
        memcpy(grad, g.as_float, g.n * sizeof *grad);
        adam_step(&ad, grad, (float)(1 - t), 1, 1e-3);
    }
    free(grad);
    check_values("adam", ad.w, w.n);
    adam_fini(&ad);
    values_free(&g);
    values_free(&w);
}

/* A row as wide as all the weights: what is promoted from zeros without noise starts at 0, so the
 * movement is compared. */
static void
adagrad_steps_are_those_of_pytorch(void **state)
{
    (void)state;
    static aa_conf cfg;
    values         g = read_values("gradient"), w = read_values("w"), want = read_values("adagrad");
    rows          *ro = NULL;
    aa_err         err = AA_ERR_INIT;
    float         *x = calloc(2 * w.n, sizeof *x), *dx = x + w.n;
    assert_non_null(x);
    aa_conf_defaults(&cfg);
    cfg.agent.mode = AA_MODE_PAPER; /* its shared rows stand for themselves */
    cfg.model.dim = (int64_t)w.n - 1;
    cfg.model.row_init = cfg.model.row_l2 = 0.0;
    assert_int_equal(rows_new(&ro, 0, &cfg, &err), AA_OK);
    for (int t = 0; t < 3; t++) {
        for (size_t i = 0; i < w.n; i++)
            dx[i] = g.as_float[i] * (float)(1 - t);
        assert_int_equal(rows_reserve(ro, 1, &err), AA_OK);
        rows_learn(ro, 0, 0.0f, 1.0f, dx);
        rows_update(ro);
    }
    rows_read(ro, 0, 0.0f, x);
    for (size_t i = 0; i < w.n; i++)
        check_close((double)x[i], want.want[i] - w.want[i], 1e-6, 1e-6, i);
    rows_free(&ro);
    free(x);
    values_free(&g);
    values_free(&w);
    values_free(&want);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logloss_and_its_gradients_are_those_of_pytorch),
        cmocka_unit_test(squared_error_and_its_gradients_are_those_of_pytorch),
        cmocka_unit_test(adam_steps_are_those_of_pytorch),
        cmocka_unit_test(adagrad_steps_are_those_of_pytorch),
    };
    return cmocka_run_group_tests_name("golden/deepfm", tests, NULL, NULL);
}
