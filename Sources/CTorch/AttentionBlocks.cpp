// Scores are held transposed, keys by queries: a softmax' largest value and sum then run down columns, sixteen
// queries a vector, and every product finds its factors as the processor wants them. It multiplies rows (A) with pairs
// of rows interleaved (B), in the matrix unit's tiles (AMX) or, without one, in vectors (AVX512_BF16), so each input is
// packed once for a head in the forms it is used in:
//
//   rows          [T][D]             A, summing over D
//   pairs         [T/2][D][2]        B, summing over T
//   columns       [T/32][D][32]      A, summing over T
//   column pairs  [T/32][D/2][32][2] B, summing over D
//
// T and D are rounded up to 32 with zeros. All sums are fp32; weights and their derivatives enter the products
// as bf16.

#include "AttentionBlocks.h"
#include "Instructions.h"
#include "Parallel.h"
#include "Scratch.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>

#if defined(__x86_64__) && defined(__linux__)

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ctorch {

namespace {

constexpr int64_t edge = block_edge;
// Keys whose scores are held at once forward; keys and queries backward.
constexpr int64_t forward_keys = 256, backward_keys = 128, backward_queries = 256;
constexpr float log2_e = 1.44269504f;

int64_t rounded_up(int64_t count) { return (count + edge - 1) / edge * edge; }

#pragma clang attribute push(__attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), \
                             apply_to = function)

// MARK: Products

struct alignas(64) TileShape {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// What multiplies on the calling thread while this lives: tiles, whose shape it sets, or vectors.
struct Unit {
  const bool has_tiles;

  explicit Unit(bool tiles) : has_tiles(tiles) {
    TileShape shape;
    if (has_tiles) _tile_loadconfig(&shape);
  }
  ~Unit() {
    if (has_tiles) _tile_release();
  }
};

// An operand's place: bytes from row to row, and from one sum of 32 to the next.
struct Operand {
  const void *data;
  int64_t pitch, step;
};

template <bool adding> inline void multiply_in_tiles(Operand a, Operand b, float *c, int64_t c_pitch, int64_t steps) {
  float *lower = c + 16 * c_pitch;
  const int64_t pitch = c_pitch * 4;
  if constexpr (adding) {
    _tile_loadd(0, c, pitch);
    _tile_loadd(1, c + 16, pitch);
    _tile_loadd(2, lower, pitch);
    _tile_loadd(3, lower + 16, pitch);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const char *left = static_cast<const char *>(a.data), *right = static_cast<const char *>(b.data);
  for (int64_t i = 0; i < steps; i++, left += a.step, right += b.step) {
    _tile_loadd(4, left, a.pitch);
    _tile_loadd(6, right, b.pitch);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + 64, b.pitch);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + 16 * a.pitch, a.pitch);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, pitch);
  _tile_stored(1, c + 16, pitch);
  _tile_stored(2, lower, pitch);
  _tile_stored(3, lower + 16, pitch);
}

template <bool adding> inline void multiply_in_vectors(Operand a, Operand b, float *c, int64_t c_pitch, int64_t steps) {
  constexpr int together = 8;
  for (int64_t m = 0; m < edge; m += together, c += together * c_pitch) {
    __m512 sum[together][2];
    for (int r = 0; r < together; r++) {
      for (int v = 0; v < 2; v++) sum[r][v] = adding ? _mm512_loadu_ps(c + r * c_pitch + v * 16) : _mm512_setzero_ps();
    }
    const char *left = static_cast<const char *>(a.data) + m * a.pitch, *right = static_cast<const char *>(b.data);
    for (int64_t i = 0; i < steps; i++, left += a.step, right += b.step) {
      for (int64_t pair = 0; pair < 16; pair++) {
        const char *row = right + pair * b.pitch;
        const auto first = reinterpret_cast<__m512bh>(_mm512_loadu_si512(row));
        const auto second = reinterpret_cast<__m512bh>(_mm512_loadu_si512(row + 64));
        for (int r = 0; r < together; r++) {
          int32_t both;
          std::memcpy(&both, left + r * a.pitch + pair * 4, sizeof both);
          const auto numbers = reinterpret_cast<__m512bh>(_mm512_set1_epi32(both));
          sum[r][0] = _mm512_dpbf16_ps(sum[r][0], numbers, first);
          sum[r][1] = _mm512_dpbf16_ps(sum[r][1], numbers, second);
        }
      }
    }
    for (int r = 0; r < together; r++) {
      for (int v = 0; v < 2; v++) _mm512_storeu_ps(c + r * c_pitch + v * 16, sum[r][v]);
    }
  }
}

// c [32][32] (+)= sum over `steps` of a's 32 rows with b's 16 pairs of rows.
template <bool adding>
inline void multiply(const Unit &unit, Operand a, Operand b, float *c, int64_t c_pitch, int64_t steps) {
  if (unit.has_tiles) multiply_in_tiles<adding>(a, b, c, c_pitch, steps);
  else multiply_in_vectors<adding>(a, b, c, c_pitch, steps);
}

// MARK: Packing

// 16 by 16 elements of 32 bits.
inline void transpose16(const void *from, int64_t from_pitch, __m512i out[16]) {
  const char *in = static_cast<const char *>(from);
  __m512i r[16], t[16];
  for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(in + i * from_pitch);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    out[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    out[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    out[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    out[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

inline void transpose16(const void *from, int64_t from_pitch, void *to, int64_t to_pitch) {
  __m512i out[16];
  transpose16(from, from_pitch, out);
  char *place = static_cast<char *>(to);
  for (int i = 0; i < 16; i++) _mm512_storeu_si512(place + i * to_pitch, out[i]);
}

void pack_rows(const uint16_t *from, int64_t stride, int64_t count, int64_t width, uint16_t *to, int64_t count_up,
               int64_t width_up) {
  const __mmask32 last = width == width_up ? ~__mmask32{0} : (__mmask32{1} << (width % edge)) - 1;
  for (int64_t t = 0; t < count; t++, from += stride, to += width_up) {
    for (int64_t i = 0; i < width_up; i += edge) {
      const __mmask32 there = i + edge < width_up ? ~__mmask32{0} : last;
      _mm512_storeu_si512(to + i, _mm512_maskz_loadu_epi16(there, from + i));
    }
  }
  std::memset(to, 0, static_cast<size_t>((count_up - count) * width_up) * 2);
}

void pack_pairs(const uint16_t *rows, int64_t count, int64_t width, uint16_t *to) {
  alignas(64) uint16_t order[2][32];
  for (int i = 0; i < 32; i++) {
    order[0][i] = static_cast<uint16_t>((i & 1) * 32 + i / 2);
    order[1][i] = static_cast<uint16_t>((i & 1) * 32 + 16 + i / 2);
  }
  const __m512i first = _mm512_load_si512(order[0]), second = _mm512_load_si512(order[1]);
  for (int64_t t = 0; t < count; t += 2) {
    const uint16_t *upper = rows + t * width, *lower = upper + width;
    for (int64_t i = 0; i < width; i += 32, to += 64) {
      __m512i a = _mm512_loadu_si512(upper + i), b = _mm512_loadu_si512(lower + i);
      _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, first, b));
      _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi16(a, second, b));
    }
  }
}

// From pairs.
void pack_columns(const uint16_t *pairs, int64_t count, int64_t width, uint16_t *to) {
  for (int64_t t = 0; t < count; t += edge, to += edge * width) {
    const char *block = reinterpret_cast<const char *>(pairs + t * width);
    for (int64_t i = 0; i < width; i += 16) transpose16(block + i * 4, width * 4, to + i * edge, edge * 2);
  }
}

// From rows.
void pack_column_pairs(const uint16_t *rows, int64_t count, int64_t width, uint16_t *to) {
  for (int64_t t = 0; t < count; t += edge, to += edge * width) {
    const char *block = reinterpret_cast<const char *>(rows + t * width);
    char *place = reinterpret_cast<char *>(to);
    for (int64_t i = 0; i < width / 2; i += 16) {
      transpose16(block + i * 4, width * 2, place + i * edge * 4, edge * 4);
      transpose16(block + 16 * width * 2 + i * 4, width * 2, place + i * edge * 4 + 64, edge * 4);
    }
  }
}

inline void store_bf16(uint16_t *to, __m512 values, int64_t count) {
  __m256i narrow = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values));
  if (count >= 16) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), narrow);
  } else if (count > 0) {
    _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), narrow);
  }
}

