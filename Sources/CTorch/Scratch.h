// Memory that a task works in.

#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/Exception.h>

#include <cstdint>

namespace ctorch {

// Memory of one task, aligned to cache lines, handed out piece by piece.
class Scratch {
public:
  explicit Scratch(int64_t bytes)
      : bytes_(bytes), memory_(c10::GetAllocator(c10::DeviceType::CPU)->allocate(static_cast<size_t>(bytes))) {}

  template <typename T> T *take(int64_t count) {
    char *piece = static_cast<char *>(memory_.get()) + used_;
    used_ += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    TORCH_INTERNAL_ASSERT(used_ <= bytes_);
    return reinterpret_cast<T *>(piece);
  }

private:
  int64_t bytes_, used_ = 0;
  c10::DataPtr memory_;
};

}  // namespace ctorch
