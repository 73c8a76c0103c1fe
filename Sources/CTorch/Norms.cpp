#include "Norms.h"
#include "Recipe.h"
#include "Vectors.h"
#include "Parallel.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Rows that one task takes, fixed so that sums do not depend on the number of threads.
constexpr int64_t chunk_rows = 32;

enum class Norm : int64_t { root_mean_square, layer };

// Rows of `width` values; each `span` of them has a weight and a bias of its own.
struct Problem {
  int64_t rows, width, span;
  double epsilon;
  bool around_one;  // the weight's 1 is not stored

  int64_t chunks_of_span() const { return (span + chunk_rows - 1) / chunk_rows; }
  int64_t spans() const { return span == 0 ? 0 : rows / span; }
};

template <typename T> INLINE Lanes<T> first(Lanes<T> values, int64_t count) {
  if (count >= lanes) return values;
  T buffer[lanes] = {}, all[lanes];
  std::memcpy(all, &values, sizeof all);
  std::memcpy(buffer, all, static_cast<size_t>(count) * sizeof(T));
  std::memcpy(&values, buffer, sizeof buffer);
  return values;
}

template <typename T> INLINE Lanes<wide_t<T>> weight_at(const T *weight, int64_t i, int64_t n, bool around_one) {
  auto values = load(weight + i, n);
  return around_one ? values + wide_t<T>(1) : values;
}

template <typename T, Norm norm>
void forward_rows(const Problem &p, const T *x, const T *weight, const T *bias, T *y, wide_t<T> *means,
                  wide_t<T> *scales, int64_t begin, int64_t end) {
  using W = wide_t<T>;
  vectorized([&]() VECTORIZED {
    for (int64_t row = begin; row < end; row++) {
      const T *in = x + row * p.width;
      T *out = y + row * p.width;
      const T *w = weight ? weight + row / p.span * p.width : nullptr;
      const T *b = bias ? bias + row / p.span * p.width : nullptr;
      W mean = 0;
      Lanes<W> sum = W(0);
      if constexpr (norm == Norm::layer) {
        by_lanes(p.width, [&](int64_t i, int64_t n) VECTORIZED { sum += load(in + i, n); });
        mean = sum_of<W>(sum) / static_cast<W>(p.width);
        means[row] = mean;
        sum = W(0);
      }
      by_lanes(p.width, [&](int64_t i, int64_t n) VECTORIZED {
        Lanes<W> value = first<W>(load(in + i, n) - mean, n);
        sum += value * value;
      });
      W scale = 1 / std::sqrt(sum_of<W>(sum) / static_cast<W>(p.width) + static_cast<W>(p.epsilon));
      scales[row] = scale;
      by_lanes(p.width, [&](int64_t i, int64_t n) VECTORIZED {
        Lanes<W> value = (load(in + i, n) - mean) * scale;
        // Cast back before the weight, as the public Llama checkpoints expect.
        if constexpr (norm == Norm::root_mean_square && std::is_same_v<T, c10::BFloat16>) value = as_bf16(value);
        if (w) value *= weight_at(w, i, n, p.around_one);
        if (b) value += load(b + i, n);
        store(out + i, value, n);
      });
    }
  });
}