// fp32 columns [width][32] of at most 32 rows, each multiplied by its own factor, to bf16 rows.
void unpack_columns(const float *columns, const float *factors, int64_t rows, int64_t width, uint16_t *to,
                    int64_t stride) {
  for (int64_t half = 0; half < std::min<int64_t>(rows, edge); half += 16) {
    for (int64_t i = 0; i < width; i += 16) {
      __m512i turned[16];
      transpose16(columns + i * edge + half, edge * 4, turned);
      for (int64_t t = 0; t < std::min<int64_t>(16, rows - half); t++) {
        __m512 scaled = _mm512_mul_ps(_mm512_castsi512_ps(turned[t]), _mm512_set1_ps(factors[half + t]));
        store_bf16(to + (half + t) * stride + i, scaled, width - i);
      }
    }
  }
}

void unpack_rows(const float *rows, int64_t width_up, float factor, int64_t count, int64_t width, uint16_t *to,
                 int64_t stride) {
  for (int64_t t = 0; t < count; t++, rows += width_up, to += stride) {
    for (int64_t i = 0; i < width; i += 16) {
      store_bf16(to + i, _mm512_mul_ps(_mm512_loadu_ps(rows + i), _mm512_set1_ps(factor)), width - i);
    }
  }
}

// MARK: Elementwise

