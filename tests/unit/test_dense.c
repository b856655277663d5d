#include "common/model/dense.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/check.h"

/* Sums of up to 130 products of N(0,1) numbers in float: each step rounds by 2^-24 of a partial sum
 * that is below 50, so 130 * 50 * 6e-8 = 4e-4 is a bound and 1e-4
 * what a right kernel stays under. */
#define ATOL 1e-4
#define RTOL 1e-5

/* 1, primes, and both sides of the widths of vectors and of the kernels' blocks */
static const size_t sizes[] = {1, 2, 3, 7, 13, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 97, 130};
#define SIZE_COUNT (sizeof sizes / sizeof *sizes)
static const size_t batches[] = {1, 2, 7, 8, 9, 64};
#define BATCH_COUNT (sizeof batches / sizeof *batches)

typedef struct {
    size_t  B, I, O;
    float  *x, *w, *wt, *b, *y, *dy, *dx, *dw, *db;
    double *x_ref, *w_ref, *b_ref, *y_ref, *dy_ref, *dx_ref, *dw_ref, *db_ref;
} layer;

static float *
drawn(size_t n, uint64_t a, double **ref)
{
    float *v = malloc(n * sizeof *v);
    *ref = malloc(n * sizeof **ref);
    assert_non_null(v);
    assert_non_null(*ref);
    aa_rng_normal(v, n, 1.0, 1, AA_RNG_TEST, a);
    for (size_t i = 0; i < n; i++)
        (*ref)[i] = (double)v[i];
    return v;
}

static layer
layer_new(size_t B, size_t I, size_t O)
{
    layer la = {.B = B, .I = I, .O = O};
    la.x = drawn(B * I, 1, &la.x_ref);
    la.w = drawn(I * O, 2, &la.w_ref);
    la.wt = malloc(I * O * sizeof *la.wt);
    assert_non_null(la.wt);
    aa_dense_transpose(la.w, la.wt, I, O);
    la.b = drawn(O, 3, &la.b_ref);
    la.y = drawn(B * O, 4, &la.y_ref);
    la.dy = drawn(B * O, 5, &la.dy_ref);
    la.dx = drawn(B * I, 6, &la.dx_ref);
    la.dw = drawn(I * O, 7, &la.dw_ref);
    la.db = drawn(O, 8, &la.db_ref);
    return la;
}

static void
layer_free(layer *la)
{
    free(la->wt);
    float  *f[] = {la->x, la->w, la->b, la->y, la->dy, la->dx, la->dw, la->db};
    double *d[] = {la->x_ref,  la->w_ref,  la->b_ref,  la->y_ref,
                   la->dy_ref, la->dx_ref, la->dw_ref, la->db_ref};
    for (size_t i = 0; i < 8; i++) {
        free(f[i]);
        free(d[i]);
    }
}

static void
check_all(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_close((double)got[i], want[i], ATOL, RTOL, i);
}

static void
clear_gradients(layer *la)
{
    memset(la->dw, 0, la->I * la->O * sizeof *la->dw);
    memset(la->db, 0, la->O * sizeof *la->db);
}

static void
check_layer(size_t B, size_t I, size_t O, bool relu)
{
    layer la = layer_new(B, I, O);
    aa_dense_forward(la.x, la.w, la.b, la.y, B, I, O, relu);
    aa_dense_forward_ref(la.x_ref, la.w_ref, la.b_ref, la.y_ref, B, I, O, relu);
    check_all(la.y, la.y_ref, B * O);
    clear_gradients(&la);
    aa_dense_backward(la.x, la.wt, la.dy, la.dx, la.dw, la.db, B, I, O);
    aa_dense_backward_ref(la.x_ref, la.w_ref, la.dy_ref, la.dx_ref, la.dw_ref, la.db_ref, B, I, O);
    check_all(la.dx, la.dx_ref, B * I);
    check_all(la.dw, la.dw_ref, I * O);
    check_all(la.db, la.db_ref, O);
    layer_free(&la);
}

static void
layers_equal_their_definition(void **state)
{
    (void)state;
    for (size_t n = 0; n < BATCH_COUNT; n++)
        for (size_t i = 0; i < SIZE_COUNT; i++)
            for (size_t o = 0; o < SIZE_COUNT; o += n < 2 ? 1 : 3)
                check_layer(batches[n], sizes[i], sizes[o], (i + o) % 2 == 0);
}

