// Two taps at a time with products of 16-bit words: a 23-bit weight is an upper and a lower word, so that two
// products give the exact sum.

#include "passes.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

enum { LOWER_BITS = 12 };

/// Two taps are two words of `packed`: their lower parts, then their upper parts.
static void pack(axis_weights *axis) {
  for (size_t i = 0; i < axis->count * axis->stride; i += 2) {
    int16_t parts[4];
    for (size_t j = 0; j < 2; j++) {
      const int32_t weight = axis->weights[i + j];
      const int32_t upper = weight >> LOWER_BITS;
      parts[j] = (int16_t)(weight - upper * (1 << LOWER_BITS));
      parts[2 + j] = (int16_t)upper;
    }
    memcpy(axis->packed + i, parts, sizeof parts);
  }
}

typedef struct {
  __m256i lower, upper;
} part_sums;

static inline void add_products(part_sums *sums, __m256i words, const int32_t *parts) {
  sums->lower =
      _mm256_add_epi32(sums->lower, _mm256_madd_epi16(words, _mm256_set1_epi32(parts[0])));
  sums->upper =
      _mm256_add_epi32(sums->upper, _mm256_madd_epi16(words, _mm256_set1_epi32(parts[1])));
}

static inline part_sums started(void) {
  return (part_sums){_mm256_set1_epi32(1 << (WEIGHT_BITS - 1)), _mm256_setzero_si256()};
}

static inline __m256i whole(part_sums sums) {
  __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(sums.upper, LOWER_BITS), sums.lower);
  return _mm256_srai_epi32(sum, WEIGHT_BITS);
}

/// Four vectors of sums to one of bytes, saturated; in each 128-bit lane a, b, c and d follow each other.
static inline __m256i saturated(__m256i a, __m256i b, __m256i c, __m256i d) {
  return _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
}

/// One pixel of two rows: red, green and blue of each row in a 128-bit lane.
static inline __m256i pixel_of_rows(
    const uint8_t *const rows[2], const axis_weights *axis, size_t x) {
  // Of four packed pixels, the words of the first two and of the last two, by colour.
  const __m256i first_two = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i last_two = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  part_sums sums = started();
  const int32_t *parts = axis->packed + x * axis->stride;
  size_t offset = axis->start[x] * 3;
  for (size_t j = 0; j < axis->length[x]; j += 4, offset += 12, parts += 4) {
    __m256i bytes = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const void *)(rows[0] + offset))),
        _mm_loadu_si128((const void *)(rows[1] + offset)), 1);
    add_products(&sums, _mm256_shuffle_epi8(bytes, first_two), parts);
    add_products(&sums, _mm256_shuffle_epi8(bytes, last_two), parts + 2);
  }
  return whole(sums);
}

static void two_rows(
    const uint8_t *const rows[2], size_t count, const axis_weights *axis, uint8_t *out,
    size_t out_stride) {
  const __m256i without_gaps = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  const size_t last = axis->count - 1;
  for (size_t x = 0; x <= last; x += 4) {
    const size_t pixels = axis->count - x < 4 ? axis->count - x : 4;
    __m256i bytes = saturated(
        pixel_of_rows(rows, axis, x), pixel_of_rows(rows, axis, x + 1 < last ? x + 1 : last),
        pixel_of_rows(rows, axis, x + 2 < last ? x + 2 : last),
        pixel_of_rows(rows, axis, x + 3 < last ? x + 3 : last));
    bytes = _mm256_shuffle_epi8(bytes, without_gaps);
    uint8_t four[32];
    _mm256_storeu_si256((void *)four, bytes);
    memcpy(out + 3 * x, four, 3 * pixels);
    if (count > 1) memcpy(out + out_stride + 3 * x, four + 16, 3 * pixels);
  }
}

static int resample_rows(
    const uint8_t *in, size_t in_stride, size_t in_bytes, const uint8_t *in_end, size_t rows,
    const axis_weights *axis, uint8_t *out, size_t out_stride) {
  const size_t touched = touched_bytes(axis);
  uint8_t *copy = NULL;
  for (size_t y = 0; y < rows; y += 2) {
    const size_t count = rows - y < 2 ? 1 : 2;
    const uint8_t *two[2] = {in + y * in_stride, in + (y + count - 1) * in_stride};
    if ((size_t)(in_end - two[1]) < touched) {  // the last rows, with room behind them
      const size_t room = in_bytes > touched ? in_bytes : touched;
      if (!copy && !(copy = calloc(2, room))) return -1;
      for (size_t i = 0; i < 2; i++) {
        memcpy(copy + i * room, two[i], in_bytes);
        two[i] = copy + i * room;
      }
    }
    two_rows(two, count, axis, out + y * out_stride, out_stride);
  }
  free(copy);
  return 0;
}

/// Sixteen bytes of a row as words; fewer where the row ends before.
static inline __m256i words_at(const uint8_t *row, size_t count) {
  if (count >= 16) return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)row));
  uint8_t some[16] = {0};
  memcpy(some, row, count);
  return _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)some));
}

static void resample_columns(
    const uint8_t *in, size_t row_bytes, const axis_weights *axis, uint8_t *out) {
  for (size_t y = 0; y < axis->count; y++, out += row_bytes) {
    const uint8_t *top = in + axis->start[y] * row_bytes;
    const size_t length = axis->length[y];
    for (size_t x = 0; x < row_bytes; x += 16) {
      const size_t count = row_bytes - x;
      const int32_t *parts = axis->packed + y * axis->stride;
      part_sums low = started(), high = started();
      for (size_t j = 0; j < length; j += 2, parts += 2) {
        const uint8_t *row = top + j * row_bytes + x;
        __m256i a = words_at(row, count);
        __m256i b = j + 1 < length ? words_at(row + row_bytes, count) : _mm256_setzero_si256();
        add_products(&low, _mm256_unpacklo_epi16(a, b), parts);
        add_products(&high, _mm256_unpackhi_epi16(a, b), parts);
      }
      // Lanes hold words 0-3 and 8-11, then 4-7 and 12-15: packing them puts them in order again.
      __m256i words = _mm256_packs_epi32(whole(low), whole(high));
      __m128i bytes = _mm_packus_epi16(
          _mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
      if (count >= 16) {
        _mm_storeu_si128((void *)(out + x), bytes);
      } else {
        uint8_t some[16];
        _mm_storeu_si128((void *)some, bytes);
        memcpy(out + x, some, count);
      }
    }
  }
}

const resampler avx2_resampler = {pack, resample_rows, resample_columns};

#pragma clang attribute pop

size_t touched_bytes(const axis_weights *axis) {
  size_t most = 0;
  for (size_t i = 0; i < axis->count; i++) {
    size_t groups = (axis->length[i] + 3) / 4;
    size_t end = axis->start[i] * 3 + groups * 12 + 4;
    most = end > most ? end : most;
  }
  return most;
}

#endif
