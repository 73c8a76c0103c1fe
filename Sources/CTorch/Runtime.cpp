#include "Shim.h"

#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <string>
#include <tuple>

namespace ctorch {

static thread_local std::string last_error;

ct_status fail(ct_status status, const char *message) noexcept {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return status;
}

at::ScalarType dtype(ct_dtype code) {
  switch (code) {
    case CT_FLOAT64: return at::kDouble;
    case CT_FLOAT32: return at::kFloat;
    case CT_BFLOAT16: return at::kBFloat16;
    case CT_FLOAT16: return at::kHalf;
    case CT_INT64: return at::kLong;
    case CT_INT32: return at::kInt;
    case CT_INT16: return at::kShort;
    case CT_INT8: return at::kChar;
    case CT_UINT8: return at::kByte;
    case CT_BOOL: return at::kBool;
    case CT_UINT16: return at::kUInt16;
    case CT_UINT32: return at::kUInt32;
    case CT_UINT64: return at::kUInt64;
    case CT_FLOAT8_E4M3: return at::kFloat8_e4m3fn;
    case CT_FLOAT8_E5M2: return at::kFloat8_e5m2;
    case CT_OTHER_DTYPE: break;
  }
  TORCH_CHECK(false, "unknown dtype code ", static_cast<int>(code));
}

ct_dtype code(at::ScalarType dtype) noexcept {
  switch (dtype) {
    case at::kDouble: return CT_FLOAT64;
    case at::kFloat: return CT_FLOAT32;
    case at::kBFloat16: return CT_BFLOAT16;
    case at::kHalf: return CT_FLOAT16;
    case at::kLong: return CT_INT64;
    case at::kInt: return CT_INT32;
    case at::kShort: return CT_INT16;
    case at::kChar: return CT_INT8;
    case at::kByte: return CT_UINT8;
    case at::kBool: return CT_BOOL;
    case at::kUInt16: return CT_UINT16;
    case at::kUInt32: return CT_UINT32;
    case at::kUInt64: return CT_UINT64;
    case at::kFloat8_e4m3fn: return CT_FLOAT8_E4M3;
    case at::kFloat8_e5m2: return CT_FLOAT8_E5M2;
    default: return CT_OTHER_DTYPE;
  }
}

at::Device device(int index) {
  if (index == CT_META) return at::Device(at::kMeta);
  if (index < 0) return at::Device(at::kCPU);
  TORCH_CHECK(index < ct_cuda_count(), "there is no CUDA device ", index, ": ", ct_cuda_count(), " can be used");
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

at::Scalar number(const at::Tensor &tensor, double value) {
  bool whole = value == static_cast<double>(static_cast<int64_t>(value));
  if (whole && at::isIntegralType(tensor.scalar_type(), /*includeBool=*/true)) {
    return at::Scalar(static_cast<int64_t>(value));
  }
  return at::Scalar(value);
}

static std::string folder_of_libtorch() {
  Dl_info info;
  auto *known = reinterpret_cast<void *>(&at::get_num_threads);
  if (dladdr(known, &info) == 0 || info.dli_fname == nullptr) return "";
  std::string path = info.dli_fname;
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

static void set_products(at::Float32Precision on_cpu, at::Float32Precision on_cuda) {
  at::globalContext().setFloat32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL, on_cpu);
  at::globalContext().setFloat32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL, on_cuda);
}

// Whether a product with the identity gives every fp32 value back.
static bool products_are_exact() {
  at::Tensor values = at::arange(128 * 128, at::kFloat).div(128 * 128).add(1).view({128, 128});
  return at::matmul(values, at::eye(128)).equal(values);
}

static void use_exact_products() {
  set_products(at::Float32Precision::IEEE, at::Float32Precision::IEEE);
#if defined(__x86_64__)
  // fp32 products go to MKL, which leaves half of an AMD processor's speed unused, or, where bf16 arithmetic
  // is allowed, to oneDNN. Without a matrix unit oneDNN computes in fp32 all the same: ask it.
  __builtin_cpu_init();
  if (!__builtin_cpu_is("amd")) return;
  set_products(at::Float32Precision::BF16, at::Float32Precision::IEEE);
  if (!products_are_exact()) set_products(at::Float32Precision::IEEE, at::Float32Precision::IEEE);
#endif
}

void prepare() {
  static const bool prepared = [] {
    keep_host_memory();
    use_exact_products();
    return true;
  }();
  (void)prepared;
}

}  // namespace ctorch

using namespace ctorch;

const char *ct_last_error(void) { return last_error.c_str(); }

const char *ct_version(void) { return TORCH_VERSION; }

const char *ct_cpu_capability(void) {
  static const std::string name = at::get_cpu_capability();
  return name.c_str();
}

const char *ct_library_folder(void) {
  static const std::string folder = folder_of_libtorch();
  return folder.c_str();
}

int ct_threads(void) { return at::get_num_threads(); }

void ct_set_threads(int count) { at::set_num_threads(count < 1 ? 1 : count); }

ct_status ct_set_reduced_precision_products(bool allowed) {
  return guarded([&] {
    prepare();
    if (allowed) set_products(at::Float32Precision::BF16, at::Float32Precision::TF32);
    else use_exact_products();
  });
}

int ct_cuda_count(void) {
  // libtorch looks for its CUDA part once, so the library must be there before the first question.
  static const int count = [] {
    int found = 0;
    (void)guarded([&] {
      std::string path = std::string(ct_library_folder()) + "/libtorch_cuda.so";
      if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) return;
      if (at::globalContext().hasCUDA()) found = at::detail::getCUDAHooks().deviceCount();
    });
    return found;
  }();
  return count;
}

ct_status ct_cuda_synchronize(int index) {
  return guarded([&] {
    at::Device target = device(index);
    c10::impl::VirtualGuardImpl(target.type()).synchronizeDevice(target.index());
  });
}

ct_status ct_cuda_memory(int index, size_t *total, size_t *free) {
  return guarded([&] {
    at::Device target = device(index);
    std::tie(*free, *total) = c10::getDeviceAllocator(target.type())->getMemoryInfo(target.index());
  });
}

bool ct_gradients_enabled(void) { return c10::GradMode::is_enabled(); }

void ct_set_gradients_enabled(bool enabled) { c10::GradMode::set_enabled(enabled); }
