#include "Attention.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>
#include <limits>

using namespace ctorch;

ct_status ct_matmul(const ct_tensor *a, const ct_tensor *b, ct_tensor **out) {
  return result(out, [&] { return at::matmul(get(a), get(b)); });
}

ct_status ct_softmax(const ct_tensor *tensor, ptrdiff_t axis, bool logarithm, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    return logarithm ? input.log_softmax(axis) : input.softmax(axis);
  });
}

ct_status ct_group_norm(const ct_tensor *tensor, ptrdiff_t groups, const ct_tensor *weight,
                        const ct_tensor *bias, double epsilon, ct_tensor **out) {
  return result(out, [&] {
    return at::group_norm(get(tensor), groups, maybe(weight), maybe(bias), epsilon, /*cudnn_enabled=*/true);
  });
}

ct_status ct_conv2d(const ct_tensor *input, const ct_tensor *weight, const ct_tensor *bias, ptrdiff_t stride,
                    ptrdiff_t padding, ct_tensor **out) {
  return result(out, [&] {
    return at::conv2d(get(input), get(weight), maybe(bias), {stride, stride}, {padding, padding});
  });
}

ct_status ct_resize(ct_resize_kind kind, const ct_tensor *tensor, ptrdiff_t height, ptrdiff_t width,
                    ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    std::vector<int64_t> size{height, width};
    switch (kind) {
      case CT_NEAREST: return at::upsample_nearest2d(input, size);
      case CT_BILINEAR: return at::upsample_bilinear2d(input, size, /*align_corners=*/false);
      case CT_BICUBIC: return at::upsample_bicubic2d(input, size, /*align_corners=*/false);
    }
    TORCH_CHECK(false, "unknown resize");
  });
}

ct_status ct_embedding(const ct_tensor *weight, const ct_tensor *ids, ct_tensor **out) {
  return result(out, [&] { return at::embedding(get(weight), get(ids)); });
}

// Scores kept in memory: for the sizes where they are small this is faster on a CPU, above all backward,
// than the blockwise kernel. Query heads that share a key head become more rows of one product.
static at::Tensor attention_with_scores(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                        const std::optional<at::Tensor> &mask, bool causal, double scale) {
  int64_t batch = q.size(0), heads = q.size(1), rows = q.size(2), keys = k.size(2), shared = k.size(1);
  int64_t group = heads / shared;
  at::Tensor scores = at::matmul((q * scale).reshape({batch, shared, group * rows, q.size(3)}),
                                 k.transpose(-2, -1));
  // Not a view of the product, so that the mask can be written into it.
  scores = at::_unsafe_view(scores, {batch, heads, rows, keys});
  at::Tensor weights;
  if (mask) {
    at::Tensor bias = mask->scalar_type() == at::kBool
                          ? at::zeros(mask->sizes(), q.options())
                                .masked_fill_(mask->logical_not(), -std::numeric_limits<double>::infinity())
                          : *mask;
    weights = at::_safe_softmax(scores + bias, -1);  // a row that sees nothing gets zeros
  } else if (causal) {
    at::Tensor hidden = at::ones({rows, keys}, q.options().dtype(at::kBool)).triu(1);
    weights = scores.masked_fill_(hidden, -std::numeric_limits<double>::infinity()).softmax(-1);
  } else {
    weights = scores.softmax(-1);
  }
  return at::matmul(weights.view({batch, shared, group * rows, keys}), v).view({batch, heads, rows, v.size(3)});
}

ct_status ct_attention(const ct_tensor *query, const ct_tensor *key, const ct_tensor *value,
                       const ct_tensor *mask, bool causal, bool has_scale, double scale, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor q = get(query), k = get(key), v = get(value);
    TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && v.dim() == 4, "attention needs four axes");
    TORCH_CHECK(q.size(0) == k.size(0) && k.size(0) == v.size(0) && q.size(3) == k.size(3) &&
                    k.size(2) == v.size(2) && k.size(1) == v.size(1),
                "batch, keys, width or heads do not match");
    TORCH_CHECK(k.size(1) > 0 && q.size(1) % k.size(1) == 0, "key heads do not divide query heads");
    TORCH_CHECK(!(mask && causal), "a mask and isCausal exclude each other");
    double factor = has_scale ? scale : 1 / std::sqrt(static_cast<double>(q.size(3)));
    if (can_attend_in_blocks(q, k, v) && !(mask && get(mask).requires_grad())) {
      return attention_in_blocks(q, k, v, maybe(mask), causal, factor);
    }
    constexpr int64_t few_scores = int64_t{1} << 21;
    bool wide = q.scalar_type() == at::kFloat || q.scalar_type() == at::kDouble;
    if (q.is_cpu() && wide && q.size(0) * q.size(1) * q.size(2) * k.size(2) <= few_scores) {
      return attention_with_scores(q, k, v, maybe(mask), causal, factor);
    }
    return at::scaled_dot_product_attention(q, k, v, maybe(mask), /*dropout_p=*/0.0, causal,
                                            has_scale ? std::optional<double>(scale) : std::nullopt,
                                            /*enable_gqa=*/q.size(1) != k.size(1));
  });
}

ct_status ct_cross_entropy(const ct_tensor *logits, const ct_tensor *targets, ct_loss_reduction reduction,
                           ptrdiff_t ignored, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(logits);
    if (input.scalar_type() != at::kDouble) input = input.to(at::kFloat);
    int64_t kind = reduction == CT_NONE     ? at::Reduction::None
                   : reduction == CT_MEAN_OF ? at::Reduction::Mean
                                             : at::Reduction::Sum;
    return at::cross_entropy_loss(input, get(targets), {}, kind, ignored);
  });
}
