#include "Shim.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

using namespace ctorch;

bool ct_requires_gradient(const ct_tensor *tensor) { return get(tensor).requires_grad(); }

ct_status ct_set_requires_gradient(ct_tensor *tensor, bool required) {
  return guarded([&] { get(tensor).set_requires_grad(required); });
}

ct_status ct_gradient(const ct_tensor *tensor, ct_tensor **out) {
  return guarded([&] {
    at::Tensor gradient = get(tensor).mutable_grad();
    *out = gradient.defined() ? give(gradient) : nullptr;
  });
}

ct_status ct_set_gradient(ct_tensor *tensor, const ct_tensor *gradient) {
  return guarded([&] {
    at::Tensor target = get(tensor);
    at::Tensor value = gradient ? get(gradient) : at::Tensor();
    TORCH_CHECK(!value.defined() || value.sizes() == target.sizes(), "a gradient of shape ", value.sizes(),
                " does not fit a tensor of shape ", target.sizes());
    target.mutable_grad() = value;
  });
}

ct_status ct_backward(const ct_tensor *tensor, const ct_tensor *gradient) {
  return guarded([&] { get(tensor).backward(gradient ? get(gradient) : at::Tensor()); });
}

ct_status ct_gradients(const ct_tensor *output, const ct_tensor *const *inputs, ptrdiff_t count,
                       bool keeping_graph, ct_tensor **outs) {
  return guarded([&] {
    std::vector<at::Tensor> gradients =
        torch::autograd::grad({get(output)}, list(inputs, count), {}, keeping_graph,
                              /*create_graph=*/false, /*allow_unused=*/true);
    for (ptrdiff_t i = 0; i < count; i++) outs[i] = gradients[i].defined() ? give(gradients[i]) : nullptr;
  });
}

ct_status ct_watch_gradient(const ct_tensor *tensor, ct_tensor **out, ct_tensor **sum) {
  return guarded([&] {
    at::Tensor input = get(tensor), watched = input.view_as(input);
    at::Tensor squares = at::zeros({}, input.options().dtype(at::kFloat).requires_grad(false));
    if (watched.requires_grad()) {
      watched.register_hook([squares](const at::Tensor &gradient) {
        c10::NoGradGuard without;
        squares.add_(gradient.to(at::kFloat).square().sum());
      });
    }
    *out = give(watched);
    *sum = give(squares);
  });
}

ct_status ct_detach(const ct_tensor *tensor, ct_tensor **out) {
  return result(out, [&] { return get(tensor).detach(); });
}