// 2^x to 2e-6; 0 below -150.
inline __m512 power_of_two(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-150));
  __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 rest = _mm512_sub_ps(x, whole);
  __m512 sum = _mm512_set1_ps(1.339887440e-3f);
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(9.618437357e-3f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(5.550332548e-2f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(2.402264791e-1f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(6.931472028e-1f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1));
  return _mm512_scalef_ps(sum, whole);
}

inline __m512 sigmoid(__m512 x) {
  __m512 one = _mm512_set1_ps(1);
  __m512 below = _mm512_add_ps(one, power_of_two(_mm512_min_ps(_mm512_mul_ps(x, _mm512_set1_ps(-log2_e)),
                                                               _mm512_set1_ps(126))));
  __m512 guess = _mm512_rcp14_ps(below);
  return _mm512_mul_ps(guess, _mm512_fnmadd_ps(below, guess, _mm512_set1_ps(2)));
}

// Of the sixteen queries from `first`, those that see `key`.
inline __mmask16 seen_by(int64_t first, int64_t key) {
  int64_t hidden = key - first;
  return hidden <= 0 ? 0xffff : hidden >= 16 ? 0 : static_cast<__mmask16>(0xffffu << hidden);
}

const __m512i &interleaving() {
  alignas(64) static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                 8,  24, 9,  25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return *reinterpret_cast<const __m512i *>(order);
}

// Two keys' weights (or derivatives) of sixteen queries as pairs.
inline __m512i both(__m512 upper, __m512 lower) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(lower, upper));
}

// MARK: Forward

struct Running {
  __m512 largest[2], sum[2];
};

// Scores [count][32] to weights in pairs; `running` is brought up to date and columns of what was summed before
// are multiplied by `shrink`.
void softmax_block(float *scores, const AttentionProblem &p, const float *bias, int64_t bias_pitch, int64_t key,
                   int64_t count, int64_t count_up, int64_t query, bool diagonal, Running &running, uint16_t *pairs,
                   float *shrink) {
  const __m512 scale = _mm512_set1_ps(p.scale * log2_e);
  const __m512 lowest = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  const __m512i order = interleaving();
  for (int half = 0; half < 2; half++) {
    float *column = scores + half * 16;
    const float *added = bias ? bias + half * 16 : nullptr;
    __m512 largest = running.largest[half];
    if (added || diagonal) {
      for (int64_t i = 0; i < count; i++) {
        __m512 s = _mm512_mul_ps(_mm512_loadu_ps(column + i * edge), scale);
        if (added) s = _mm512_add_ps(s, _mm512_loadu_ps(added + i * bias_pitch));
        if (diagonal) s = _mm512_mask_blend_ps(seen_by(query + half * 16, key + i), lowest, s);
        _mm512_storeu_ps(column + i * edge, s);
        largest = _mm512_max_ps(largest, s);
      }
    } else {
      // Scores are scaled where they are used; a negative scale turns the order round.
      __m512 sign = _mm512_set1_ps(p.scale < 0 ? -1.0f : 1.0f), found = lowest, other = lowest;
      int64_t i = 0;
      for (; i + 2 <= count; i += 2) {
        found = _mm512_max_ps(found, _mm512_mul_ps(sign, _mm512_loadu_ps(column + i * edge)));
        other = _mm512_max_ps(other, _mm512_mul_ps(sign, _mm512_loadu_ps(column + (i + 1) * edge)));
      }
      if (i < count) found = _mm512_max_ps(found, _mm512_mul_ps(sign, _mm512_loadu_ps(column + i * edge)));
      found = _mm512_mul_ps(sign, _mm512_max_ps(found, other));
      largest = _mm512_max_ps(largest, _mm512_mul_ps(found, scale));
    }
    // A query that has seen nothing yet has no largest score to subtract.
    __mmask16 blind = _mm512_cmp_ps_mask(largest, lowest, _CMP_EQ_OQ);
    __m512 shift = _mm512_mask_blend_ps(blind, largest, _mm512_setzero_ps());
    __m512 factor = power_of_two(_mm512_sub_ps(running.largest[half], shift));
    factor = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(running.largest[half], lowest, _CMP_EQ_OQ), factor,
                                  _mm512_setzero_ps());
    _mm512_storeu_ps(shrink + half * 16, factor);
    __m512 sum = _mm512_setzero_ps(), sum2 = _mm512_setzero_ps();
    const __m512 again = added || diagonal ? _mm512_set1_ps(1) : scale;
    int64_t i = 0;
    uint16_t *to = pairs + half * 32;
    for (; i + 2 <= count; i += 2) {
      __m512 a = power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(column + i * edge), again, shift));
      __m512 b = power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(column + (i + 1) * edge), again, shift));
      sum = _mm512_add_ps(sum, a);
      sum2 = _mm512_add_ps(sum2, b);
      _mm512_storeu_si512(to + i * edge, _mm512_permutexvar_epi16(order, both(a, b)));
    }
    if (i < count) {
      __m512 a = power_of_two(_mm512_fmsub_ps(_mm512_loadu_ps(column + i * edge), again, shift));
      sum = _mm512_add_ps(sum, a);
      _mm512_storeu_si512(to + i * edge, _mm512_permutexvar_epi16(order, both(a, _mm512_setzero_ps())));
      i += 2;
    }
    for (; i < count_up; i += 2) _mm512_storeu_si512(to + i * edge, _mm512_setzero_si512());
    running.sum[half] = _mm512_fmadd_ps(running.sum[half], factor, _mm512_add_ps(sum, sum2));
    running.largest[half] = largest;
  }
}

