#include "Attention.h"

#include "AttentionBlocks.h"
#include "AttentionLanes.h"
#include "Vectors.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

at::Tensor with_dense_rows(const at::Tensor &tensor) {
  return tensor.stride(3) == 1 || tensor.size(3) == 1 ? tensor : tensor.contiguous();
}

// Memory by token, so that heads are joined and split without a copy.
at::Tensor empty_by_token(int64_t batch, int64_t heads, int64_t rows, int64_t width,
                          const at::TensorOptions &options) {
  return at::empty({batch, rows, heads, width}, options).transpose(1, 2);
}

HeadsView view(const at::Tensor &tensor) {
  if (!tensor.defined()) return {};
  return {tensor.data_ptr(), tensor.stride(0), tensor.stride(1), tensor.stride(2)};
}

// What the mask adds to scores, transposed, in units of log2, its queries filled up to whole blocks.
at::Tensor transposed_bias(const at::Tensor &mask, int64_t queries, int64_t keys) {
  at::Tensor added;
  if (mask.scalar_type() == at::kBool) {
    added = at::zeros(mask.sizes(), mask.options().dtype(at::kFloat))
                .masked_fill_(mask.logical_not(), -std::numeric_limits<float>::infinity());
  } else {
    added = mask.to(at::kFloat) * M_LOG2E;
  }
  while (added.dim() < 4) added = added.unsqueeze(0);
  int64_t whole = (queries + block_edge - 1) / block_edge * block_edge;
  at::Tensor bias = at::zeros({added.size(0), added.size(1), keys, whole}, added.options());
  bias.narrow(3, 0, queries).copy_(added.expand({-1, -1, queries, keys}).transpose(2, 3));
  return bias;
}

AttentionProblem problem_of(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v) {
  AttentionProblem problem;
  problem.batch = q.size(0);
  problem.heads = q.size(1);
  problem.shared = k.size(1);
  problem.queries = q.size(2);
  problem.keys = k.size(2);
  problem.width = q.size(3);
  problem.depth = v.size(3);
  problem.query = view(q);
  problem.key = view(k);
  problem.value = view(v);
  return problem;
}

void set_bias(AttentionProblem &problem, const at::Tensor &bias) {
  if (!bias.defined()) return;
  problem.bias = bias.const_data_ptr<float>();
  problem.bias_batch = bias.size(0) == 1 ? 0 : bias.stride(0);
  problem.bias_head = bias.size(1) == 1 ? 0 : bias.stride(1);
}

// Which kernel serves a problem.
enum class Kernel : int64_t { pairs, lanes };

void run_forward(Kernel kernel, at::ScalarType type, const AttentionProblem &problem, const HeadsView &out,
                 float *sums) {
  if (kernel == Kernel::pairs) return block_attention(problem, out, sums);
  if (type == at::kFloat) return lane_attention<float>(problem, out, sums);
  lane_attention<c10::BFloat16>(problem, out, sums);
}

void run_backward(Kernel kernel, at::ScalarType type, const AttentionProblem &problem, const HeadsView &out,
                  const HeadsView &gradient, const float *sums, const HeadsView &query, const HeadsView &key,
                  const HeadsView &value) {
  if (kernel == Kernel::pairs) {
    return block_attention_backward(problem, out, gradient, sums, query, key, value);
  }
  if (type == at::kFloat) {
    return lane_attention_backward<float>(problem, out, gradient, sums, query, key, value);
  }
  lane_attention_backward<c10::BFloat16>(problem, out, gradient, sums, query, key, value);
}

// Products of pairs are of whole blocks; with less than one most of the work would be on zeros.
Kernel kernel_for(const at::Tensor &query, const at::Tensor &key) {
  const bool fills = query.scalar_type() == at::kBFloat16 && query.size(2) >= block_edge && key.size(2) >= block_edge;
  return fills && can_multiply_pairs() ? Kernel::pairs : Kernel::lanes;
}

