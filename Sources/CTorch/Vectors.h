// Elementwise work, sixteen values at a time, written once and compiled for AVX-512, for AVX2 and for any other
// processor: `vectorized([&]() VECTORIZED { ... })` runs its body in the best of the three.

#pragma once

#include "Instructions.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

// Everything here is inlined into the function that has the instructions, so no vector is ever passed.
#pragma clang diagnostic ignored "-Wpsabi"

#define VECTORIZED __attribute__((always_inline))
#define INLINE __attribute__((always_inline)) inline

namespace ctorch {

template <typename Body> void run_portable(const Body &body) { body(); }

#if defined(__x86_64__)
template <typename Body>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) void run_avx512(const Body &body) {
  body();
}

template <typename Body> __attribute__((target("avx2,fma"))) void run_avx2(const Body &body) { body(); }
#endif

template <typename Body> inline void vectorized(const Body &body) {
#if defined(__x86_64__)
  if (instructions() == Instructions::avx512) return run_avx512(body);
  if (instructions() == Instructions::avx2) return run_avx2(body);
#endif
  run_portable(body);
}

constexpr int64_t lanes = 16;

template <typename T> using Lanes = T __attribute__((ext_vector_type(16)));
using Floats = Lanes<float>;
using Words = Lanes<uint32_t>;

// What a stored type is worked with.
template <typename T> struct Wide { using type = T; };
template <> struct Wide<c10::BFloat16> { using type = float; };
template <> struct Wide<c10::Half> { using type = float; };
template <typename T> using wide_t = typename Wide<T>::type;

template <typename To, typename From> INLINE To bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <typename T> INLINE Lanes<wide_t<T>> load(const T *from) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    Lanes<uint16_t> narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    return bits<Floats>(__builtin_convertvector(narrow, Words) << 16);
  } else if constexpr (std::is_same_v<T, c10::Half>) {
    float values[lanes];
    for (int64_t i = 0; i < lanes; i++) values[i] = static_cast<float>(from[i]);
    return load(values);
  } else {
    Lanes<T> values;
    std::memcpy(&values, from, sizeof values);
    return values;
  }
}

// Rounded to the nearest bf16, ties to even; NaN stays NaN.
INLINE Lanes<uint16_t> narrowed(Floats values) {
  Words word = bits<Words>(values);
  Words rounded = (word + 0x7fff + ((word >> 16) & 1)) >> 16;
  Words is_nan = bits<Words>(values != values);
  return __builtin_convertvector((rounded & ~is_nan) | (is_nan & 0x7fc0), Lanes<uint16_t>);
}

template <typename T> INLINE void store(T *to, Lanes<wide_t<T>> values) {
  if constexpr (std::is_same_v<T, c10::BFloat16>) {
    Lanes<uint16_t> narrow = narrowed(values);
    std::memcpy(to, &narrow, sizeof narrow);
  } else if constexpr (std::is_same_v<T, c10::Half>) {
    float wide[lanes];
    std::memcpy(wide, &values, sizeof wide);
    for (int64_t i = 0; i < lanes; i++) to[i] = static_cast<c10::Half>(wide[i]);
  } else {
    std::memcpy(to, &values, sizeof values);
  }
}

// The first `count` of sixteen; the others are 0, or left alone.
template <typename T> INLINE Lanes<wide_t<T>> load(const T *from, int64_t count) {
  if (count >= lanes) return load(from);
  T buffer[lanes] = {};
  std::memcpy(buffer, from, static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

template <typename T> INLINE void store(T *to, Lanes<wide_t<T>> values, int64_t count) {
  if (count >= lanes) return store(to, values);
  T buffer[lanes];
  store(buffer, values);
  std::memcpy(to, buffer, static_cast<size_t>(count) * sizeof(T));
}

// Calls body(i, count) with count = 16 as long as it can and once with the rest, if there is one.
template <typename Body> INLINE void by_lanes(int64_t count, const Body &body) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, lanes);
  if (i < count) body(i, count - i);
}

template <typename T> INLINE T sum_of(Lanes<T> values) {
  T sums[16];
  std::memcpy(sums, &values, sizeof sums);
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; i++) sums[i] += sums[i + step];
  }
  return sums[0];
}

// `values` as bf16 would keep them.
INLINE Floats as_bf16(Floats values) {
  return bits<Floats>(__builtin_convertvector(narrowed(values), Words) << 16);
}

INLINE Floats chosen(Lanes<int32_t> where, Floats a, Floats b) {
  Words mask = bits<Words>(where);
  return bits<Floats>((bits<Words>(a) & mask) | (bits<Words>(b) & ~mask));
}

// 2^x to 3e-7 of the result; 0 below -125.5.
INLINE Floats power_of_two(Floats x) {
  Floats low = -125.5f, high = 126.95f;
  Lanes<int32_t> vanishes = x < low;
  Floats y = chosen(x > high, high, chosen(vanishes, low, x));
  const float magic = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to a whole number
  Floats whole = (y + magic) - magic;
  Floats f = y - whole;
  Floats sum = 1.535336188e-4f;
  sum = sum * f + 1.339887440e-3f;
  sum = sum * f + 9.618437357e-3f;
  sum = sum * f + 5.550332548e-2f;
  sum = sum * f + 2.402264791e-1f;
  sum = sum * f + 6.931472028e-1f;
  sum = sum * f + 1.0f;
  Lanes<int32_t> exponent = __builtin_convertvector(whole, Lanes<int32_t>) << 23;
  Floats result = bits<Floats>(bits<Lanes<int32_t>>(sum) + exponent);
  return chosen(vanishes, 0.0f, result);
}

// e^x, likewise; 0 below -87.
INLINE Floats exponential(Floats x) { return power_of_two(x * 1.44269504f); }

INLINE Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

}  // namespace ctorch
