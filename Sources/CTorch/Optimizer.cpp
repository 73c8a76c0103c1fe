#include "Shim.h"
#include "Parallel.h"
#include "Vectors.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>

using namespace ctorch;

namespace {

struct Coefficients {
  double keep, beta1, beta2, step_size, inverse_root_correction, epsilon, factor;
};

// What is stored beside a weight, and is its fp32 master with it: nothing where the weight is its own, a copy of its own,
// or the remainder of its rounding to bf16.
struct Own {};
using Copy = float;
using Remainder = int16_t;

template <typename Weight, typename Beside, typename State>
INLINE Lanes<State> load_master(const Weight *weight, const Beside *beside, int64_t i, int64_t n) {
  if constexpr (std::is_same_v<Beside, Own>) {
    return load(weight + i, n);
  } else if constexpr (std::is_same_v<Beside, Remainder>) {
    Words rest = bits<Words>(__builtin_convertvector(load(beside + i, n), Lanes<int32_t>));
    return bits<Floats>(bits<Words>(load(weight + i, n)) + rest);
  } else {
    return load(beside + i, n);
  }
}

template <typename Weight, typename Beside, typename State>
INLINE void store_master(Weight *weight, Beside *beside, Lanes<State> master, int64_t i, int64_t n) {
  store(weight + i, master, n);
  if constexpr (std::is_same_v<Beside, Remainder>) {
    // Half a unit of bf16 rounded down is one more than fits.
    auto rest = bits<Lanes<int32_t>>(bits<Words>(master) - bits<Words>(as_bf16(master)));
    store(beside + i, __builtin_convertvector(__builtin_elementwise_min(rest, Lanes<int32_t>(32767)), Lanes<int16_t>), n);
  } else if constexpr (std::is_same_v<Beside, Copy>) {
    store(beside + i, master, n);
  }
}

// The decoupled decay of AdamW (arXiv:1711.05101, algorithm 2), one pass over memory.
template <typename Weight, typename Gradient, typename Beside, typename State>
void update(Weight *weight, const Gradient *gradient, Beside *beside, State *first, State *second, int64_t count,
            const Coefficients &c) {
  const State keep = static_cast<State>(c.keep), beta1 = static_cast<State>(c.beta1);
  const State beta2 = static_cast<State>(c.beta2), step_size = static_cast<State>(c.step_size);
  const State rest1 = static_cast<State>(1 - c.beta1), rest2 = static_cast<State>(1 - c.beta2);
  const State correction = static_cast<State>(c.inverse_root_correction);
  const State epsilon = static_cast<State>(c.epsilon), factor = static_cast<State>(c.factor);
  vectorized([&]() VECTORIZED {
    by_lanes(count, [&](int64_t i, int64_t n) VECTORIZED {
      Lanes<State> g = load(gradient + i, n) * factor;
      Lanes<State> m = beta1 * load(first + i, n) + rest1 * g;
      Lanes<State> v = beta2 * load(second + i, n) + rest2 * g * g;
      Lanes<State> w = keep * load_master<Weight, Beside, State>(weight, beside, i, n) -
                       step_size * m / (__builtin_elementwise_sqrt(v) * correction + epsilon);
      store(first + i, m, n);
      store(second + i, v, n);
      store_master<Weight, Beside, State>(weight, beside, w, i, n);
    });
  });
}

template <typename Weight, typename Gradient, typename Beside, typename State>
void update_all(const at::Tensor &weight, const at::Tensor &gradient, const at::Tensor &master,
                const at::Tensor &first, const at::Tensor &second, const Coefficients &c) {
  auto *w = weight.data_ptr<Weight>();
  const auto *g = gradient.const_data_ptr<Gradient>();
  auto *m = first.data_ptr<State>();
  auto *v = second.data_ptr<State>();
  Own own;
  Beside *b;
  if constexpr (std::is_same_v<Beside, Own>) b = &own;
  else b = master.data_ptr<Beside>();
  ctorch::parallel_for(0, weight.numel(), 1 << 15, [&](int64_t from, int64_t to) {
    auto *beside = std::is_same_v<Beside, Own> ? b : b + from;
    update(w + from, g + from, beside, m + from, v + from, to - from, c);
  });
}

template <typename Weight, typename Beside>
void update_halves(const at::Tensor &weight, const at::Tensor &gradient, const at::Tensor &master,
                   const at::Tensor &first, const at::Tensor &second, const Coefficients &c) {
  if (gradient.scalar_type() == at::kFloat) {
    update_all<Weight, float, Beside, float>(weight, gradient.contiguous(), master, first, second, c);
  } else {
    at::Tensor g = gradient.to(weight.scalar_type()).contiguous();
    update_all<Weight, Weight, Beside, float>(weight, g, master, first, second, c);
  }
}

void update_on_cpu(const at::Tensor &weight, const at::Tensor &gradient, const at::Tensor &master,
                   const at::Tensor &first, const at::Tensor &second, const Coefficients &c) {
  at::ScalarType type = weight.scalar_type();
  if (type == at::kBFloat16) {
    if (master.scalar_type() == at::kShort) {
      return update_halves<c10::BFloat16, Remainder>(weight, gradient, master, first, second, c);
    }
    return update_halves<c10::BFloat16, Copy>(weight, gradient, master, first, second, c);
  }
  if (type == at::kHalf) return update_halves<c10::Half, Copy>(weight, gradient, master, first, second, c);
  at::Tensor g = gradient.to(type).contiguous();
  if (type == at::kFloat) return update_all<float, float, Own, float>(weight, g, master, first, second, c);
  if (type == at::kDouble) return update_all<double, double, Own, double>(weight, g, master, first, second, c);
  TORCH_CHECK(false, "weights of dtype ", type, " cannot be trained");
}

// The same by libtorch's own kernel, where weights are not in main memory or not in one piece.
class LibraryUpdate {
public:
  explicit LibraryUpdate(const ct_adamw_settings &settings) : settings_(settings) {}