// With x' = (x - mean) s and h = w g: dx = s (h - mean(h) - x' mean(h x')), the mean of h for layer norms only;
// dw = sum of g x', db = sum of g over the rows of one chunk.
template <typename T, Norm norm>
void backward_chunks(const Problem &p, const T *x, const T *weight, const wide_t<T> *means, const wide_t<T> *scales,
                     const T *gradient, T *dx, wide_t<T> *weight_sums, wide_t<T> *bias_sums, int64_t begin,
                     int64_t end) {
  using W = wide_t<T>;
  const int64_t in_span = p.chunks_of_span();
  vectorized([&]() VECTORIZED {
    for (int64_t chunk = begin; chunk < end; chunk++) {
      const int64_t span = chunk / in_span, start = span * p.span + chunk % in_span * chunk_rows;
      const int64_t last = std::min((span + 1) * p.span, start + chunk_rows);
      const T *w = weight ? weight + span * p.width : nullptr;
      for (int64_t row = start; row < last; row++) {
        const T *in = x + row * p.width, *g = gradient + row * p.width;
        const W scale = scales[row], mean = norm == Norm::layer ? means[row] : W(0);
        if (dx) {
          Lanes<W> sum = W(0), products = W(0);
          by_lanes(p.width, [&](int64_t i, int64_t n) VECTORIZED {
            Lanes<W> h = load(g + i, n);
            if (w) h *= weight_at(w, i, n, p.around_one);
            if constexpr (norm == Norm::layer) sum += h;
            products += h * (load(in + i, n) - mean);
          });
          const W shared = sum_of<W>(products) * scale * scale / static_cast<W>(p.width);
          const W average = norm == Norm::layer ? sum_of<W>(sum) / static_cast<W>(p.width) : W(0);
          T *out = dx + row * p.width;
          by_lanes(p.width, [&](int64_t i, int64_t n) VECTORIZED {
            Lanes<W> h = load(g + i, n);
            if (w) h *= weight_at(w, i, n, p.around_one);
            store(out + i, scale * (h - average - (load(in + i, n) - mean) * shared), n);
          });
        }
        if (weight_sums || bias_sums) {
          by_lanes(p.width, [&](int64_t i, int64_t n) VECTORIZED {
            Lanes<W> up = load(g + i, n);
            if (weight_sums) {
              W *place = weight_sums + chunk * p.width + i;
              store(place, load(place, n) + up * (load(in + i, n) - mean) * scale, n);
            }
            if (bias_sums) {
              W *place = bias_sums + chunk * p.width + i;
              store(place, load(place, n) + up, n);
            }
          });
        }
      }
    }
  });
}

template <typename Body> void with_type_and_norm(at::ScalarType type, Norm norm, const Body &body) {
  auto with_type = [&](auto value) {
    if (norm == Norm::layer) body(value, std::integral_constant<Norm, Norm::layer>());
    else body(value, std::integral_constant<Norm, Norm::root_mean_square>());
  };
  if (type == at::kBFloat16) with_type(c10::BFloat16());
  else if (type == at::kFloat) with_type(float());
  else with_type(double());
}

template <typename T> T *pointer(const at::Tensor &tensor) {
  return tensor.defined() ? tensor.data_ptr<T>() : nullptr;
}

Problem problem_of(const at::Tensor &x, int64_t span, double epsilon, bool around_one) {
  int64_t width = x.size(-1), rows = width == 0 ? 0 : x.numel() / width;
  return {rows, width, span == 0 ? std::max<int64_t>(rows, 1) : span, epsilon, around_one};
}

