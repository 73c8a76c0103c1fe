#include "Activations.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

using namespace ctorch;

static at::Tensor apply(ct_unary_kind kind, const at::Tensor &x) {
  switch (kind) {
    case CT_NEGATE: return x.neg();
    case CT_EXP: return x.exp();
    case CT_LOG: return x.log();
    case CT_SQRT: return x.sqrt();
    case CT_RSQRT: return x.rsqrt();
    case CT_TANH: return x.tanh();
    case CT_SIGMOID: return x.sigmoid();
    case CT_SIN: return x.sin();
    case CT_COS: return x.cos();
    case CT_ABS: return x.abs();
    case CT_SQUARE: return x.square();
    case CT_RELU: return x.relu();
    case CT_SILU: return activated(Activation::silu, x, {});
    case CT_QUICK_GELU: return activated(Activation::quick_gelu, x, {});
    case CT_GELU: return activated(Activation::gelu, x, {});
    case CT_GELU_TANH: return activated(Activation::gelu_tanh, x, {});
    case CT_ERF: return x.erf();
    case CT_SOFTPLUS: return at::softplus(x);
    case CT_LOG_SIGMOID: return at::log_sigmoid(x);
    case CT_ROUND: return x.round();
    case CT_FLOOR: return x.floor();
    case CT_RECIPROCAL: return x.reciprocal();
    case CT_NOT: return x.logical_not();
    case CT_IS_FINITE: return x.isfinite();
  }
  TORCH_CHECK(false, "unknown operation");
}

// `B` is a tensor or a number.
template <typename B> static at::Tensor apply(ct_binary_kind kind, const at::Tensor &a, const B &b) {
  constexpr bool is_number = std::is_same_v<B, at::Scalar>;
  switch (kind) {
    case CT_ADD: return a.add(b);
    case CT_SUBTRACT: return a.sub(b);
    case CT_MULTIPLY: return a.mul(b);
    case CT_DIVIDE: return a.div(b);
    case CT_POWER: return a.pow(b);
    case CT_REMAINDER: return a.remainder(b);
    case CT_MAXIMUM:
      if constexpr (is_number) return a.clamp_min(b);
      else return at::maximum(a, b);
    case CT_MINIMUM:
      if constexpr (is_number) return a.clamp_max(b);
      else return at::minimum(a, b);
    case CT_EQUAL: return a.eq(b);
    case CT_NOT_EQUAL: return a.ne(b);
    case CT_LESS: return a.lt(b);
    case CT_LESS_EQUAL: return a.le(b);
    case CT_GREATER: return a.gt(b);
    case CT_GREATER_EQUAL: return a.ge(b);
    case CT_AND:
      if constexpr (!is_number) return a.logical_and(b);
      break;
    case CT_OR:
      if constexpr (!is_number) return a.logical_or(b);
      break;
  }
  TORCH_CHECK(false, "this operation needs two tensors");
}

ct_status ct_unary(ct_unary_kind kind, const ct_tensor *tensor, ct_tensor **out) {
  return result(out, [&] { return apply(kind, get(tensor)); });
}

ct_status ct_binary(ct_binary_kind kind, const ct_tensor *a, const ct_tensor *b, ct_tensor **out) {
  return result(out, [&] { return apply(kind, get(a), get(b)); });
}

ct_status ct_binary_number(ct_binary_kind kind, const ct_tensor *a, double b, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor tensor = get(a);
    return apply(kind, tensor, number(tensor, b));
  });
}

ct_status ct_number_binary(ct_binary_kind kind, double a, const ct_tensor *b, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor tensor = get(b);
    switch (kind) {
      case CT_SUBTRACT: return at::rsub(tensor, number(tensor, a));
      case CT_DIVIDE: return tensor.reciprocal().mul(a);
      default: return apply(kind, tensor, number(tensor, a));  // commutative
    }
  });
}

ct_status ct_clamp(const ct_tensor *tensor, bool has_min, double min, bool has_max, double max,
                   ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    std::optional<at::Scalar> low, high;
    if (has_min) low = number(input, min);
    if (has_max) high = number(input, max);
    return input.clamp(low, high);
  });
}