void silu_block(const float *scores, const AttentionProblem &p, int64_t count_up, uint16_t *pairs) {
  const __m512 scale = _mm512_set1_ps(p.scale);
  const __m512i order = interleaving();
  for (int64_t i = 0; i < count_up; i += 2) {
    for (int half = 0; half < 2; half++) {
      __m512 a = _mm512_mul_ps(_mm512_loadu_ps(scores + i * edge + half * 16), scale);
      __m512 b = _mm512_mul_ps(_mm512_loadu_ps(scores + (i + 1) * edge + half * 16), scale);
      a = _mm512_mul_ps(a, sigmoid(a));
      b = _mm512_mul_ps(b, sigmoid(b));
      _mm512_storeu_si512(pairs + i * edge + half * 32, _mm512_permutexvar_epi16(order, both(a, b)));
    }
  }
}

// Blocks of 32 queries `first` ..< `last` of all heads that share key head `shared`.
void forward_task(const AttentionProblem &p, const HeadsView &out, float *sums, bool has_tiles, int64_t b,
                  int64_t shared, int64_t first, int64_t last) {
  const int64_t width = rounded_up(p.width), depth = rounded_up(p.depth), keys = rounded_up(p.keys);
  const int64_t rows_kept = p.causal ? std::min(keys, last * edge) : keys;
  const int64_t bias_pitch = rounded_up(p.queries);
  Scratch scratch(2 * rows_kept * (width + 3 * depth) + edge * (8 * width + 4 * depth) + forward_keys * edge * 6 +
                  4096);
  auto *key = scratch.take<uint16_t>(rows_kept * width);
  auto *value = scratch.take<uint16_t>(rows_kept * depth);
  auto *value_rows = scratch.take<uint16_t>(rows_kept * depth);
  auto *value_pairs = scratch.take<uint16_t>(rows_kept * depth);
  auto *query_rows = scratch.take<uint16_t>(edge * width);
  auto *query = scratch.take<uint16_t>(edge * width);
  auto *scores = scratch.take<float>(forward_keys * edge);
  auto *pairs = scratch.take<uint16_t>(forward_keys * edge);
  auto *result = scratch.take<float>(edge * depth);
  auto *factors = scratch.take<float>(edge);

  const int64_t real = std::min(p.keys, rows_kept);
  pack_rows(p.key.at<uint16_t>(b, shared), p.key.row, real, p.width, key, rows_kept, width);
  pack_rows(p.value.at<uint16_t>(b, shared), p.value.row, real, p.depth, value_rows, rows_kept, depth);
  pack_pairs(value_rows, rows_kept, depth, value_pairs);
  pack_columns(value_pairs, rows_kept, depth, value);

  const Unit unit(has_tiles);
  const int64_t group = p.heads / p.shared;
  for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
    for (int64_t block = first; block < last; block++) {
      const int64_t start = block * edge, rows = std::min(edge, p.queries - start);
      pack_rows(p.query.at<uint16_t>(b, head) + start * p.query.row, p.query.row, rows, p.width, query_rows, edge, width);
      pack_column_pairs(query_rows, edge, width, query);
      Running running;
      for (int half = 0; half < 2; half++) {
        running.largest[half] = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
        running.sum[half] = _mm512_setzero_ps();
      }
      const int64_t end = p.causal ? std::min(keys, start + edge) : keys;
      for (int64_t from = 0; from < end; from += forward_keys) {
        const int64_t count_up = std::min(forward_keys, end - from), count = std::min(count_up, p.keys - from);
        for (int64_t k = 0; k < count_up; k += edge) {
          multiply<false>(unit, {key + (from + k) * width, width * 2, 64}, {query, edge * 4, edge * 64}, scores + k * edge,
                          edge, width / 32);
        }
        if (p.weighting == Weighting::softmax) {
          const float *bias = nullptr;
          if (p.bias) bias = p.bias + b * p.bias_batch + head * p.bias_head + from * bias_pitch + start;
          const bool diagonal = p.causal && from + count_up > start;
          softmax_block(scores, p, bias, bias_pitch, from, count, count_up, start, diagonal, running, pairs, factors);
          if (from > 0) {
            for (int64_t i = 0; i < depth * 2; i++) {
              float *place = result + i * 16;
              _mm512_storeu_ps(place, _mm512_mul_ps(_mm512_loadu_ps(place),
                                                    _mm512_loadu_ps(factors + (i & 1) * 16)));
            }
          }
        } else {
          silu_block(scores, p, count_up, pairs);
        }
        for (int64_t i = 0; i < depth; i += edge) {
          Operand a{value + from * depth + i * edge, edge * 2, depth * edge * 2}, w{pairs, edge * 4, edge * 64};
          if (from == 0) multiply<false>(unit, a, w, result + i * edge, edge, count_up / edge);
          else multiply<true>(unit, a, w, result + i * edge, edge, count_up / edge);
        }
      }
      for (int half = 0; half < 2; half++) {
        __m512 factor = _mm512_set1_ps(p.factor);
        if (p.weighting == Weighting::softmax) {
          __mmask16 any = _mm512_cmp_ps_mask(running.sum[half], _mm512_setzero_ps(), _CMP_GT_OQ);
          factor = _mm512_maskz_div_ps(any, _mm512_set1_ps(1), running.sum[half]);
        }
        _mm512_storeu_ps(factors + half * 16, factor);
      }
      unpack_columns(result, factors, rows, p.depth, out.at<uint16_t>(b, head) + start * out.row, out.row);
      if (sums) {
        float largest[edge], sum[edge];
        for (int half = 0; half < 2; half++) {
          _mm512_storeu_ps(largest + half * 16, running.largest[half]);
          _mm512_storeu_ps(sum + half * 16, running.sum[half]);
        }
        float *to = sums + (b * p.heads + head) * p.queries + start;
        for (int64_t i = 0; i < rows; i++) {
          // Infinite where nothing was seen, so that backward finds no weight either.
          to[i] = sum[i] > 0 ? largest[i] + std::log2(sum[i]) : std::numeric_limits<float>::infinity();
        }
      }
    }
  }
}

