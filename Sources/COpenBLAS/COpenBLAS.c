#define _GNU_SOURCE
#include "COpenBLAS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112, UPPER = 121 };

static void (*sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                     const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
static void (*ssyrk)(int order, int triangle, int transpose, int n, int k, float alpha, const float *a,
                     int lda, float beta, float *c, int ldc);
// LAPACK by its Fortran name: Debian's OpenBLAS carries it without LAPACKE. The lengths of the two
// character arguments follow, as gfortran passes them.
static void (*dsyevd)(const char *job, const char *triangle, const int *n, double *a, const int *lda,
                      double *w, double *work, const int *work_count, int *integer_work,
                      const int *integer_work_count, int *info, size_t, size_t);
static void (*set_thread_count)(int);
static char *(*get_config)(void);

static char failure[512];
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static bool find(void *library, const char *name, void **function) {
  *function = dlsym(library, name);
  if (*function == NULL)
    snprintf(failure, sizeof failure, "the OpenBLAS found has no %s; install libopenblas0 0.3.13 or newer",
             name);
  return *function != NULL;
}

static void open_library(void) {
  const char *names[] = {"libopenblas.so.0", "libopenblas.so"};
  void *library = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && library == NULL; i++)
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (library == NULL) {
    const char *reason = dlerror();
    snprintf(failure, sizeof failure, "OpenBLAS cannot be opened (%s); install libopenblas0",
             reason ? reason : "no reason given");
    return;
  }
  if (find(library, "cblas_sgemm", (void **)&sgemm) && find(library, "cblas_ssyrk", (void **)&ssyrk) &&
      find(library, "dsyevd_", (void **)&dsyevd) &&
      find(library, "openblas_set_num_threads", (void **)&set_thread_count) &&
      find(library, "openblas_get_config", (void **)&get_config))
    set_thread_count(1);
}

const char *cob_open(void) {
  pthread_once(&opened, open_library);
  return failure[0] ? failure : NULL;
}

// Every call opens the library if nobody has; callers that want an error instead of an end ask cob_open first.
static void need_library(void) {
  const char *problem = cob_open();
  if (problem == NULL) return;
  fprintf(stderr, "%s\n", problem);
  abort();
}

const char *cob_version(void) {
  need_library();
  return get_config();
}

void cob_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a,
               int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  need_library();
  sgemm(ROW_MAJOR, transpose_a ? TRANSPOSE : NO_TRANSPOSE, transpose_b ? TRANSPOSE : NO_TRANSPOSE, m, n,
        k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void cob_ssyrk_transposed(int n, int k, float alpha, const float *a, int lda, float *c, int ldc) {
  need_library();
  ssyrk(ROW_MAJOR, UPPER, TRANSPOSE, n, k, alpha, a, lda, 1.0f, c, ldc);
}

int cob_dsyevd(int n, double *matrix, double *values) {
  need_library();
  // A symmetric matrix is its own transpose, so Fortran's column eigenvectors are our rows.
  int info = 0, query = -1, integer_count = 0;
  double best = 0;
  dsyevd("V", "U", &n, matrix, &n, values, &best, &query, &integer_count, &query, &info, 1, 1);
  if (info != 0) return info;
  int count = (int)best;
  double *work = malloc(sizeof *work * (size_t)count);
  int *integers = malloc(sizeof *integers * (size_t)integer_count);
  info = -1000;
  if (work != NULL && integers != NULL)
    dsyevd("V", "U", &n, matrix, &n, values, work, &count, integers, &integer_count, &info, 1, 1);
  free(work);
  free(integers);
  return info;
}
