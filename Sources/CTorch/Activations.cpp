#include "Activations.h"
#include "Recipe.h"
#include "Vectors.h"
#include "Parallel.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Values that one task takes, and rows whose sums are added up on their own: fixed, so that sums do not depend on
// the number of threads.
constexpr int64_t chunk_values = int64_t{1} << 14, chunk_rows = 64;

// MARK: Functions of a value, and their slopes

struct SiLU {
  static INLINE Floats value(Floats x) { return x * sigmoid(x); }
  static INLINE void both(Floats x, Floats &value, Floats &slope) {
    Floats gate = sigmoid(x);
    value = x * gate;
    slope = gate + value * (1.0f - gate);
  }
};

struct QuickGELU {
  static INLINE Floats value(Floats x) { return x * sigmoid(x * 1.702f); }
  static INLINE void both(Floats x, Floats &value, Floats &slope) {
    Floats gate = sigmoid(x * 1.702f);
    value = x * gate;
    slope = gate + 1.702f * value * (1.0f - gate);
  }
};

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
struct TanhGELU {
  static INLINE Floats value(Floats x) {
    return x * sigmoid(x * (1.595769122f + 0.0713548163f * x * x));
  }
  static INLINE void both(Floats x, Floats &value, Floats &slope) {
    Floats square = x * x;
    Floats gate = sigmoid(x * (1.595769122f + 0.0713548163f * square));
    value = x * gate;
    slope = gate + value * (1.0f - gate) * (1.595769122f + 0.214064449f * square);
  }
};

// x times the normal distribution's function, with Abramowitz and Stegun's 7.1.26 (1.5e-7).
struct ErfGELU {
  static INLINE Floats tail(Floats x, Floats density) {
    Floats z = bits<Floats>(bits<Words>(x) & 0x7fffffff) * 0.707106781f;
    Floats t = 1.0f / (1.0f + 0.3275911f * z);
    Floats sum = 1.061405429f;
    sum = sum * t + -1.453152027f;
    sum = sum * t + 1.421413741f;
    sum = sum * t + -0.284496736f;
    sum = sum * t + 0.254829592f;
    Floats upper = 0.5f * sum * t * density;
    return chosen(x < 0.0f, upper, 1.0f - upper);
  }
  static INLINE Floats value(Floats x) { return x * tail(x, exponential(-0.5f * x * x)); }
  static INLINE void both(Floats x, Floats &value, Floats &slope) {
    Floats density = exponential(-0.5f * x * x);
    Floats share = tail(x, density);
    value = x * share;
    slope = share + x * density * 0.398942280f;
  }
};

template <typename Body> void with_function(Activation activation, const Body &body) {
  switch (activation) {
    case Activation::silu: return body(SiLU());
    case Activation::quick_gelu: return body(QuickGELU());
    case Activation::gelu: return body(ErfGELU());
    case Activation::gelu_tanh: return body(TanhGELU());
  }
}

template <typename Body> void with_type(const at::Tensor &tensor, const Body &body) {
  if (tensor.scalar_type() == at::kBFloat16) body(c10::BFloat16());
  else body(float());
}

// MARK: act(x + bias)

void activate(Activation activation, const at::Tensor &x, const at::Tensor &bias, const at::Tensor &out) {
  int64_t width = bias.defined() ? x.size(-1) : chunk_values;
  int64_t count = x.numel(), rows = (count + width - 1) / width;
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const T *from = x.const_data_ptr<T>(), *added = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
    T *to = out.data_ptr<T>();
    with_function(activation, [&](auto function) {
      parallel_for(0, rows, std::max<int64_t>(1, chunk_values / width), [&](int64_t begin, int64_t end) {
        vectorized([&]() VECTORIZED {
          for (int64_t row = begin; row < end; row++) {
            const int64_t start = row * width, length = std::min(width, count - start);
            by_lanes(length, [&](int64_t i, int64_t n) VECTORIZED {
              Floats value = load(from + start + i, n);
              if (added) value += load(added + i, n);
              store(to + start + i, decltype(function)::value(value), n);
            });
          }
        });
      });
    });
  });
}