  void add(const at::Tensor &weight, const at::Tensor &gradient, const at::Tensor &beside, const at::Tensor &first,
           const at::Tensor &second) {
    at::Tensor master = weight;
    if (beside.defined()) {
      master = beside.scalar_type() == at::kShort ? joined(weight, beside) : beside;
      halves_.push_back({weight, master, beside});
    }
    masters_.push_back(master);
    // libtorch writes scaled gradients back, so where they are scaled it gets copies.
    gradients_.push_back(gradient.to(master.scalar_type(), /*non_blocking=*/false, settings_.gradient_factor != 1));
    first_.push_back(first);
    second_.push_back(second);
    count_ += weight.numel();
    if (count_ > most_at_once) flush();
  }

  void flush() {
    if (masters_.empty()) return;
    auto scalar = [&](double value) {
      return at::full({}, value, at::TensorOptions().dtype(at::kFloat).device(masters_[0].device()));
    };
    std::vector<at::Tensor> steps;
    for (size_t i = 0; i < masters_.size(); i++) steps.push_back(scalar(static_cast<double>(settings_.step)));
    std::optional<at::Tensor> scale;  // libtorch divides by it
    if (settings_.gradient_factor != 1) scale = scalar(1 / settings_.gradient_factor);
    at::_fused_adamw_(masters_, gradients_, first_, second_, {}, steps, settings_.rate, settings_.beta1,
                      settings_.beta2, settings_.decay, settings_.epsilon, /*amsgrad=*/false, /*maximize=*/false,
                      scale);
    for (auto &[weight, master, beside] : halves_) {
      weight.copy_(master);
      if (beside.scalar_type() == at::kShort) {
        at::Tensor rest = at::sub(master.view(at::kInt), weight.to(at::kFloat).view(at::kInt));
        beside.copy_(rest.clamp_max(32767));
      }
    }
    masters_.clear(), gradients_.clear(), first_.clear(), second_.clear(), halves_.clear();
    count_ = 0;
  }

private:
  struct Half { at::Tensor weight, master, beside; };

  // Bounds the masters put together and the gradients copied.
  static constexpr int64_t most_at_once = int64_t{1} << 26;
  const ct_adamw_settings &settings_;
  std::vector<at::Tensor> masters_, gradients_, first_, second_;
  std::vector<Half> halves_;
  int64_t count_ = 0;

