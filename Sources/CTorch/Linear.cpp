#include "Recipe.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor with_recipe(at::Tensor made, Recipe::Make make, std::vector<at::Tensor> parts, std::vector<double> numbers) {
  if (!made.requires_grad()) return made;
  auto recipe = c10::make_intrusive<Recipe>();
  recipe->make = make;
  recipe->parts = std::move(parts);
  recipe->numbers = std::move(numbers);
  recipe->version = made._version();
  made.unsafeGetTensorImpl()->set_backend_meta(std::move(recipe));
  return made;
}

const Recipe *recipe_of(const at::Tensor &tensor) {
  auto *recipe = dynamic_cast<const Recipe *>(tensor.unsafeGetTensorImpl()->get_backend_meta());
  return recipe && recipe->version == tensor._version() ? recipe : nullptr;
}

namespace {

at::Tensor as_rows(const at::Tensor &tensor) { return tensor.reshape({-1, tensor.size(-1)}); }

// A linear layer whose weight learns, of an input that can be made again: of it, the recipe is kept.
struct LinearOfRecipe : torch::autograd::Function<LinearOfRecipe> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &weight,
                            const std::optional<at::Tensor> &bias, const Recipe *recipe) {
    variable_list kept = {weight};
    kept.insert(kept.end(), recipe->parts.begin(), recipe->parts.end());
    context->save_for_backward(kept);
    context->saved_data["make"] = reinterpret_cast<int64_t>(recipe->make);
    context->saved_data["numbers"] = recipe->numbers;
    context->saved_data["has_bias"] = bias.has_value();
    return at::linear(input, weight, bias);
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list kept = context->get_saved_variables();
    at::Tensor weight = kept[0], g = as_rows(gradients[0]), dx, dw, db;
    if (context->needs_input_grad(1)) {
      auto make = reinterpret_cast<Recipe::Make>(context->saved_data["make"].toInt());
      kept.erase(kept.begin());
      dw = at::mm(g.t(), as_rows(make(kept, context->saved_data["numbers"].toDoubleVector())));
    }
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2)) db = g.sum(0);
    if (context->needs_input_grad(0)) {
      std::vector<int64_t> shape = gradients[0].sizes().vec();
      shape.back() = weight.size(1);
      dx = at::mm(g, weight).view(shape);
    }
    return {dx, dw, db, at::Tensor()};
  }
};

}  // namespace

}  // namespace ctorch

using namespace ctorch;

ct_status ct_linear(const ct_tensor *input, const ct_tensor *weight, const ct_tensor *bias, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor x = get(input), w = get(weight);
    std::optional<at::Tensor> b = maybe(bias);
    const Recipe *recipe = recipe_of(x);
    const bool keeps_input = w.dim() == 2 && w.requires_grad() && at::GradMode::is_enabled();
    return recipe && keeps_input ? LinearOfRecipe::apply(x, w, b, recipe) : at::linear(x, w, b);
  });
}