// `sums` [chunks, width] gets the bias' derivatives of chunk_rows rows each; undefined where not wanted.
void activate_backward(Activation activation, const at::Tensor &x, const at::Tensor &bias, const at::Tensor &gradient,
                       const at::Tensor &out, const at::Tensor &sums) {
  int64_t width = bias.defined() ? x.size(-1) : chunk_values;
  int64_t count = x.numel(), rows = (count + width - 1) / width;
  const int64_t chunk_height = sums.defined() ? chunk_rows : std::max<int64_t>(1, chunk_values / width);
  const int64_t chunks = (rows + chunk_height - 1) / chunk_height;
  with_type(x, [&](auto type) {
    using T = decltype(type);
    const T *from = x.const_data_ptr<T>(), *incoming = gradient.const_data_ptr<T>();
    const T *added = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
    T *to = out.data_ptr<T>();
    float *sum = sums.defined() ? sums.data_ptr<float>() : nullptr;
    with_function(activation, [&](auto function) {
      parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
        vectorized([&]() VECTORIZED {
          for (int64_t chunk = begin; chunk < end; chunk++) {
            const int64_t last = std::min(rows, (chunk + 1) * chunk_height);
            for (int64_t row = chunk * chunk_height; row < last; row++) {
              const int64_t start = row * width, length = std::min(width, count - start);
              by_lanes(length, [&](int64_t i, int64_t n) VECTORIZED {
                Floats input = load(from + start + i, n), value, slope;
                if (added) input += load(added + i, n);
                decltype(function)::both(input, value, slope);
                slope *= load(incoming + start + i, n);
                store(to + start + i, slope, n);
                if (sum) {
                  float *place = sum + chunk * width + i;
                  store(place, load(place, n) + slope, n);
                }
              });
            }
          }
        });
      });
    });
  });
}

at::Tensor activated_again(const std::vector<at::Tensor> &parts, const std::vector<double> &numbers) {
  at::Tensor out = at::empty_like(parts[0]);
  activate(static_cast<Activation>(numbers[0]), parts[0], parts[1], out);
  return out;
}

struct Activate : torch::autograd::Function<Activate> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const std::optional<at::Tensor> &bias,
                            int64_t activation) {
    at::Tensor b = bias.value_or(at::Tensor());
    context->save_for_backward({x, b});
    context->saved_data["activation"] = activation;
    return activated_again({x, b}, {static_cast<double>(activation)});
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor x = saved[0], bias = saved[1], gradient = gradients[0].contiguous();
    at::Tensor out = at::empty_like(x), sums;
    if (bias.defined() && context->needs_input_grad(1)) {
      int64_t width = x.size(-1), rows = width == 0 ? 0 : x.numel() / width;
      sums = at::zeros({(rows + chunk_rows - 1) / chunk_rows, width}, x.options().dtype(at::kFloat));
    }
    activate_backward(static_cast<Activation>(context->saved_data["activation"].toInt()), x, bias, gradient, out,
                      sums);
    return {out, sums.defined() ? sums.sum(0).to(bias.scalar_type()) : at::Tensor(), at::Tensor()};
  }
};

// MARK: act(gate) * up

// Rows of a tensor whose last axis is dense.
template <typename T> struct Rows {
  T *data;
  int64_t stride;
  T *at(int64_t row) const { return data + row * stride; }
};