  static at::Tensor joined(const at::Tensor &weight, const at::Tensor &remainder) {
    return at::add(weight.to(at::kFloat).view(at::kInt), remainder).view(at::kFloat);
  }
};

template <typename T> float sum_of_squares_of(const T *values, int64_t count) {
  float sum = 0;
  vectorized([&]() VECTORIZED {
    Floats sums = 0.0f;
    by_lanes(count, [&](int64_t i, int64_t n) VECTORIZED {
      Floats value = load(values + i, n);
      sums += value * value;
    });
    sum = sum_of<float>(sums);
  });
  return sum;
}

// Sums of squares of fixed stretches, added in order: the same for every number of threads.
template <typename T> double sum_of_squares(const at::Tensor &tensor) {
  constexpr int64_t stretch = 1 << 14;
  const T *values = tensor.const_data_ptr<T>();
  int64_t count = tensor.numel(), stretches = (count + stretch - 1) / stretch;
  std::vector<double> sums(stretches);
  ctorch::parallel_for(0, stretches, 4, [&](int64_t from, int64_t to) {
    for (int64_t s = from; s < to; s++) {
      const int64_t start = s * stretch, length = std::min(count - start, stretch);
      sums[s] = sum_of_squares_of(values + start, length);
    }
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

at::Tensor norm_of(const at::Tensor &tensor) {
  if (tensor.is_cpu() && tensor.is_contiguous()) {
    // libtorch would first make an fp32 copy of the halves.
    if (tensor.scalar_type() == at::kFloat) {
      return at::scalar_tensor(std::sqrt(sum_of_squares<float>(tensor)), at::kFloat);
    }
    if (tensor.scalar_type() == at::kBFloat16) {
      return at::scalar_tensor(std::sqrt(sum_of_squares<c10::BFloat16>(tensor)), at::kFloat);
    }
    if (tensor.scalar_type() == at::kHalf) {
      return at::scalar_tensor(std::sqrt(sum_of_squares<c10::Half>(tensor)), at::kFloat);
    }
  }
  at::ScalarType type = tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::linalg_vector_norm(tensor, 2, std::nullopt, false, type);
}

}  // namespace

ct_status ct_total_norm(const ct_tensor *const *tensors, ptrdiff_t count, ct_tensor **out) {
  return result(out, [&] {
    at::NoGradGuard guard;
    if (count == 0) return at::zeros({}, at::kFloat);
    std::vector<at::Tensor> norms;
    norms.reserve(count);
    at::Device where = get(tensors[0]).device();
    for (ptrdiff_t i = 0; i < count; i++) {
      norms.push_back(norm_of(get(tensors[i])).to(where).to(at::kFloat));
    }
    return at::linalg_vector_norm(at::stack(norms));
  });
}

ct_status ct_scale_all(const ct_tensor *const *tensors, ptrdiff_t count, double factor) {
  return guarded([&] {
    if (count == 0) return;
    at::NoGradGuard guard;
    std::vector<at::Tensor> all = list(tensors, count);
    at::_foreach_mul_(all, factor);
  });
}

ct_status ct_adamw(const ct_adamw_settings *settings, ct_tensor *const *weights, ct_tensor *const *gradients,
                   ct_tensor *const *masters, ct_tensor *const *first_moments,
                   ct_tensor *const *second_moments, ptrdiff_t count) {
  return guarded([&] {
    at::NoGradGuard guard;
    double correction1 = 1 - std::pow(settings->beta1, static_cast<double>(settings->step));
    double correction2 = 1 - std::pow(settings->beta2, static_cast<double>(settings->step));
    Coefficients c{1 - settings->rate * settings->decay, settings->beta1, settings->beta2,
                   settings->rate / correction1, 1 / std::sqrt(correction2), settings->epsilon,
                   settings->gradient_factor};
    LibraryUpdate library(*settings);
    for (ptrdiff_t i = 0; i < count; i++) {
      at::Tensor weight = get(weights[i]), gradient = get(gradients[i]);
      at::Tensor master = masters[i] ? get(masters[i]) : at::Tensor();
      at::Tensor first = get(first_moments[i]), second = get(second_moments[i]);
      TORCH_CHECK(gradient.sizes() == weight.sizes(), "a gradient of shape ", gradient.sizes(),
                  " does not fit a weight of shape ", weight.sizes());
      if (weight.is_cpu() && weight.is_contiguous()) {
        update_on_cpu(weight, gradient, master, first, second, c);
      } else {
        library.add(weight, gradient, master, first, second);
      }
    }
    library.flush();
  });
}
