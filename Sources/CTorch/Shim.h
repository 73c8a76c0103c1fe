// What every source file of the shim shares: handles, the exception boundary, the libtorch check.

#pragma once

#ifndef VLSA_LIBTORCH_FOUND
#error "libtorch was not found. Choose one: LIBTORCH_USE_PYTORCH=1 (the torch of the active python3), \
LIBTORCH=<folder with include/ and lib/>, LIBTORCH_INCLUDE=<folder> and LIBTORCH_LIB=<folder>, or \
`make setup`, which keeps a copy in your cache. Then build again."
#endif

#include <torch/version.h>

#if !defined(VLSA_ANY_LIBTORCH_VERSION) && \
    (TORCH_VERSION_MAJOR < 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 11))
#error "This libtorch is older than 2.11. Name a newer one with LIBTORCH or LIBTORCH_USE_PYTORCH, or set \
LIBTORCH_BYPASS_VERSION_CHECK=1 to try it all the same."
#endif

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "CTorch.h"

namespace ctorch {

ct_status fail(ct_status status, const char *message) noexcept;

template <typename Body> ct_status guarded(Body &&body) noexcept {
  try {
    body();
    return CT_OK;
  } catch (const c10::OutOfMemoryError &error) {
    return fail(CT_OUT_OF_MEMORY, error.what_without_backtrace());
  } catch (const c10::Error &error) {
    // The CPU allocator throws the general error, so only its words tell.
    bool allocation = std::strstr(error.what_without_backtrace(), "can't allocate memory") != nullptr;
    return fail(allocation ? CT_OUT_OF_MEMORY : CT_INVALID, error.what_without_backtrace());
  } catch (const std::bad_alloc &error) {
    return fail(CT_OUT_OF_MEMORY, error.what());
  } catch (const std::exception &error) {
    return fail(CT_INVALID, error.what());
  } catch (...) {
    return fail(CT_UNKNOWN, "unknown C++ exception");
  }
}

// A handle is the tensor's own reference-counted object, so it costs no allocation of its own.
inline at::Tensor get(const ct_tensor *handle) {
  auto *object = reinterpret_cast<at::TensorImpl *>(const_cast<ct_tensor *>(handle));
  return at::Tensor(c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim_copy(object));
}

inline std::optional<at::Tensor> maybe(const ct_tensor *handle) {
  return handle ? std::optional<at::Tensor>(get(handle)) : std::nullopt;
}

inline ct_tensor *give(at::Tensor tensor) {
  return reinterpret_cast<ct_tensor *>(tensor.unsafeReleaseTensorImpl());
}

inline std::vector<at::Tensor> list(const ct_tensor *const *handles, ptrdiff_t count) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (ptrdiff_t i = 0; i < count; i++) tensors.push_back(get(handles[i]));
  return tensors;
}

inline at::IntArrayRef sizes(const ptrdiff_t *values, ptrdiff_t count) {
  static_assert(std::is_same_v<ptrdiff_t, int64_t>);
  return at::IntArrayRef(values, static_cast<size_t>(count));
}

template <typename Body> ct_status result(ct_tensor **out, Body &&body) noexcept {
  return guarded([&] { *out = give(body()); });
}

// Settings of the process, made once before the first tensor.
void prepare();
// Lets CPU tensors take their memory from HostMemory.cpp.
void keep_host_memory();

at::ScalarType dtype(ct_dtype code);
ct_dtype code(at::ScalarType dtype) noexcept;
at::Device device(int index);
// A whole number stays one for an integer tensor, so that adding 1 does not turn ids into floats.
at::Scalar number(const at::Tensor &tensor, double value);

}  // namespace ctorch
