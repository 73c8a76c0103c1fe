// Loops over libtorch's own threads.
//
// `at::parallel_for` is a template whose threads come from the compiler's OpenMP. Compiled here without it, it would
// run on one thread and not say so; with it, clang would bring a second pool of threads beside libtorch's. So the
// threads are asked of the OpenMP library that libtorch itself has loaded, through the entry that GCC's, LLVM's and
// Intel's all have.

#pragma once

#include <cstdint>

namespace ctorch {

using RangeBody = void (*)(const void *context, int64_t begin, int64_t end);

// Calls body on stretches of begin..<end, none shorter than `grain` but the last, on `at::get_num_threads()` threads,
// and returns when all are done. Which thread gets which stretch is left to chance, so what a body computes must not
// depend on where its stretch starts. An exception of any of them is thrown again here.
void run_ranges(int64_t begin, int64_t end, int64_t grain, RangeBody body, const void *context);

template <typename Body> void parallel_for(int64_t begin, int64_t end, int64_t grain, const Body &body) {
  run_ranges(
      begin, end, grain,
      [](const void *context, int64_t from, int64_t to) { (*static_cast<const Body *>(context))(from, to); }, &body);
}

}  // namespace ctorch
