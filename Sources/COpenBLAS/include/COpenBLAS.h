#ifndef COPENBLAS_H
#define COPENBLAS_H

#include <stdbool.h>
#include <stddef.h>

// OpenBLAS, opened at run time in a scope of its own. It is not linked: libtorch_cpu.so exports sgemm_,
// ssyevd_ and the rest of BLAS and calls them through its procedure linkage table, so an OpenBLAS among the
// executable's libraries would take over libtorch's fp32 products, or libtorch ours, by link order alone.

#ifdef __cplusplus
extern "C" {
#endif

/// Opens OpenBLAS once and limits it to one thread, so that results do not depend on the thread count;
/// callers split work over threads of their own. Returns NULL when ready, else a message (never freed).
const char *cob_open(void);

/// The version OpenBLAS reports of itself. Never freed.
const char *cob_version(void);

/// C = alpha op(A) op(B) + beta C, row-major: op(A) is m x k, op(B) is k x n.
void cob_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
               int lda, const float *b, int ldb, float beta, float *c, int ldc);

/// Upper triangle of C += alpha A^T A, row-major: A is k x n, C is n x n.
void cob_ssyrk_transposed(int n, int k, float alpha, const float *a, int lda, float *c, int ldc);

/// Eigenvalues (ascending) of the symmetric n x n `matrix`, whose rows become the unit eigenvectors.
/// Returns LAPACK's info: 0 when it converged, -1000 when memory ran out.
int cob_dsyevd(int n, double *matrix, double *values);

#ifdef __cplusplus
}
#endif
#endif
