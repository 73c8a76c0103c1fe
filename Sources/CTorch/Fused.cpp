#include "Fused.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Rows that one task takes, fixed so that sums do not depend on the number of threads.
constexpr int64_t chunk_rows = 32;

template <typename T> T sum_of_products(const T *a, const T *b, int64_t count) {
#pragma clang fp reassociate(on)
  T sum = 0;
  for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

template <typename T> T weighted_sum_of_products(const T *a, const T *b, const T *weight, int64_t count) {
#pragma clang fp reassociate(on)
  T sum = 0;
  for (int64_t i = 0; i < count; i++) sum += a[i] * b[i] * weight[i];
  return sum;
}

struct RMSNorm : torch::autograd::Function<RMSNorm> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &weight,
                            double epsilon) {
    at::Tensor x = input.contiguous(), w = weight.contiguous(), y = at::empty_like(x);
    int64_t width = x.size(-1), rows = width == 0 ? 0 : x.numel() / width;
    at::Tensor scales = at::empty({rows}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm", [&] {
      const auto *from = x.const_data_ptr<scalar_t>(), *factor = w.const_data_ptr<scalar_t>();
      auto *to = y.data_ptr<scalar_t>(), *scale = scales.data_ptr<scalar_t>();
      at::parallel_for(0, rows, chunk_rows, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const scalar_t *in = from + row * width;
          scalar_t *out = to + row * width;
          scalar_t mean = sum_of_products(in, in, width) / static_cast<scalar_t>(width);
          scalar_t s = 1 / std::sqrt(mean + static_cast<scalar_t>(epsilon));
          scale[row] = s;
          for (int64_t i = 0; i < width; i++) out[i] = in[i] * s * factor[i];
        }
      });
    });
    context->save_for_backward({x, w, scales});
    return y;
  }

  // With x' = x s: dx = s (w g - x' mean(w g x')), dw = sum over rows of g x'.
  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor x = saved[0], w = saved[1], scales = saved[2], g = gradients[0].contiguous();
    bool wants_input = context->needs_input_grad(0), wants_weight = context->needs_input_grad(1);
    int64_t width = x.size(-1), rows = scales.numel();
    int64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
    at::Tensor dx = wants_input ? at::empty_like(x) : at::Tensor();
    at::Tensor partial = wants_weight ? at::zeros({chunks, width}, x.options()) : at::Tensor();
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms_norm backward", [&] {
      const auto *from = x.const_data_ptr<scalar_t>(), *factor = w.const_data_ptr<scalar_t>();
      const auto *scale = scales.const_data_ptr<scalar_t>(), *incoming = g.const_data_ptr<scalar_t>();
      auto *to = wants_input ? dx.data_ptr<scalar_t>() : nullptr;
      auto *sums = wants_weight ? partial.data_ptr<scalar_t>() : nullptr;
      at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t chunk = begin; chunk < end; chunk++) {
          int64_t last = std::min(rows, (chunk + 1) * chunk_rows);
          for (int64_t row = chunk * chunk_rows; row < last; row++) {
            const scalar_t *in = from + row * width, *up = incoming + row * width;
            scalar_t s = scale[row];
            if (wants_input) {
              scalar_t *out = to + row * width;
              scalar_t shared = weighted_sum_of_products(in, up, factor, width) * s * s * s /
                                static_cast<scalar_t>(width);
              for (int64_t i = 0; i < width; i++) out[i] = up[i] * factor[i] * s - in[i] * shared;
            }
            if (wants_weight) {
              scalar_t *out = sums + chunk * width;
              for (int64_t i = 0; i < width; i++) out[i] += up[i] * in[i] * s;
            }
          }
        }
      });
    });
    return {dx, wants_weight ? partial.sum(0) : at::Tensor(), at::Tensor()};
  }
};

// Forward rotates; the derivative is the rotation with the sines' halves swapped and negated.
template <bool backward>
at::Tensor rotate(const at::Tensor &input, const at::Tensor &cosines, const at::Tensor &sines) {
  at::Tensor x = input.stride(-1) == 1 ? input : input.contiguous();
  at::Tensor c = cosines.expand(x.sizes()), s = sines.expand(x.sizes()), y = at::empty_like(x);
  if (y.stride(-1) != 1) y = at::empty(x.sizes(), x.options());
  int64_t half = x.size(3) / 2, heads = x.size(1), length = x.size(2);
  at::IntArrayRef xs = x.strides(), ys = y.strides(), cs = c.strides(), ss = s.strides();
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rotary", [&] {
    const auto *from = x.const_data_ptr<scalar_t>();
    const auto *cosine = c.const_data_ptr<scalar_t>(), *sine = s.const_data_ptr<scalar_t>();
    auto *to = y.data_ptr<scalar_t>();
    at::parallel_for(0, x.size(0) * heads * length, 256, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        int64_t b = row / (heads * length), h = row / length % heads, t = row % length;
        const scalar_t *in = from + b * xs[0] + h * xs[1] + t * xs[2];
        const scalar_t *cos = cosine + b * cs[0] + h * cs[1] + t * cs[2];
        const scalar_t *sin = sine + b * ss[0] + h * ss[1] + t * ss[2];
        scalar_t *out = to + b * ys[0] + h * ys[1] + t * ys[2];
        for (int64_t i = 0; i < half; i++) {
          scalar_t first = in[i], second = in[i + half];
          if constexpr (backward) {
            out[i] = first * cos[i] + second * sin[i + half];
            out[i + half] = second * cos[i + half] - first * sin[i];
          } else {
            out[i] = first * cos[i] - second * sin[i];
            out[i + half] = second * cos[i + half] + first * sin[i + half];
          }
        }
      }
    });
  });
  return y;
}

struct Rotary : torch::autograd::Function<Rotary> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &input, const at::Tensor &cosines,
                            const at::Tensor &sines) {
    context->save_for_backward({cosines, sines});
    return rotate<false>(input, cosines, sines);
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    return {rotate<true>(gradients[0], saved[0], saved[1]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool can_fuse(const at::Tensor &input) {
  return input.is_cpu() && (input.scalar_type() == at::kFloat || input.scalar_type() == at::kDouble);
}

at::Tensor fused_rms_norm(const at::Tensor &input, const at::Tensor &weight, double epsilon) {
  return RMSNorm::apply(input, weight, epsilon);
}

at::Tensor fused_rotary(const at::Tensor &input, const at::Tensor &cosines, const at::Tensor &sines) {
  return Rotary::apply(input, cosines, sines);
}

}  // namespace ctorch
