#include "Attention.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Keys that are taken at once: their scores, of which a few copies live at a time, stay within 64 MiB each.
int64_t block_of_keys(const at::Tensor &query) {
  int64_t rows = query.size(0) * query.size(1) * query.size(2);
  return std::max<int64_t>(64, (int64_t{1} << 24) / std::max<int64_t>(rows, 1));
}

// Scores and their derivatives are worked out in fp32, or in fp64 for fp64.
at::ScalarType wide(const at::Tensor &tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// silu(q k^T) v * factor over blocks of keys, so that the scores of all keys are never in memory together;
// backward works them out again.
struct SiLUAttention : torch::autograd::Function<SiLUAttention> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &query, const at::Tensor &key,
                            const at::Tensor &value, double factor) {
    at::ScalarType type = wide(query);
    at::Tensor q = query.to(type);
    at::Tensor sum = at::zeros({q.size(0), q.size(1), q.size(2), value.size(3)}, q.options());
    int64_t count = key.size(2), block = block_of_keys(query);
    for (int64_t start = 0; start < count; start += block) {
      int64_t length = std::min(block, count - start);
      at::Tensor k = key.narrow(2, start, length).to(type), v = value.narrow(2, start, length);
      at::Tensor weights = at::matmul(q, k.transpose(-2, -1));
      weights = at::silu_(weights).mul_(factor);
      sum.add_(at::matmul(weights.to(v.scalar_type()), v));
    }
    context->save_for_backward({query, key, value});
    context->saved_data["factor"] = factor;
    return sum.to(value.scalar_type());
  }

  // With s = q k^T, w = factor silu(s) and g the incoming derivative: dv = w^T g, dw = g v^T,
  // ds = factor dw silu'(s), dq = ds k, dk = ds^T q.
  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor query = saved[0], key = saved[1], value = saved[2], g = gradients[0];
    double factor = context->saved_data["factor"].toDouble();
    bool wants_query = context->needs_input_grad(0), wants_key = context->needs_input_grad(1);
    bool wants_value = context->needs_input_grad(2);
    at::ScalarType type = wide(query);
    at::Tensor q = query.to(type);
    at::Tensor dq = wants_query ? at::zeros_like(q) : at::Tensor();
    at::Tensor dk = wants_key ? at::empty_like(key) : at::Tensor();
    at::Tensor dv = wants_value ? at::empty_like(value) : at::Tensor();
    int64_t count = key.size(2), block = block_of_keys(query);
    for (int64_t start = 0; start < count; start += block) {
      int64_t length = std::min(block, count - start);
      at::Tensor k = key.narrow(2, start, length).to(type), v = value.narrow(2, start, length);
      at::Tensor scores = at::matmul(q, k.transpose(-2, -1));
      if (wants_value) {
        at::Tensor weights = at::silu(scores).mul_(factor).to(v.scalar_type());
        dv.narrow(2, start, length).copy_(at::matmul(weights.transpose(-2, -1), g));
      }
      if (wants_query || wants_key) {
        at::Tensor ds = at::matmul(g, v.transpose(-2, -1)).to(type).mul_(factor);
        ds = at::silu_backward(ds, scores);
        if (wants_query) dq.add_(at::matmul(ds, k));
        if (wants_key) dk.narrow(2, start, length).copy_(at::matmul(ds.transpose(-2, -1), q));
      }
    }
    return {wants_query ? dq.to(query.scalar_type()) : dq, dk, dv, at::Tensor()};
  }
};

}  // namespace

}  // namespace ctorch

using namespace ctorch;

ct_status ct_silu_attention(const ct_tensor *query, const ct_tensor *key, const ct_tensor *value,
                            double factor, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor q = get(query), k = get(key), v = get(value);
    TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "attention needs four axes");
    TORCH_CHECK(q.size(0) == k.size(0) && k.size(0) == v.size(0) && q.size(1) == k.size(1) &&
                    k.size(1) == v.size(1) && q.size(3) == k.size(3) && k.size(2) == v.size(2),
                "batch, heads, keys or width do not match");
    if (can_attend_in_blocks(q, k, v)) return silu_attention_in_blocks(q, k, v, factor);
    return SiLUAttention::apply(q, k, v, factor);
  });
}
