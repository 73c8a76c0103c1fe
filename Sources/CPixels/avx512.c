// Four taps at a time with VNNI's products of unsigned and signed bytes: a 23-bit weight is three signed bytes,
// so that three products give the exact sum.

#include "passes.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)

/// The words of a group of four taps: the low, middle and high digits of each.
enum { GROUP_WORDS = 3 };

static void pack(axis_weights *axis) {
  for (size_t i = 0; i < axis->count; i++) {
    const int32_t *weights = axis->weights + i * axis->stride;
    int32_t *packed = axis->packed + i * axis->stride;
    for (size_t group = 0; group < axis->stride / 4; group++) {
      int8_t digits[GROUP_WORDS][4];
      for (size_t j = 0; j < 4; j++) {
        int32_t weight = weights[group * 4 + j];
        digits[0][j] = (int8_t)weight;
        weight = (weight - digits[0][j]) >> 8;
        digits[1][j] = (int8_t)weight;
        weight = (weight - digits[1][j]) >> 8;
        digits[2][j] = (int8_t)weight;
      }
      memcpy(packed + group * GROUP_WORDS, digits, sizeof digits);
    }
  }
}

typedef struct {
  __m512i low, middle, high;
} digit_sums;

static inline void add_products(digit_sums *sums, __m512i bytes, const int32_t *digits) {
  sums->low = _mm512_dpbusd_epi32(sums->low, bytes, _mm512_set1_epi32(digits[0]));
  sums->middle = _mm512_dpbusd_epi32(sums->middle, bytes, _mm512_set1_epi32(digits[1]));
  sums->high = _mm512_dpbusd_epi32(sums->high, bytes, _mm512_set1_epi32(digits[2]));
}

static inline digit_sums started(void) {
  return (digit_sums){
      _mm512_set1_epi32(1 << (WEIGHT_BITS - 1)), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

/// The sum of the digits at their places, without its fraction.
static inline __m512i whole(digit_sums sums) {
  __m512i upper = _mm512_add_epi32(_mm512_slli_epi32(sums.high, 8), sums.middle);
  __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(upper, 8), sums.low);
  return _mm512_srai_epi32(sum, WEIGHT_BITS);
}

/// Four vectors of sums to one of bytes, saturated; in each 128-bit lane a, b, c and d follow each other.
static inline __m512i saturated(__m512i a, __m512i b, __m512i c, __m512i d) {
  return _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
}

/// One pixel of four rows: red, green and blue of each row in a 128-bit lane.
static inline __m512i pixel_of_rows(
    const uint8_t *const rows[4], const axis_weights *axis, size_t x) {
  // Four packed pixels to the bytes of red, of green and of blue.
  const __m512i by_colour = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
  digit_sums sums = started();
  const int32_t *digits = axis->packed + x * axis->stride;
  size_t offset = axis->start[x] * 3;
  for (size_t j = 0; j < axis->length[x]; j += 4, offset += 12, digits += GROUP_WORDS) {
    __m512i bytes = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(rows[0] + offset)));
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128((const void *)(rows[1] + offset)), 1);
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128((const void *)(rows[2] + offset)), 2);
    bytes = _mm512_inserti32x4(bytes, _mm_loadu_si128((const void *)(rows[3] + offset)), 3);
    add_products(&sums, _mm512_shuffle_epi8(bytes, by_colour), digits);
  }
  return whole(sums);
}