// MARK: Backward

struct BackwardBlock {
  const float *scores, *incoming;   // [32][32], keys by queries
  const float *sums, *means;        // [32] by query
  const float *bias;                // or null
  int64_t bias_pitch, count;        // keys that there are
  int64_t hidden;                   // for the diagonal block of a causal problem 0, else -1
  uint16_t *weights, *derivatives;  // rows of keys
  int64_t pitch;
  uint16_t *pairs;                  // derivatives
};

template <Weighting weighting, bool whole>
inline void weigh(const AttentionProblem &p, const BackwardBlock &block, int64_t i, int half, __m512 &weight,
                  __m512 &derivative) {
  const float *place = block.scores + i * edge + half * 16;
  __m512 incoming = _mm512_loadu_ps(block.incoming + i * edge + half * 16);
  if constexpr (weighting == Weighting::softmax) {
    __m512 s = _mm512_fmsub_ps(_mm512_loadu_ps(place), _mm512_set1_ps(p.scale * log2_e),
                               _mm512_loadu_ps(block.sums + half * 16));
    if (!whole && block.bias) s = _mm512_add_ps(s, _mm512_loadu_ps(block.bias + i * block.bias_pitch + half * 16));
    weight = power_of_two(s);
    if (!whole && block.hidden >= 0) weight = _mm512_maskz_mov_ps(seen_by(half * 16, i), weight);
    derivative = _mm512_mul_ps(weight, _mm512_sub_ps(incoming, _mm512_loadu_ps(block.means + half * 16)));
  } else {
    __m512 s = _mm512_mul_ps(_mm512_loadu_ps(place), _mm512_set1_ps(p.scale));
    __m512 gate = sigmoid(s);
    weight = _mm512_mul_ps(s, gate);
    // silu' = gate + s gate (1 - gate)
    derivative = _mm512_mul_ps(incoming, _mm512_fmadd_ps(weight, _mm512_sub_ps(_mm512_set1_ps(1), gate), gate));
  }
}

