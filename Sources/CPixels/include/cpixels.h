// Vectorised C on 8-bit RGB pixels. Rows are packed unless a stride is given; every function may be called
// from any thread.
#ifndef CPIXELS_H
#define CPIXELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Resampling filters, numbered as `resample` in preprocessor_config.json.
typedef enum {
  CPIXELS_NEAREST = 0,
  CPIXELS_LANCZOS = 1,
  CPIXELS_BILINEAR = 2,
  CPIXELS_BICUBIC = 3,
  CPIXELS_BOX = 4,
  CPIXELS_HAMMING = 5,
} cpixels_filter;

/// Which instructions the kernels may use. All give the same bytes.
typedef enum {
  CPIXELS_PORTABLE = 0,
  CPIXELS_AVX2 = 1,
  CPIXELS_AVX512_VNNI = 2,
} cpixels_instructions;

/// The best this processor has.
cpixels_instructions cpixels_best_instructions(void);

typedef struct {
  size_t left;
  size_t top;
  size_t width;
  size_t height;
} cpixels_window;

/// Resizes interleaved RGB from `width` x `height` to `new_width` x `new_height` and writes only `window` of
/// the result, packed, to `out`. Bit-equal to Pillow's 8-bit two-pass resampling, pass order of Pillow 13
/// included. Sizes are at least 1 and the window lies inside the result. Returns 0, or -1 where memory ran out.
int cpixels_resize(
    const uint8_t *in, size_t width, size_t height, size_t new_width, size_t new_height,
    cpixels_window window, cpixels_filter filter, cpixels_instructions instructions, uint8_t *out);

/// Interleaved RGB, rows `in_stride` bytes apart, to three planes `plane` bytes apart, rows `out_stride`
/// bytes apart.
void cpixels_to_planes(
    const uint8_t *in, size_t in_stride, size_t width, size_t height, uint8_t *out, size_t plane,
    size_t out_stride);

/// The other way: three packed planes to interleaved RGB, rows `out_stride` bytes apart.
void cpixels_from_planes(
    const uint8_t *in, size_t width, size_t height, uint8_t *out, size_t out_stride);

/// Applies EXIF orientation 1...8 to packed RGB of the stored size; `out` holds as many bytes. Orientations
/// from 5 on exchange width and height.
void cpixels_orient(
    const uint8_t *in, size_t width, size_t height, int orientation, uint8_t *out);

#ifdef __cplusplus
}
#endif

#endif