void gate(Activation activation, const at::Tensor &gates, const at::Tensor &ups, const at::Tensor &out) {
  int64_t width = out.size(1), rows = out.size(0);
  with_type(gates, [&](auto type) {
    using T = decltype(type);
    Rows<const T> a{gates.const_data_ptr<T>(), gates.stride(0)}, b{ups.const_data_ptr<T>(), ups.stride(0)};
    Rows<T> c{out.data_ptr<T>(), out.stride(0)};
    with_function(activation, [&](auto function) {
      parallel_for(0, rows, std::max<int64_t>(1, chunk_values / width), [&](int64_t begin, int64_t end) {
        vectorized([&]() VECTORIZED {
          for (int64_t row = begin; row < end; row++) {
            const T *left = a.at(row), *right = b.at(row);
            T *to = c.at(row);
            by_lanes(width, [&](int64_t i, int64_t n) VECTORIZED {
              store(to + i, decltype(function)::value(load(left + i, n)) * load(right + i, n), n);
            });
          }
        });
      });
    });
  });
}

void gate_backward(Activation activation, const at::Tensor &gates, const at::Tensor &ups, const at::Tensor &gradient,
                   const at::Tensor &gate_out, const at::Tensor &up_out) {
  int64_t width = gradient.size(1), rows = gradient.size(0);
  with_type(gates, [&](auto type) {
    using T = decltype(type);
    Rows<const T> a{gates.const_data_ptr<T>(), gates.stride(0)}, b{ups.const_data_ptr<T>(), ups.stride(0)};
    Rows<const T> g{gradient.const_data_ptr<T>(), gradient.stride(0)};
    Rows<T> da{gate_out.data_ptr<T>(), gate_out.stride(0)}, db{up_out.data_ptr<T>(), up_out.stride(0)};
    with_function(activation, [&](auto function) {
      parallel_for(0, rows, std::max<int64_t>(1, chunk_values / width), [&](int64_t begin, int64_t end) {
        vectorized([&]() VECTORIZED {
          for (int64_t row = begin; row < end; row++) {
            const T *left = a.at(row), *right = b.at(row), *incoming = g.at(row);
            T *to_left = da.at(row), *to_right = db.at(row);
            by_lanes(width, [&](int64_t i, int64_t n) VECTORIZED {
              Floats value, slope, d = load(incoming + i, n);
              decltype(function)::both(load(left + i, n), value, slope);
              store(to_left + i, d * load(right + i, n) * slope, n);
              store(to_right + i, d * value, n);
            });
          }
        });
      });
    });
  });
}

// [.., width] as [rows, width].
at::Tensor as_rows(const at::Tensor &tensor) { return tensor.reshape({-1, tensor.size(-1)}); }

struct Gate : torch::autograd::Function<Gate> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &gates, const at::Tensor &ups,
                            int64_t activation) {
    at::Tensor a = gates.contiguous(), b = ups.contiguous(), out = at::empty_like(a);
    gate(static_cast<Activation>(activation), as_rows(a), as_rows(b), as_rows(out));
    context->save_for_backward({a, b});
    context->saved_data["activation"] = activation;
    return out;
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor a = saved[0], b = saved[1], g = gradients[0].contiguous();
    at::Tensor da = at::empty_like(a), db = at::empty_like(b);
    gate_backward(static_cast<Activation>(context->saved_data["activation"].toInt()), as_rows(a), as_rows(b),
                  as_rows(g), as_rows(da), as_rows(db));
    return {da, db, at::Tensor()};
  }
};

// Gates and ups side by side in the last axis, as one product gives them.
at::Tensor gated_again(const std::vector<at::Tensor> &parts, const std::vector<double> &numbers) {
  std::vector<int64_t> shape = parts[0].sizes().vec();
  int64_t width = shape.back() /= 2;
  at::Tensor out = at::empty(shape, parts[0].options()), rows = as_rows(parts[0]);
  gate(static_cast<Activation>(numbers[0]), rows.narrow(1, 0, width), rows.narrow(1, width, width), as_rows(out));
  return out;
}