ct_status ct_reduce(ct_reduction_kind kind, const ct_tensor *tensor, const ptrdiff_t *axes, ptrdiff_t count,
                    bool keeping_axes, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    switch (kind) {
      case CT_SUM: return count == 0 ? input.sum() : input.sum(sizes(axes, count), keeping_axes);
      case CT_MEAN: return count == 0 ? input.mean() : input.mean(sizes(axes, count), keeping_axes);
      case CT_LARGEST: return count == 0 ? input.max() : input.amax(sizes(axes, count), keeping_axes);
      case CT_SMALLEST: return count == 0 ? input.min() : input.amin(sizes(axes, count), keeping_axes);
    }
    TORCH_CHECK(false, "unknown reduction");
  });
}

ct_status ct_variance(const ct_tensor *tensor, ptrdiff_t axis, bool unbiased, bool keeping_axis,
                      ct_tensor **out) {
  return result(out, [&] {
    return get(tensor).var({static_cast<int64_t>(axis)}, unbiased, keeping_axis);
  });
}

ct_status ct_norm(const ct_tensor *tensor, ct_tensor **out) {
  return result(out, [&] { return at::linalg_vector_norm(get(tensor)); });
}

static ct_status give_two(std::tuple<at::Tensor, at::Tensor> pair, ct_tensor **first, ct_tensor **second) {
  *first = give(std::move(std::get<0>(pair)));
  *second = give(std::move(std::get<1>(pair)));
  return CT_OK;
}

ct_status ct_max(const ct_tensor *tensor, ptrdiff_t axis, bool keeping_axis, ct_tensor **values,
                 ct_tensor **indices) {
  return guarded([&] { give_two(get(tensor).max(axis, keeping_axis), values, indices); });
}

ct_status ct_min(const ct_tensor *tensor, ptrdiff_t axis, bool keeping_axis, ct_tensor **values,
                 ct_tensor **indices) {
  return guarded([&] { give_two(get(tensor).min(axis, keeping_axis), values, indices); });
}

ct_status ct_argmax(const ct_tensor *tensor, ptrdiff_t axis, bool keeping_axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).argmax(axis, keeping_axis); });
}

ct_status ct_cumulative_sum(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).cumsum(axis); });
}

ct_status ct_top_k(const ct_tensor *tensor, ptrdiff_t count, ptrdiff_t axis, ct_tensor **values,
                   ct_tensor **indices) {
  return guarded([&] { give_two(get(tensor).topk(count, axis), values, indices); });
}

ct_status ct_sort(const ct_tensor *tensor, ptrdiff_t axis, bool descending, ct_tensor **values,
                  ct_tensor **indices) {
  return guarded([&] {
    give_two(get(tensor).sort(std::optional<bool>(true), axis, descending), values, indices);
  });
}

ct_status ct_masked_fill(const ct_tensor *tensor, const ct_tensor *mask, double value, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    return input.masked_fill(get(mask), number(input, value));
  });
}

ct_status ct_where(const ct_tensor *condition, const ct_tensor *a, const ct_tensor *b, ct_tensor **out) {
  return result(out, [&] { return at::where(get(condition), get(a), get(b)); });
}

ct_status ct_nonzero(const ct_tensor *tensor, ct_tensor **out) {
  return result(out, [&] { return get(tensor).nonzero(); });
}

ct_status ct_any(const ct_tensor *tensor, bool *out) {
  return guarded([&] { *out = get(tensor).any().item<bool>(); });
}

ct_status ct_all(const ct_tensor *tensor, bool *out) {
  return guarded([&] { *out = get(tensor).all().item<bool>(); });
}

ct_status ct_all_finite(const ct_tensor *tensor, bool *out) {
  return guarded([&] { *out = get(tensor).isfinite().all().item<bool>(); });
}

ct_status ct_item(const ct_tensor *tensor, double *out) {
  return guarded([&] { *out = get(tensor).item<double>(); });
}

ct_status ct_item_int(const ct_tensor *tensor, int64_t *out) {
  return guarded([&] { *out = get(tensor).item<int64_t>(); });
}