// `whole`: nothing is added to these scores and none is hidden.
template <Weighting weighting, bool whole> void weigh_block(const AttentionProblem &p, const BackwardBlock &block) {
  const __m512i order = interleaving();
  for (int64_t i = 0; i < edge; i += 2) {
    for (int half = 0; half < 2; half++) {
      __m512 w[2], d[2];
      for (int64_t j = 0; j < 2; j++) {
        weigh<weighting, whole>(p, block, i + j, half, w[j], d[j]);
        if (!whole && i + j >= block.count) w[j] = d[j] = _mm512_setzero_ps();
      }
      __m512i weights = both(w[0], w[1]), derivatives = both(d[0], d[1]);
      auto *to = reinterpret_cast<__m256i *>(block.weights + i * block.pitch + half * 16);
      auto *next = reinterpret_cast<__m256i *>(block.weights + (i + 1) * block.pitch + half * 16);
      _mm256_storeu_si256(to, _mm512_castsi512_si256(weights));
      _mm256_storeu_si256(next, _mm512_extracti64x4_epi64(weights, 1));
      to = reinterpret_cast<__m256i *>(block.derivatives + i * block.pitch + half * 16);
      next = reinterpret_cast<__m256i *>(block.derivatives + (i + 1) * block.pitch + half * 16);
      _mm256_storeu_si256(to, _mm512_castsi512_si256(derivatives));
      _mm256_storeu_si256(next, _mm512_extracti64x4_epi64(derivatives, 1));
      _mm512_storeu_si512(block.pairs + i * edge + half * 32, _mm512_permutexvar_epi16(order, derivatives));
    }
  }
}

inline __m512 widened(const uint16_t *from, int64_t count) {
  __mmask16 there = count >= 16 ? 0xffff : static_cast<__mmask16>((1u << count) - 1);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(there, from)), 16));
}

// Sums over the last axis of out * gradient: what each row's softmax takes off its derivatives.
void mean_derivatives(const uint16_t *out, int64_t out_row, const uint16_t *gradient, int64_t gradient_row,
                      int64_t count, int64_t width, float *to) {
  for (int64_t t = 0; t < count; t++, out += out_row, gradient += gradient_row) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += 16) {
      sum = _mm512_fmadd_ps(widened(out + i, width - i), widened(gradient + i, width - i), sum);
    }
    to[t] = _mm512_reduce_add_ps(sum);
  }
}

struct BackwardViews {
  HeadsView out, gradient, query, key, value;
  const float *sums;
  float *partial;  // of the queries' derivatives, [parts][B][H][T up][width up] in columns; null for one part
};

