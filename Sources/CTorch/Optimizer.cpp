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

// The decoupled decay of AdamW (arXiv:1711.05101, algorithm 2), one pass over memory.
template <typename Weight, typename Gradient, typename State>
void update(Weight *weight, const Gradient *gradient, State *master, State *first, State *second, int64_t count,
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
      Lanes<State> w =
          keep * load(master + i, n) - step_size * m / (__builtin_elementwise_sqrt(v) * correction + epsilon);
      store(first + i, m, n);
      store(second + i, v, n);
      store(master + i, w, n);
      // A weight of the state's own type is its own master.
      if constexpr (!std::is_same_v<Weight, State>) store(weight + i, w, n);
    });
  });
}

template <typename Weight, typename Gradient, typename State>
void update_all(const at::Tensor &weight, const at::Tensor &gradient, const at::Tensor &master,
                const at::Tensor &first, const at::Tensor &second, const Coefficients &c) {
  auto *w = weight.data_ptr<Weight>();
  const auto *g = gradient.const_data_ptr<Gradient>();
  auto *s = master.data_ptr<State>();
  auto *m = first.data_ptr<State>();
  auto *v = second.data_ptr<State>();
  ctorch::parallel_for(0, weight.numel(), 1 << 15, [&](int64_t from, int64_t to) {
    update(w + from, g + from, s + from, m + from, v + from, to - from, c);
  });
}

void update_on_cpu(const at::Tensor &weight, const at::Tensor &gradient, const at::Tensor &master,
                   const at::Tensor &first, const at::Tensor &second, const Coefficients &c) {
  bool is_wide = gradient.scalar_type() == at::kFloat && master.scalar_type() == at::kFloat;
  at::Tensor g = (is_wide ? gradient : gradient.to(weight.scalar_type())).contiguous();
  switch (weight.scalar_type()) {
    case at::kFloat: return update_all<float, float, float>(weight, g, master, first, second, c);
    case at::kDouble: return update_all<double, double, double>(weight, g, master, first, second, c);
    case at::kBFloat16:
      if (is_wide) return update_all<c10::BFloat16, float, float>(weight, g, master, first, second, c);
      return update_all<c10::BFloat16, c10::BFloat16, float>(weight, g, master, first, second, c);
    case at::kHalf:
      if (is_wide) return update_all<c10::Half, float, float>(weight, g, master, first, second, c);
      return update_all<c10::Half, c10::Half, float>(weight, g, master, first, second, c);
    default: TORCH_CHECK(false, "weights of dtype ", weight.scalar_type(), " cannot be trained");
  }
}

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
    bool is_scaled = settings->gradient_factor != 1;
    double correction1 = 1 - std::pow(settings->beta1, static_cast<double>(settings->step));
    double correction2 = 1 - std::pow(settings->beta2, static_cast<double>(settings->step));
    Coefficients c{1 - settings->rate * settings->decay, settings->beta1, settings->beta2,
                   settings->rate / correction1, 1 / std::sqrt(correction2), settings->epsilon,
                   settings->gradient_factor};
    std::vector<at::Tensor> fused_weights, fused_gradients, fused_first, fused_second, steps, copied, copies;
    for (ptrdiff_t i = 0; i < count; i++) {
      at::Tensor weight = get(weights[i]), gradient = get(gradients[i]);
      at::Tensor master = masters[i] ? get(masters[i]) : weight;
      at::Tensor first = get(first_moments[i]), second = get(second_moments[i]);
      TORCH_CHECK(gradient.sizes() == weight.sizes(), "a gradient of shape ", gradient.sizes(),
                  " does not fit a weight of shape ", weight.sizes());
      if (weight.is_cpu() && weight.is_contiguous()) {
        update_on_cpu(weight, gradient, master, first, second, c);
        continue;
      }
      fused_weights.push_back(master);
      // libtorch writes scaled gradients back, so where they are scaled it gets copies.
      fused_gradients.push_back(gradient.to(master.scalar_type(), /*non_blocking=*/false, is_scaled));
      fused_first.push_back(first);
      fused_second.push_back(second);
      steps.push_back(at::full({}, static_cast<double>(settings->step),
                               at::TensorOptions().dtype(at::kFloat).device(weight.device())));
      if (masters[i]) {
        copied.push_back(weight);
        copies.push_back(master);
      }
    }
    if (!fused_weights.empty()) {
      std::optional<at::Tensor> scale;  // libtorch divides by it
      if (is_scaled) {
        scale = at::full({}, 1 / settings->gradient_factor,
                         at::TensorOptions().dtype(at::kFloat).device(fused_weights[0].device()));
      }
      at::_fused_adamw_(fused_weights, fused_gradients, fused_first, fused_second, {}, steps, settings->rate,
                        settings->beta1, settings->beta2, settings->decay, settings->epsilon,
                        /*amsgrad=*/false, /*maximize=*/false, scale);
    }
    for (size_t i = 0; i < copied.size(); i++) copied[i].copy_(copies[i]);
  });
}