// Keeps its inputs, its result and one fp32 number a query; the weights are worked out again backward.
struct InBlocks : torch::autograd::Function<InBlocks> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &query, const at::Tensor &key,
                            const at::Tensor &value, const std::optional<at::Tensor> &added, int64_t weighting,
                            bool causal, double scale, double factor) {
    at::Tensor bias = added.value_or(at::Tensor());
    at::Tensor q = with_dense_rows(query), k = with_dense_rows(key), v = with_dense_rows(value);
    AttentionProblem problem = problem_of(q, k, v);
    problem.weighting = static_cast<Weighting>(weighting);
    problem.causal = causal;
    problem.scale = static_cast<float>(scale);
    problem.factor = static_cast<float>(factor);
    set_bias(problem, bias);
    at::Tensor out = empty_by_token(q.size(0), q.size(1), q.size(2), v.size(3), q.options());
    at::Tensor sums;
    if (problem.weighting == Weighting::softmax) {
      sums = at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat));
    }
    Kernel kernel = kernel_for(q, k);
    run_forward(kernel, q.scalar_type(), problem, view(out), sums.defined() ? sums.data_ptr<float>() : nullptr);
    bool is_silu = problem.weighting == Weighting::silu;
    context->save_for_backward({q, k, v, is_silu ? at::Tensor() : out, sums, bias});
    context->saved_data["kernel"] = static_cast<int64_t>(kernel);
    context->saved_data["weighting"] = weighting;
    context->saved_data["causal"] = causal;
    context->saved_data["scale"] = scale;
    context->saved_data["factor"] = factor;
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor q = saved[0], k = saved[1], v = saved[2], out = saved[3], sums = saved[4], bias = saved[5];
    at::Tensor gradient = with_dense_rows(gradients[0]);
    AttentionProblem problem = problem_of(q, k, v);
    problem.weighting = static_cast<Weighting>(context->saved_data["weighting"].toInt());
    problem.causal = context->saved_data["causal"].toBool();
    problem.scale = static_cast<float>(context->saved_data["scale"].toDouble());
    problem.factor = static_cast<float>(context->saved_data["factor"].toDouble());
    set_bias(problem, bias);
    auto like = [&](size_t index, const at::Tensor &tensor) {
      if (!context->needs_input_grad(index)) return at::Tensor();
      return empty_by_token(tensor.size(0), tensor.size(1), tensor.size(2), tensor.size(3), tensor.options());
    };
    at::Tensor dq = like(0, q), dk = like(1, k), dv = like(2, v);
    run_backward(static_cast<Kernel>(context->saved_data["kernel"].toInt()), q.scalar_type(), problem, view(out),
                 view(gradient), sums.defined() ? sums.const_data_ptr<float>() : nullptr, view(dq), view(dk), view(dv));
    return {dq, dk, dv, {}, {}, {}, {}, {}};
  }
};

}  // namespace

bool can_attend_in_blocks(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value) {
  auto fits = [&](const at::Tensor &tensor) {
    return tensor.is_cpu() && tensor.scalar_type() == query.scalar_type() && tensor.numel() > 0 &&
           tensor.size(3) <= 1024;
  };
  if (query.scalar_type() != at::kFloat && query.scalar_type() != at::kBFloat16) return false;
  // Few queries, as in decoding, would leave most of a block empty.
  return fits(query) && fits(key) && fits(value) && query.size(2) >= block_edge / 2;
}

at::Tensor attention_in_blocks(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                               const std::optional<at::Tensor> &mask, bool causal, double scale) {
  std::optional<at::Tensor> bias;
  if (mask) bias = transposed_bias(*mask, query.size(2), key.size(2));
  return InBlocks::apply(query, key, value, bias, static_cast<int64_t>(Weighting::softmax), causal, scale, 1.0);
}

at::Tensor silu_attention_in_blocks(const at::Tensor &query, const at::Tensor &key, const at::Tensor &value,
                                    double factor) {
  return InBlocks::apply(query, key, value, std::optional<at::Tensor>(), static_cast<int64_t>(Weighting::silu), false,
                         1.0, factor);
}

}  // namespace ctorch