// Blocks of backward_keys `first` ..< `last` for all heads that share key head `shared`.
void backward_task(const AttentionProblem &p, const BackwardViews &views, bool has_tiles, int64_t b, int64_t shared,
                   int64_t part, int64_t first, int64_t last) {
  const int64_t width = rounded_up(p.width), depth = rounded_up(p.depth), queries = rounded_up(p.queries);
  const int64_t from = first * backward_keys, to = std::min(rounded_up(p.keys), last * backward_keys);
  const int64_t keys = to - from, real = std::min(p.keys, to) - from, wider = std::max(width, depth);
  const bool wants_query = views.query.data, wants_key = views.key.data, wants_value = views.value.data;
  const int64_t chunk = std::min(backward_queries, queries);
  Scratch scratch(2 * (keys * (2 * width + depth) + queries * 2 * (width + depth) + std::max(queries, keys) * wider +
                       keys * width + 2 * backward_keys * chunk + backward_keys * edge) +
                  4 * (queries * width + keys * (width + depth) + 2 * queries + 4 * edge * edge) + 4096);
  auto *key = scratch.take<uint16_t>(keys * width);
  auto *key_columns = scratch.take<uint16_t>(keys * width);
  auto *value = scratch.take<uint16_t>(keys * depth);
  auto *query_columns = scratch.take<uint16_t>(queries * width);
  auto *query_pairs = scratch.take<uint16_t>(queries * width);
  auto *gradient_columns = scratch.take<uint16_t>(queries * depth);
  auto *gradient_pairs = scratch.take<uint16_t>(queries * depth);
  auto *rows = scratch.take<uint16_t>(std::max(queries, keys) * wider);
  auto *weights = scratch.take<uint16_t>(backward_keys * chunk);
  auto *derivatives = scratch.take<uint16_t>(backward_keys * chunk);
  auto *pairs = scratch.take<uint16_t>(backward_keys * edge);
  auto *scores = scratch.take<float>(2 * edge * edge);
  auto *incoming = scratch.take<float>(2 * edge * edge);
  auto *sums = scratch.take<float>(queries);
  auto *means = scratch.take<float>(queries);
  auto *own = scratch.take<float>(queries * width);
  auto *key_sum = scratch.take<float>(keys * width);
  auto *value_sum = scratch.take<float>(keys * depth);

  pack_rows(p.key.at<uint16_t>(b, shared) + from * p.key.row, p.key.row, real, p.width, key, keys, width);
  pack_pairs(key, keys, width, rows);
  pack_columns(rows, keys, width, key_columns);
  pack_rows(p.value.at<uint16_t>(b, shared) + from * p.value.row, p.value.row, real, p.depth, value, keys, depth);
  std::memset(key_sum, 0, keys * width * 4);
  std::memset(value_sum, 0, keys * depth * 4);

  const Unit unit(has_tiles);
  const int64_t group = p.heads / p.shared;
  for (int64_t head = shared * group; head < (shared + 1) * group; head++) {
    pack_rows(p.query.at<uint16_t>(b, head), p.query.row, p.queries, p.width, rows, queries, width);
    pack_column_pairs(rows, queries, width, query_columns);
    pack_pairs(rows, queries, width, query_pairs);
    pack_rows(views.gradient.at<uint16_t>(b, head), views.gradient.row, p.queries, p.depth, rows, queries, depth);
    pack_column_pairs(rows, queries, depth, gradient_columns);
    pack_pairs(rows, queries, depth, gradient_pairs);
    if (p.weighting == Weighting::softmax) {
      mean_derivatives(views.out.at<uint16_t>(b, head), views.out.row, views.gradient.at<uint16_t>(b, head), views.gradient.row,
                       p.queries, p.depth, means);
      const float *stored = views.sums + (b * p.heads + head) * p.queries;
      std::copy(stored, stored + p.queries, sums);
      std::fill(sums + p.queries, sums + queries, std::numeric_limits<float>::infinity());
      std::fill(means + p.queries, means + queries, 0.0f);
    }
    float *query_sum = own;
    if (views.partial) query_sum = views.partial + ((part * p.batch + b) * p.heads + head) * queries * width;
    std::memset(query_sum, 0, queries * width * 4);

    for (int64_t block = 0; block < keys; block += backward_keys) {
      const int64_t high = std::min(backward_keys, keys - block);
      const int64_t start = p.causal ? std::min(queries, from + block) / edge * edge : 0;
      for (int64_t left = start; left < queries; left += chunk) {
        const int64_t wide = std::min(chunk, queries - left);
        for (int64_t q = left; q < left + wide; q += edge) {
          // Keys of this block that any of these queries sees.
          const int64_t seen = p.causal ? std::min(high, q + edge - from - block) : high;
          // Products of the next keys run beside the elementwise work on these.
          auto multiply_for = [&](int64_t k) {
            const int64_t key_row = block + k, place = k / edge % 2 * edge * edge;
            multiply<false>(unit, {key + key_row * width, width * 2, 64}, {query_columns + q * width, edge * 4, edge * 64},
                            scores + place, edge, width / 32);
            multiply<false>(unit, {value + key_row * depth, depth * 2, 64},
                            {gradient_columns + q * depth, edge * 4, edge * 64}, incoming + place, edge, depth / 32);
          };
          if (seen > 0) multiply_for(0);
          for (int64_t k = 0; k < seen; k += edge) {
            if (k + edge < seen) multiply_for(k + edge);
            const int64_t key_row = block + k, place = k / edge % 2 * edge * edge;
            BackwardBlock part_of{scores + place, incoming + place, sums + q, means + q, nullptr, queries,
                                  real - key_row, p.causal && from + key_row == q ? 0 : -1,
                                  weights + k * chunk + q - left, derivatives + k * chunk + q - left, chunk,
                                  pairs + k * edge};
            if (p.bias) {
              part_of.bias = p.bias + b * p.bias_batch + head * p.bias_head + (from + key_row) * queries + q;
            }
            const bool whole = !p.bias && part_of.hidden < 0 && part_of.count >= edge;
            if (p.weighting == Weighting::silu) weigh_block<Weighting::silu, false>(p, part_of);
            else if (whole) weigh_block<Weighting::softmax, true>(p, part_of);
            else weigh_block<Weighting::softmax, false>(p, part_of);
          }
          if (!wants_query) continue;
          for (int64_t i = 0; i < width; i += edge) {
            multiply<true>(unit, {key_columns + block * width + i * edge, edge * 2, width * edge * 2},
                           {pairs, edge * 4, edge * 64}, query_sum + q * width + i * edge, edge, seen / edge);
          }
        }
        for (int64_t k = 0; k < high; k += edge) {
          const int64_t begin = p.causal ? std::max(left, from + block + k) : left;
          const int64_t steps = (left + wide - begin) / edge;
          if (steps <= 0) continue;
          if (wants_value) {
            for (int64_t i = 0; i < depth; i += edge) {
              multiply<true>(unit, {weights + k * chunk + begin - left, chunk * 2, 64},
                             {gradient_pairs + begin * depth + i * 2, depth * 4, depth * 64},
                             value_sum + (block + k) * depth + i, depth, steps);
            }
          }
          if (wants_key) {
            for (int64_t i = 0; i < width; i += edge) {
              multiply<true>(unit, {derivatives + k * chunk + begin - left, chunk * 2, 64},
                             {query_pairs + begin * width + i * 2, width * 4, width * 64},
                             key_sum + (block + k) * width + i, width, steps);
            }
          }
        }
      }
    }
    if (wants_query && !views.partial) {
      float factors[edge];
      std::fill(factors, factors + edge, p.scale * p.factor);
      for (int64_t q = 0; q < p.queries; q += edge) {
        unpack_columns(query_sum + q * width, factors, p.queries - q, p.width,
                       views.query.at<uint16_t>(b, head) + q * views.query.row, views.query.row);
      }
    }
  }
  if (wants_key) {
    unpack_rows(key_sum, width, p.scale * p.factor, real, p.width, views.key.at<uint16_t>(b, shared) + from * views.key.row,
                views.key.row);
  }
  if (wants_value) {
    unpack_rows(value_sum, depth, p.factor, real, p.depth, views.value.at<uint16_t>(b, shared) + from * views.value.row,
                views.value.row);
  }
}

