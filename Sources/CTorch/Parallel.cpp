#include "Parallel.h"
#include "Vectors.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <exception>

namespace ctorch {

namespace {

using Launch = void (*)(void (*body)(void *), void *context, unsigned threads, unsigned flags);

Launch find_launch() { return reinterpret_cast<Launch>(dlsym(RTLD_DEFAULT, "GOMP_parallel")); }

struct Work {
  int64_t begin, end, length;
  RangeBody body;
  const void *context;
  int instruction_limit;
  std::atomic<int64_t> next{0};
  std::atomic_flag has_failed = ATOMIC_FLAG_INIT;
  std::exception_ptr failure = nullptr;
};

// Each thread takes stretches until there are none, so that fewer threads than asked for do all the work too.
void take(void *context) {
  auto &work = *static_cast<Work *>(context);
  set_instruction_limit(work.instruction_limit);
  for (;;) {
    const int64_t from = work.begin + work.length * work.next.fetch_add(1);
    if (from >= work.end) return;
    try {
      work.body(work.context, from, std::min(work.end, from + work.length));
    } catch (...) {
      if (!work.has_failed.test_and_set()) work.failure = std::current_exception();
    }
  }
}

}  // namespace

void run_ranges(int64_t begin, int64_t end, int64_t grain, RangeBody body, const void *context) {
  if (begin >= end) return;
  static const Launch launch = find_launch();
  const int64_t count = end - begin, threads = at::get_num_threads();
  // More stretches than threads, as some may be slower than others or have other work.
  const int64_t parts = std::min(4 * threads, (count + grain - 1) / std::max<int64_t>(grain, 1));
  if (parts <= 1 || threads <= 1 || !launch || at::in_parallel_region()) return body(context, begin, end);
  Work work{begin, end, (count + parts - 1) / parts, body, context, instruction_limit()};
  launch(take, &work, static_cast<unsigned>(std::min(threads, parts)), 0);
  if (work.failure) std::rethrow_exception(work.failure);
}

}  // namespace ctorch
