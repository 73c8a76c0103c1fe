#include "weights.h"

#include <math.h>
#include <stdlib.h>

static double sinc(double x) {
  if (x == 0) return 1;
  x *= M_PI;
  return sin(x) / x;
}

static double support_of(cpixels_filter filter) {
  switch (filter) {
    case CPIXELS_LANCZOS: return 3;
    case CPIXELS_BICUBIC: return 2;
    case CPIXELS_BILINEAR:
    case CPIXELS_HAMMING: return 1;
    case CPIXELS_BOX:
    case CPIXELS_NEAREST: return 0.5;
  }
  return 2;
}

static double kernel(cpixels_filter filter, double x) {
  const double a = -0.5;
  switch (filter) {
    case CPIXELS_LANCZOS: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    case CPIXELS_BICUBIC:
      x = fabs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
      return 0;
    case CPIXELS_BILINEAR:
      x = fabs(x);
      return x < 1 ? 1 - x : 0;
    case CPIXELS_HAMMING:
      x = fabs(x);
      if (x == 0) return 1;
      return x >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * cos(M_PI * x));
    case CPIXELS_BOX:
    case CPIXELS_NEAREST: return x > -0.5 && x <= 0.5 ? 1 : 0;
  }
  return 0;
}

int make_weights(
    axis_weights *axis, size_t in_size, size_t out_size, size_t first, size_t count,
    cpixels_filter filter) {
  const double scale = (double)in_size / (double)out_size;
  const double widening = scale < 1 ? 1 : scale;  // the filter grows when shrinking: antialiasing
  const double support = support_of(filter) * widening;
  const double per_sample = 1 / widening;
  const size_t most = (size_t)ceil(support) * 2 + 1;

  axis->count = count;
  axis->stride = (most + 3) / 4 * 4;
  axis->start = malloc(count * sizeof *axis->start);
  axis->length = malloc(count * sizeof *axis->length);
  axis->weights = calloc(count * axis->stride, sizeof *axis->weights);
  axis->packed = malloc(count * axis->stride * sizeof *axis->packed);
  double *exact = malloc(most * sizeof *exact);
  if (!axis->start || !axis->length || !axis->weights || !axis->packed || !exact) {
    free(exact);
    free_weights(axis);
    return -1;
  }
  for (size_t i = 0; i < count; i++) {
    const double centre = ((double)(first + i) + 0.5) * scale;
    double low = centre - support + 0.5, high = centre + support + 0.5;
    size_t start = low < 0 ? 0 : (size_t)low;
    size_t end = high > (double)in_size ? in_size : (size_t)high;
    size_t length = end - start;
    double total = 0;
    for (size_t j = 0; j < length; j++) {
      exact[j] = kernel(filter, ((double)(j + start) - centre + 0.5) * per_sample);
      total += exact[j];
    }
    int32_t *weights = axis->weights + i * axis->stride;
    for (size_t j = 0; j < length; j++) {
      double weight = (total != 0 ? exact[j] / total : exact[j]) * (1 << WEIGHT_BITS);
      weights[j] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    axis->start[i] = start;
    axis->length[i] = length;
  }
  free(exact);
  return 0;
}

void free_weights(axis_weights *axis) {
  free(axis->start);
  free(axis->length);
  free(axis->weights);
  free(axis->packed);
  *axis = (axis_weights){0};
}
