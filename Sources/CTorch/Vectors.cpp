#include "Vectors.h"

#include "Shim.h"

#include <algorithm>

namespace ctorch {

namespace {

Instructions best() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")) {
    return Instructions::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Instructions::avx2;
#endif
  return Instructions::portable;
}

thread_local int limit = CT_MATRIX_UNIT;

}  // namespace

Instructions instructions() {
  static const Instructions found = best();
  return std::min(found, static_cast<Instructions>(std::min<int>(limit, CT_AVX512)));
}

int instruction_limit() { return limit; }

void set_instruction_limit(int most) { limit = most; }

bool may_use(ct_instructions wanted) { return limit >= wanted; }

}  // namespace ctorch

void ct_limit_instructions(ct_instructions most) { ctorch::limit = most; }
