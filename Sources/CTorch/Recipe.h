// How a tensor was made, in one cheap pass, from tensors that are kept for derivatives anyway. Who would keep it for a
// derivative of his own can keep the recipe instead, and make it again.

#pragma once

#include "Shim.h"

#include <c10/core/TensorImpl.h>

namespace ctorch {

// Travels with the tensor that it was set for, not with views and copies of it.
struct Recipe final : c10::BackendMeta {
  using Make = at::Tensor (*)(const std::vector<at::Tensor> &parts, const std::vector<double> &numbers);

  Make make;
  std::vector<at::Tensor> parts;  // some may be undefined
  std::vector<double> numbers;
  uint32_t version;  // of the tensor: a later change of it in place makes the recipe void

  c10::intrusive_ptr<c10::BackendMeta> clone(const c10::intrusive_ptr<c10::BackendMeta> &) const override {
    return {};
  }
};

// `made`, which a differentiable function of `parts` has just given. It gets the recipe if it has derivatives.
at::Tensor with_recipe(at::Tensor made, Recipe::Make make, std::vector<at::Tensor> parts, std::vector<double> numbers);

// Null where there is none.
const Recipe *recipe_of(const at::Tensor &tensor);

}  // namespace ctorch