// The values, and each row's mean (of layer norms) and scale.
std::array<at::Tensor, 3> normed(Norm norm, const Problem &p, const at::Tensor &x, const at::Tensor &w,
                                 const at::Tensor &b) {
  at::TensorOptions wide = x.options().dtype(x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  at::Tensor y = at::empty_like(x), scales = at::empty({p.rows}, wide), means;
  if (norm == Norm::layer) means = at::empty({p.rows}, wide);
  with_type_and_norm(x.scalar_type(), norm, [&](auto type, auto which) {
    using T = decltype(type);
    const T *from = pointer<T>(x), *factor = pointer<T>(w), *added = pointer<T>(b);
    T *to = pointer<T>(y);
    auto *mean = pointer<wide_t<T>>(means), *scale = pointer<wide_t<T>>(scales);
    parallel_for(0, p.rows, chunk_rows, [&](int64_t begin, int64_t end) {
      forward_rows<T, which()>(p, from, factor, added, to, mean, scale, begin, end);
    });
  });
  return {y, means, scales};
}

at::Tensor normed_again(const std::vector<at::Tensor> &parts, const std::vector<double> &numbers) {
  Problem p = problem_of(parts[0], static_cast<int64_t>(numbers[1]), numbers[2], numbers[3] != 0);
  return normed(static_cast<Norm>(numbers[0]), p, parts[0], parts[1], parts[2])[0];
}

struct Normed : torch::autograd::Function<Normed> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const std::optional<at::Tensor> &weight,
                            const std::optional<at::Tensor> &bias, int64_t kind, int64_t span, double epsilon, bool around_one) {
    at::Tensor w = weight.value_or(at::Tensor()), b = bias.value_or(at::Tensor());
    auto [y, means, scales] = normed(static_cast<Norm>(kind), problem_of(x, span, epsilon, around_one), x, w, b);
    context->save_for_backward({x, w, means, scales});
    context->saved_data["kind"] = kind;
    context->saved_data["span"] = span;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["around_one"] = around_one;
    context->saved_data["bias"] = b.defined() ? b.sizes().vec() : std::vector<int64_t>();
    return y;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor x = saved[0], w = saved[1], means = saved[2], scales = saved[3], g = gradients[0].contiguous();
    Norm norm = static_cast<Norm>(context->saved_data["kind"].toInt());
    Problem p = problem_of(x, context->saved_data["span"].toInt(), context->saved_data["epsilon"].toDouble(),
                           context->saved_data["around_one"].toBool());
    std::vector<int64_t> bias_shape = context->saved_data["bias"].toIntVector();
    bool wants_weight = w.defined() && context->needs_input_grad(1);
    // Counted are the tensors that were there.
    bool wants_bias = !bias_shape.empty() && context->needs_input_grad(w.defined() ? 2 : 1);
    const int64_t chunks = p.spans() * p.chunks_of_span();
    at::Tensor dx = context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
    at::Tensor weight_sums = wants_weight ? at::zeros({chunks, p.width}, scales.options()) : at::Tensor();
    at::Tensor bias_sums = wants_bias ? at::zeros({chunks, p.width}, scales.options()) : at::Tensor();
    with_type_and_norm(x.scalar_type(), norm, [&](auto type, auto which) {
      using T = decltype(type);
      using W = wide_t<T>;
      const T *from = pointer<T>(x), *factor = pointer<T>(w), *incoming = pointer<T>(g);
      const W *mean = pointer<W>(means), *scale = pointer<W>(scales);
      T *to = pointer<T>(dx);
      W *dw = pointer<W>(weight_sums), *db = pointer<W>(bias_sums);
      parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
        backward_chunks<T, which()>(p, from, factor, mean, scale, incoming, to, dw, db, begin, end);
      });
    });
    auto summed = [&](const at::Tensor &sums, at::IntArrayRef shape) {
      if (!sums.defined()) return at::Tensor();
      return sums.view({p.spans(), p.chunks_of_span(), p.width}).sum(1).to(x.scalar_type()).view(shape);
    };
    return {dx, summed(weight_sums, w.defined() ? w.sizes() : at::IntArrayRef()), summed(bias_sums, bias_shape),
            {}, {}, {}, {}};
  }
};

at::Tensor apply(Norm norm, const at::Tensor &input, const std::optional<at::Tensor> &weight,
                 const std::optional<at::Tensor> &bias, int64_t span, double epsilon, bool around_one) {
  auto dense = [](const std::optional<at::Tensor> &row) { return row ? std::optional(row->contiguous()) : std::nullopt; };
  at::Tensor x = input.contiguous();
  std::optional<at::Tensor> w = dense(weight), b = dense(bias);
  auto kind = static_cast<int64_t>(norm);
  return with_recipe(Normed::apply(x, w, b, kind, span, epsilon, around_one), normed_again,
                     {x, w.value_or(at::Tensor()), b.value_or(at::Tensor())},
                     {static_cast<double>(kind), static_cast<double>(span), epsilon, around_one ? 1.0 : 0.0});
}