// Adds the parts' derivatives of 32 queries.
void join_parts(const AttentionProblem &p, const BackwardViews &views, int64_t parts, int64_t b, int64_t head,
                int64_t q) {
  const int64_t width = rounded_up(p.width), queries = rounded_up(p.queries), count = width * edge;
  const int64_t stride = p.batch * p.heads * queries * width;
  float *sum = views.partial + ((b * p.heads + head) * queries + q) * width;
  for (int64_t part = 1; part < parts; part++) {
    for (int64_t i = 0; i < count; i += 16) {
      _mm512_storeu_ps(sum + i, _mm512_add_ps(_mm512_loadu_ps(sum + i), _mm512_loadu_ps(sum + part * stride + i)));
    }
  }
  float factors[edge];
  std::fill(factors, factors + edge, p.scale * p.factor);
  unpack_columns(sum, factors, p.queries - q, p.width, views.query.at<uint16_t>(b, head) + q * views.query.row,
                 views.query.row);
}

#pragma clang attribute pop

bool found_pair_products() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool asked_for_tiles() {
  if (!__builtin_cpu_supports("amx-bf16") || !__builtin_cpu_supports("amx-tile")) return false;
  // Linux gives a process the tiles' registers when it asks for them.
  constexpr long ask = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, ask, tile_data) == 0;
}

}  // namespace

bool can_multiply_pairs() {
  static const bool can = found_pair_products();
  return can && may_use(CT_AVX512_BF16);
}

static bool can_use_tiles() {
  static const bool can = can_multiply_pairs() && asked_for_tiles();
  return can && may_use(CT_MATRIX_UNIT);
}

void block_attention(const AttentionProblem &p, const HeadsView &out, float *sums) {
  const int64_t groups = p.batch * p.shared, blocks = rounded_up(p.queries) / edge;
  // Few heads for many threads: queries are divided too.
  const int64_t wanted = std::max<int64_t>(1, 2 * at::get_num_threads() / std::max<int64_t>(groups, 1));
  const int64_t parts = std::max<int64_t>(1, std::min(wanted, blocks / 4));
  const bool has_tiles = can_use_tiles();
  parallel_for(0, groups * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t group = task / parts, part = task % parts;
      forward_task(p, out, sums, has_tiles, group / p.shared, group % p.shared, blocks * part / parts,
                   blocks * (part + 1) / parts);
    }
  });
}

void block_attention_backward(const AttentionProblem &p, const HeadsView &out, const HeadsView &gradient,
                              const float *sums, const HeadsView &query_gradient,
                              const HeadsView &key_gradient, const HeadsView &value_gradient) {
  const int64_t groups = p.batch * p.shared, blocks = (p.keys + backward_keys - 1) / backward_keys;
  const int64_t wanted = std::max<int64_t>(1, (at::get_num_threads() + groups - 1) / std::max<int64_t>(groups, 1));
  const int64_t parts = std::max<int64_t>(1, std::min(wanted, blocks));
  const int64_t queries = rounded_up(p.queries), width = rounded_up(p.width);
  std::optional<Scratch> partial;
  const bool has_tiles = can_use_tiles();
  BackwardViews views{out, gradient, query_gradient, key_gradient, value_gradient, sums, nullptr};
  if (parts > 1 && query_gradient.data) {
    const int64_t count = parts * p.batch * p.heads * queries * width;
    partial.emplace(count * 4);
    views.partial = partial->take<float>(count);
  }
  parallel_for(0, groups * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t group = task / parts, part = task % parts;
      backward_task(p, views, has_tiles, group / p.shared, group % p.shared, part, blocks * part / parts,
                    blocks * (part + 1) / parts);
    }
  });
  if (!views.partial) return;
  parallel_for(0, p.batch * p.heads * (queries / edge), 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t q = task % (queries / edge) * edge, row = task / (queries / edge);
      join_parts(p, views, parts, row / p.heads, row % p.heads, q);
    }
  });
}

}  // namespace ctorch

#else

namespace ctorch {

bool can_multiply_pairs() { return false; }

void block_attention(const AttentionProblem &, const HeadsView &, float *) { std::abort(); }

void block_attention_backward(const AttentionProblem &, const HeadsView &, const HeadsView &, const float *,
                              const HeadsView &, const HeadsView &, const HeadsView &) {
  std::abort();
}

}  // namespace ctorch

#endif
