#include "Shim.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

// Matrices of one width kept back to back, so that several products of one input are one product, while each
// matrix stays a parameter of its own.

using namespace ctorch;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

bool lie_together(at::TensorList parts) {
  int64_t next = parts[0].storage_offset();
  for (const at::Tensor &part : parts) {
    if (!part.is_contiguous() || !part.is_alias_of(parts[0]) || part.storage_offset() != next) return false;
    next += part.numel();
  }
  return true;
}

at::Tensor join(at::TensorList parts) {
  if (!lie_together(parts)) return at::cat(parts, 0);
  std::vector<int64_t> shape = parts[0].sizes().vec();
  shape[0] = 0;
  for (const at::Tensor &part : parts) shape[0] += part.size(0);
  // Not a view of the first part, as the derivative is not the first part's.
  return parts[0].variable_data().as_strided(shape, parts[0].strides());
}

struct Joined : torch::autograd::Function<Joined> {
  static at::Tensor forward(AutogradContext *context, at::TensorList parts) {
    std::vector<int64_t> lengths;
    for (const at::Tensor &part : parts) lengths.push_back(part.size(0));
    context->saved_data["lengths"] = lengths;
    return join(parts);
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients) {
    variable_list results;
    int64_t start = 0;
    size_t index = 0;
    for (int64_t length : context->saved_data["lengths"].toIntVector()) {
      bool wanted = context->needs_input_grad(index++);
      results.push_back(wanted ? gradients[0].narrow(0, start, length) : at::Tensor());
      start += length;
    }
    return results;
  }
};

}  // namespace

bool ct_lie_together(const ct_tensor *const *tensors, ptrdiff_t count) {
  return lie_together(list(tensors, count));
}

ct_status ct_lay_together(ct_tensor *const *tensors, ptrdiff_t count) {
  return guarded([&] {
    at::NoGradGuard guard;
    std::vector<at::Tensor> parts = list(tensors, count);
    if (lie_together(parts)) return;
    at::Tensor all = at::cat(parts, 0);
    int64_t start = 0;
    for (at::Tensor &part : parts) {
      int64_t length = part.size(0);
      part.set_data(all.narrow(0, start, length));
      start += length;
    }
  });
}

ct_status ct_joined(const ct_tensor *const *tensors, ptrdiff_t count, ct_tensor **out) {
  return result(out, [&] { return Joined::apply(at::TensorList(list(tensors, count))); });
}