bool fits(const at::Tensor &input, const std::optional<at::Tensor> &other) {
  return !other || (other->is_cpu() && other->scalar_type() == input.scalar_type());
}

}  // namespace

bool can_fuse_norm(const at::Tensor &input, const std::optional<at::Tensor> &weight,
                   const std::optional<at::Tensor> &bias) {
  at::ScalarType type = input.scalar_type();
  bool is_known = type == at::kBFloat16 || type == at::kFloat || type == at::kDouble;
  return input.is_cpu() && is_known && input.dim() > 0 && input.numel() > 0 && fits(input, weight) &&
         fits(input, bias);
}

at::Tensor fused_rms_norm(const at::Tensor &input, const std::optional<at::Tensor> &weight, double epsilon) {
  return apply(Norm::root_mean_square, input, weight, std::nullopt, 0, epsilon, false);
}

at::Tensor fused_layer_norm(const at::Tensor &input, const std::optional<at::Tensor> &weight,
                            const std::optional<at::Tensor> &bias, double epsilon) {
  return apply(Norm::layer, input, weight, bias, 0, epsilon, false);
}

at::Tensor fused_modulated_norm(const at::Tensor &input, const at::Tensor &scale, const at::Tensor &shift,
                                double epsilon) {
  return apply(Norm::layer, input, scale, shift, input.size(1), epsilon, true);
}

}  // namespace ctorch

using namespace ctorch;

ct_status ct_layer_norm(const ct_tensor *tensor, const ct_tensor *weight, const ct_tensor *bias, double epsilon,
                        ptrdiff_t width, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    std::optional<at::Tensor> w = maybe(weight), b = maybe(bias);
    auto is_row = [&](const std::optional<at::Tensor> &row) { return !row || (row->dim() == 1 && row->size(0) == width); };
    if (can_fuse_norm(input, w, b) && input.size(-1) == width && is_row(w) && is_row(b)) {
      return fused_layer_norm(input, w, b, epsilon);
    }
    return at::layer_norm(input, {static_cast<int64_t>(width)}, w, b, epsilon);
  });
}

ct_status ct_modulated_norm(const ct_tensor *tensor, const ct_tensor *scale, const ct_tensor *shift, double epsilon,
                            ct_tensor **out) {
  return result(out, [&] {
    at::Tensor x = get(tensor), s = get(scale), b = get(shift);
    TORCH_CHECK(x.dim() == 3, "a modulated norm needs three axes");
    auto is_row = [&](const at::Tensor &row) {
      return row.dim() == 3 && row.size(0) == x.size(0) && row.size(1) == 1 && row.size(2) == x.size(2);
    };
    TORCH_CHECK(is_row(s) && is_row(b), "scale and shift need one row for each of the batch");
    if (can_fuse_norm(x, s, b)) return fused_modulated_norm(x, s, b, epsilon);
    return at::layer_norm(x, {x.size(2)}, {}, {}, epsilon) * (s + 1) + b;
  });
}

ct_status ct_rms_norm(const ct_tensor *tensor, const ct_tensor *weight, double epsilon, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    at::ScalarType type = input.scalar_type();
    std::optional<at::Tensor> w = maybe(weight);
    TORCH_CHECK(!w || (w->dim() == 1 && input.dim() > 0 && w->size(0) == input.size(-1)),
                "the weight's length is not the last axis'");
    if (can_fuse_norm(input, w, {})) return fused_rms_norm(input, w, epsilon);
    at::Tensor wide = type == at::kDouble ? input : input.to(at::kFloat);
    at::Tensor scale = (wide.square().mean({-1}, /*keepdim=*/true) + epsilon).rsqrt();
    at::Tensor normed = (wide * scale).to(type);
    return w ? normed * *w : normed;
  });
}