struct JoinedGate : torch::autograd::Function<JoinedGate> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, int64_t activation) {
    context->save_for_backward({x});
    context->saved_data["activation"] = activation;
    return gated_again({x}, {static_cast<double>(activation)});
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    at::Tensor x = context->get_saved_variables()[0], g = gradients[0].contiguous(), out = at::empty_like(x);
    int64_t width = g.size(-1);
    at::Tensor rows = as_rows(x), to = as_rows(out);
    gate_backward(static_cast<Activation>(context->saved_data["activation"].toInt()), rows.narrow(1, 0, width),
                  rows.narrow(1, width, width), as_rows(g), to.narrow(1, 0, width), to.narrow(1, width, width));
    return {out, at::Tensor()};
  }
};

at::Tensor composed(Activation activation, const at::Tensor &x) {
  switch (activation) {
    case Activation::silu: return at::silu(x);
    case Activation::quick_gelu: return x * (x * 1.702).sigmoid();
    case Activation::gelu: return at::gelu(x);
    case Activation::gelu_tanh: return at::gelu(x, "tanh");
  }
  TORCH_CHECK(false, "unknown activation");
}

bool can_fuse_activation(const at::Tensor &x) {
  return x.is_cpu() && x.numel() > 0 && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kFloat);
}

}  // namespace

at::Tensor activated(Activation activation, const at::Tensor &x, const std::optional<at::Tensor> &bias) {
  if (bias) {
    TORCH_CHECK(bias->dim() == 1 && x.dim() > 0 && bias->size(0) == x.size(-1),
                "the bias' length is not the last axis'");
  }
  bool fits = can_fuse_activation(x) && (!bias || (bias->is_cpu() && bias->scalar_type() == x.scalar_type()));
  if (!fits) return composed(activation, bias ? x + *bias : x);
  at::Tensor input = x.contiguous();
  std::optional<at::Tensor> b = bias ? std::optional(bias->contiguous()) : std::nullopt;
  return with_recipe(Activate::apply(input, b, static_cast<int64_t>(activation)), activated_again,
                     {input, b.value_or(at::Tensor())}, {static_cast<double>(activation)});
}

}  // namespace ctorch

using namespace ctorch;

static Activation activation_of(ct_activation kind) {
  switch (kind) {
    case CT_ACTIVATE_SILU: return Activation::silu;
    case CT_ACTIVATE_QUICK_GELU: return Activation::quick_gelu;
    case CT_ACTIVATE_GELU: return Activation::gelu;
    case CT_ACTIVATE_GELU_TANH: return Activation::gelu_tanh;
  }
  TORCH_CHECK(false, "unknown activation");
}

ct_status ct_activate(ct_activation kind, const ct_tensor *tensor, const ct_tensor *bias, ct_tensor **out) {
  return result(out, [&] { return activated(activation_of(kind), get(tensor), maybe(bias)); });
}

ct_status ct_gate(ct_activation kind, const ct_tensor *gates, const ct_tensor *ups, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor a = get(gates), b = get(ups);
    TORCH_CHECK(a.sizes() == b.sizes(), "gates and values must have one shape");
    if (!can_fuse_activation(a) || !b.is_cpu() || a.scalar_type() != b.scalar_type() || a.dim() == 0) {
      return composed(activation_of(kind), a) * b;
    }
    return Gate::apply(a, b, static_cast<int64_t>(activation_of(kind)));
  });
}

ct_status ct_gate_joined(ct_activation kind, const ct_tensor *joined, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor x = get(joined);
    TORCH_CHECK(x.dim() > 0 && x.size(-1) % 2 == 0, "the last axis must be even: gates, then values");
    if (can_fuse_activation(x)) {
      auto activation = static_cast<int64_t>(activation_of(kind));
      x = x.contiguous();
      return with_recipe(JoinedGate::apply(x, activation), gated_again, {x}, {static_cast<double>(activation)});
    }
    int64_t width = x.size(-1) / 2;
    return composed(activation_of(kind), x.narrow(-1, 0, width)) * x.narrow(-1, width, width);
  });
}
