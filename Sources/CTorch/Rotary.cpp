#include "Vectors.h"
#include "Shim.h"
#include "Parallel.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Forward rotates; the derivative is the rotation with the sines' halves swapped and negated.
template <bool backward>
at::Tensor rotate(const at::Tensor &input, const at::Tensor &cosines, const at::Tensor &sines) {
  at::Tensor x = input.stride(-1) == 1 ? input : input.contiguous();
  at::Tensor c = cosines.expand(x.sizes()), s = sines.expand(x.sizes()), y = at::empty_like(x);
  if (y.stride(-1) != 1) y = at::empty(x.sizes(), x.options());
  int64_t half = x.size(3) / 2, heads = x.size(1), length = x.size(2);
  at::IntArrayRef xs = x.strides(), ys = y.strides(), cs = c.strides(), ss = s.strides();
  auto run = [&](auto type) {
    using T = decltype(type);
    const T *from = x.const_data_ptr<T>(), *cosine = c.const_data_ptr<T>(), *sine = s.const_data_ptr<T>();
    T *to = y.data_ptr<T>();
    // Token by token, so that a row of all heads' values is gone through as it lies in memory.
    parallel_for(0, x.size(0) * length * heads, 256, [&](int64_t begin, int64_t end) {
      vectorized([&]() VECTORIZED {
        for (int64_t row = begin; row < end; row++) {
          int64_t b = row / (heads * length), t = row / heads % length, h = row % heads;
          const T *in = from + b * xs[0] + h * xs[1] + t * xs[2];
          const T *cos = cosine + b * cs[0] + h * cs[1] + t * cs[2];
          const T *sin = sine + b * ss[0] + h * ss[1] + t * ss[2];
          T *out = to + b * ys[0] + h * ys[1] + t * ys[2];
          by_lanes(half, [&](int64_t i, int64_t n) VECTORIZED {
            auto first = load(in + i, n), second = load(in + i + half, n);
            auto upper = load(sin + i, n), lower = load(sin + i + half, n);
            auto rotated = backward ? second * lower : -(second * upper);
            auto other = backward ? -(first * upper) : first * lower;
            store(out + i, first * load(cos + i, n) + rotated, n);
            store(out + i + half, second * load(cos + i + half, n) + other, n);
          });
        }
      });
    });
  };
  if (x.scalar_type() == at::kBFloat16) run(c10::BFloat16());
  else if (x.scalar_type() == at::kFloat) run(float());
  else run(double());
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

// Whether one pass can serve; else the composed form has to. Tables have no derivative there.
bool can_fuse_rotary(const at::Tensor &x, const at::Tensor &cosines, const at::Tensor &sines) {
  at::ScalarType type = x.scalar_type();
  if (!x.is_cpu() || x.dim() != 4 || x.numel() == 0) return false;
  if (type != at::kBFloat16 && type != at::kFloat && type != at::kDouble) return false;
  auto fits = [&](const at::Tensor &table) {
    return table.is_cpu() && table.scalar_type() == type && table.stride(-1) == 1 && !table.requires_grad() &&
           table.size(-1) == x.size(-1);
  };
  return fits(cosines) && fits(sines);
}

}  // namespace

}  // namespace ctorch

using namespace ctorch;

ct_status ct_rotary(const ct_tensor *tensor, const ct_tensor *cosines, const ct_tensor *sines, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor x = get(tensor), c = get(cosines), s = get(sines);
    int64_t half = x.size(-1) / 2;
    TORCH_CHECK(x.size(-1) == 2 * half, "the last axis must be even");
    if (can_fuse_rotary(x, c, s)) return Rotary::apply(x, c, s);
    at::Tensor rotated = at::cat({x.narrow(-1, half, half).neg(), x.narrow(-1, 0, half)}, -1);
    return x * c + rotated * s;
  });
}