/* 7 events take each of the kernels' paths: 4, 2 and 1 at a time. */
static void
batches_give_the_bits_of_single_events(void **state)
{
    (void)state;
    enum { B = 7, I = 33, O = 115 };
    layer la = layer_new(B, I, O);
    float one[O], dx[I], dw[I * O] = {0}, db[O] = {0};
    clear_gradients(&la);
    aa_dense_forward(la.x, la.w, la.b, la.y, B, I, O, true);
    aa_dense_backward(la.x, la.wt, la.dy, la.dx, la.dw, la.db, B, I, O);
    for (size_t n = 0; n < B; n++) {
        aa_dense_forward(la.x + n * I, la.w, la.b, one, 1, I, O, true);
        assert_memory_equal(one, la.y + n * O, sizeof one);
        aa_dense_backward(la.x + n * I, la.wt, la.dy + n * O, dx, dw, db, 1, I, O);
        assert_memory_equal(dx, la.dx + n * I, sizeof dx);
    }
    assert_memory_equal(dw, la.dw, sizeof dw); /* gathered event by event */
    assert_memory_equal(db, la.db, sizeof db);
    layer_free(&la);
}

/* The order of summation that dense.h promises, written out; equal bits on any CPU. */
static void
sums_have_the_promised_order(void **state)
{
    (void)state;
    enum { I = 37, O = 83 };
    layer la = layer_new(1, I, O);
    aa_dense_forward(la.x, la.w, la.b, la.y, 1, I, O, false);
    for (size_t o = 0; o < O; o++) {
        volatile float sum[2] = {la.b[o], 0.0f};
        for (size_t i = 0; i < I; i++) {
            volatile float product = la.x[i] * la.w[i * O + o];
            sum[i % 2] += product;
        }
        float want = sum[0] + sum[1];
        assert_memory_equal(&want, &la.y[o], sizeof want);
    }
    aa_dense_backward(la.x, la.wt, la.dy, la.dx, la.dw, la.db, 1, I, O);
    for (size_t i = 0; i < I; i++) {
        volatile float sum[2] = {0.0f, 0.0f};
        for (size_t o = 0; o < O; o++) {
            volatile float product = la.w[i * O + o] * la.dy[o];
            sum[o % 2] += product;
        }
        float want = sum[0] + sum[1];
        assert_memory_equal(&want, &la.dx[i], sizeof want);
    }
    layer_free(&la);
}

static void
relu_passes_gradient_only_where_the_unit_was_on(void **state)
{
    (void)state;
    const float y[5] = {0.0f, 1.0f, 0.0f, 2.0f, 0.5f};
    float       dy[5] = {1.0f, 2.0f, 3.0f, 4.0f, -5.0f};
    const float want[5] = {0.0f, 2.0f, 0.0f, 4.0f, -5.0f};
    aa_dense_relu_backward(y, dy, 5);
    assert_memory_equal(dy, want, sizeof want);
}

static void
head_is_a_layer_of_one_output(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        const size_t H = sizes[i], B = 3;
        layer        la = layer_new(B, H, 1);
        memset(la.y, 0, B * sizeof *la.y);
        aa_dense_head_forward(la.x, la.w, la.b[0], la.y, B, H);
        aa_dense_forward_ref(la.x_ref, la.w_ref, la.b_ref, la.y_ref, B, H, 1, false);
        check_all(la.y, la.y_ref, B);
        clear_gradients(&la);
        aa_dense_head_backward(la.x, la.w, la.dy, la.dx, la.dw, la.db, B, H);
        aa_dense_backward_ref(la.x_ref, la.w_ref, la.dy_ref, la.dx_ref, la.dw_ref, la.db_ref, B, H,
                              1);
        check_all(la.dx, la.dx_ref, B * H);
        check_all(la.dw, la.dw_ref, H);
        check_all(la.db, la.db_ref, 1);
        layer_free(&la);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_equal_their_definition),
        cmocka_unit_test(batches_give_the_bits_of_single_events),
        cmocka_unit_test(sums_have_the_promised_order),
        cmocka_unit_test(relu_passes_gradient_only_where_the_unit_was_on),
        cmocka_unit_test(head_is_a_layer_of_one_output),
    };
    return cmocka_run_group_tests_name("common/model/dense", tests, NULL, NULL);
}