static void four_rows(
    const uint8_t *const rows[4], size_t count, const axis_weights *axis, uint8_t *out,
    size_t out_stride) {
  const __m512i without_gaps = _mm512_broadcast_i32x4(
      _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const size_t last = axis->count - 1;
  for (size_t x = 0; x <= last; x += 4) {
    const size_t pixels = axis->count - x < 4 ? axis->count - x : 4;
    __m512i bytes = saturated(
        pixel_of_rows(rows, axis, x), pixel_of_rows(rows, axis, x + 1 < last ? x + 1 : last),
        pixel_of_rows(rows, axis, x + 2 < last ? x + 2 : last),
        pixel_of_rows(rows, axis, x + 3 < last ? x + 3 : last));
    bytes = _mm512_shuffle_epi8(bytes, without_gaps);
    const __mmask16 mask = (__mmask16)((1u << (3 * pixels)) - 1);
    uint8_t *to = out + 3 * x;
    _mm_mask_storeu_epi8(to, mask, _mm512_castsi512_si128(bytes));
    if (count > 1) _mm_mask_storeu_epi8(to + out_stride, mask, _mm512_extracti32x4_epi32(bytes, 1));
    if (count > 2)
      _mm_mask_storeu_epi8(to + 2 * out_stride, mask, _mm512_extracti32x4_epi32(bytes, 2));
    if (count > 3)
      _mm_mask_storeu_epi8(to + 3 * out_stride, mask, _mm512_extracti32x4_epi32(bytes, 3));
  }
}

static int resample_rows(
    const uint8_t *in, size_t in_stride, size_t in_bytes, const uint8_t *in_end, size_t rows,
    const axis_weights *axis, uint8_t *out, size_t out_stride) {
  const size_t touched = touched_bytes(axis);
  uint8_t *copy = NULL;
  for (size_t y = 0; y < rows; y += 4) {
    const size_t count = rows - y < 4 ? rows - y : 4;
    const uint8_t *four[4];
    for (size_t i = 0; i < 4; i++) four[i] = in + (y + (i < count ? i : count - 1)) * in_stride;
    if ((size_t)(in_end - four[3]) < touched) {  // the last rows, with room behind them
      const size_t room = in_bytes > touched ? in_bytes : touched;
      if (!copy && !(copy = calloc(4, room))) return -1;
      for (size_t i = 0; i < 4; i++) {
        memcpy(copy + i * room, four[i], in_bytes);
        four[i] = copy + i * room;
      }
    }
    four_rows(four, count, axis, out + y * out_stride, out_stride);
  }
  free(copy);
  return 0;
}

static void resample_columns(
    const uint8_t *in, size_t row_bytes, const axis_weights *axis, uint8_t *out) {
  for (size_t y = 0; y < axis->count; y++, out += row_bytes) {
    const uint8_t *top = in + axis->start[y] * row_bytes;
    const size_t length = axis->length[y];
    for (size_t x = 0; x < row_bytes; x += 64) {
      const __mmask64 mask = row_bytes - x < 64 ? (1ull << (row_bytes - x)) - 1 : ~0ull;
      const int32_t *digits = axis->packed + y * axis->stride;
      digit_sums sums[4] = {started(), started(), started(), started()};
      for (size_t j = 0; j < length; j += 4, digits += GROUP_WORDS) {
        const uint8_t *row = top + j * row_bytes + x;
        const size_t left = length - j;  // beyond the last tap the weights are zero
        const __m512i zero = _mm512_setzero_si512();
        __m512i a = _mm512_maskz_loadu_epi8(mask, row);
        __m512i b = left > 1 ? _mm512_maskz_loadu_epi8(mask, row + row_bytes) : zero;
        __m512i c = left > 2 ? _mm512_maskz_loadu_epi8(mask, row + 2 * row_bytes) : zero;
        __m512i d = left > 3 ? _mm512_maskz_loadu_epi8(mask, row + 3 * row_bytes) : zero;
        __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
        __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
        add_products(&sums[0], _mm512_unpacklo_epi16(ab_low, cd_low), digits);
        add_products(&sums[1], _mm512_unpackhi_epi16(ab_low, cd_low), digits);
        add_products(&sums[2], _mm512_unpacklo_epi16(ab_high, cd_high), digits);
        add_products(&sums[3], _mm512_unpackhi_epi16(ab_high, cd_high), digits);
      }
      __m512i bytes =
          saturated(whole(sums[0]), whole(sums[1]), whole(sums[2]), whole(sums[3]));
      _mm512_mask_storeu_epi8(out + x, mask, bytes);
    }
  }
}

const resampler avx512_resampler = {pack, resample_rows, resample_columns};

#pragma clang attribute pop

#endif
