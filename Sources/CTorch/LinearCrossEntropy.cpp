#include "Shim.h"
#include "Parallel.h"
#include "Vectors.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace ctorch {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

// Logits that are in memory at once: all rows by as many of the vocabulary's words as give this many.
constexpr int64_t logits_at_once = int64_t{1} << 23;

int64_t words_at_once(int64_t rows) { return std::max<int64_t>(512, logits_at_once / std::max<int64_t>(rows, 1) / 64 * 64); }

template <typename W> INLINE Lanes<W> power(Lanes<W> x) {
  if constexpr (std::is_same_v<W, float>) {
    return exponential(x);
  } else {
    W values[lanes];
    std::memcpy(values, &x, sizeof values);
    for (W &value : values) value = std::exp(value);
    std::memcpy(&x, values, sizeof values);
    return x;
  }
}

template <typename W> INLINE Lanes<W> larger(Lanes<W> a, Lanes<W> b) { return a > b ? a : b; }

template <typename W> INLINE W largest_of(Lanes<W> values) {
  W all[lanes];
  std::memcpy(all, &values, sizeof all);
  W largest = all[0];
  for (W value : all) largest = std::max(largest, value);
  return largest;
}

template <typename T> INLINE Lanes<wide_t<T>> load_or_lowest(const T *from, int64_t count) {
  if (count >= lanes) return load(from);
  T buffer[lanes];
  for (T &value : buffer) value = static_cast<T>(-std::numeric_limits<float>::infinity());
  std::memcpy(buffer, from, static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

// What is known of a row after some words: the largest logit, the sum of e^(logit - largest), the target's.
template <typename W> struct Row {
  W largest, sum, target;
};

// Brings rows up to date with the logits [rows, words] of the words from `start`.
template <typename T>
void add_words(const T *logits, int64_t rows, int64_t words, int64_t start, const int64_t *targets,
               Row<wide_t<T>> *state) {
  using W = wide_t<T>;
  parallel_for(0, rows, 4, [&](int64_t begin, int64_t end) {
    vectorized([&]() VECTORIZED {
      for (int64_t row = begin; row < end; row++) {
        const T *in = logits + row * words;
        Row<W> &known = state[row];
        Lanes<W> most = known.largest;
        by_lanes(words, [&](int64_t i, int64_t n) VECTORIZED { most = larger<W>(most, load_or_lowest(in + i, n)); });
        const W largest = largest_of<W>(most);
        Lanes<W> sum = W(0);
        by_lanes(words, [&](int64_t i, int64_t n) VECTORIZED { sum += power<W>(load_or_lowest(in + i, n) - largest); });
        known.sum = known.sum * std::exp(known.largest - largest) + sum_of<W>(sum);
        known.largest = largest;
        const int64_t place = targets[row] - start;
        if (place >= 0 && place < words) known.target = static_cast<W>(in[place]);
      }
    });
  });
}

// Derivatives of logits, perhaps in their place: (softmax - 1 at the target) * factor, 0 for rows that are ignored.
template <typename T>
void derive(const T *logits, T *derivatives, int64_t rows, int64_t words, int64_t start, const int64_t *targets, int64_t ignored,
            const wide_t<T> *logarithms, wide_t<T> factor) {
  using W = wide_t<T>;
  parallel_for(0, rows, 4, [&](int64_t begin, int64_t end) {
    vectorized([&]() VECTORIZED {
      for (int64_t row = begin; row < end; row++) {
        const T *values = logits + row * words;
        T *to = derivatives + row * words;
        const W shift = logarithms[row], weight = targets[row] == ignored ? W(0) : factor;
        const int64_t place = targets[row] - start;
        const bool is_here = place >= 0 && place < words;
        const W target = is_here ? std::exp(static_cast<W>(values[place]) - shift) : W(0);
        by_lanes(words, [&](int64_t i, int64_t n) VECTORIZED {
          store(to + i, power<W>(load(values + i, n) - shift) * weight, n);
        });
        if (is_here) to[place] = static_cast<T>((target - 1) * weight);
      }
    });
  });
}

template <typename Body> void with_float_type(at::ScalarType type, const Body &body) {
  if (type == at::kBFloat16) body(c10::BFloat16());
  else if (type == at::kFloat) body(float());
  else body(double());
}

at::ScalarType wide_type(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

// Keeps its inputs and one number a row, and the logits where there are no more than may be in memory at once;
// else they are worked out again backward.
struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &hidden, const at::Tensor &weight,
                            const at::Tensor &targets, int64_t ignored) {
    at::Tensor h = hidden.contiguous(), w = weight.contiguous(), t = targets.contiguous();
    const int64_t rows = h.size(0), vocabulary = w.size(0), block = words_at_once(rows);
    at::TensorOptions wide = h.options().dtype(wide_type(h.scalar_type()));
    at::Tensor logarithms = at::empty({rows}, wide);
    at::Tensor kept;
    double total = 0;
    with_float_type(h.scalar_type(), [&](auto type) {
      using T = decltype(type);
      using W = wide_t<T>;
      const int64_t *wanted = t.const_data_ptr<int64_t>();
      std::vector<Row<W>> state(rows, {-std::numeric_limits<W>::infinity(), 0, 0});
      for (int64_t start = 0; start < vocabulary; start += block) {
        const int64_t words = std::min(block, vocabulary - start);
        at::Tensor logits = at::mm(h, w.narrow(0, start, words).t());
        add_words(logits.const_data_ptr<T>(), rows, words, start, wanted, state.data());
        if (words == vocabulary) kept = logits;
      }
      W *out = logarithms.data_ptr<W>();
      for (int64_t row = 0; row < rows; row++) {
        out[row] = state[row].largest + std::log(state[row].sum);
        if (wanted[row] != ignored) total += static_cast<double>(out[row]) - static_cast<double>(state[row].target);
      }
    });
    context->save_for_backward({h, w, t, logarithms, kept});
    context->saved_data["ignored"] = ignored;
    return at::full({}, total, wide);
  }

  static variable_list backward(AutogradContext *context, variable_list gradients) {
    variable_list saved = context->get_saved_variables();
    at::Tensor h = saved[0], w = saved[1], t = saved[2], logarithms = saved[3], kept = saved[4];
    const int64_t rows = h.size(0), vocabulary = w.size(0), block = words_at_once(rows);
    const int64_t ignored = context->saved_data["ignored"].toInt();
    const double factor = gradients[0].item<double>();
    bool wants_hidden = context->needs_input_grad(0), wants_weight = context->needs_input_grad(1);
    at::Tensor sum = wants_hidden ? at::zeros(h.sizes(), logarithms.options()) : at::Tensor();
    at::Tensor dw = wants_weight ? at::empty_like(w) : at::Tensor();
    with_float_type(h.scalar_type(), [&](auto type) {
      using T = decltype(type);
      for (int64_t start = 0; start < vocabulary; start += block) {
        const int64_t words = std::min(block, vocabulary - start);
        at::Tensor part = w.narrow(0, start, words), logits = kept.defined() ? kept : at::mm(h, part.t());
        at::Tensor derivatives = kept.defined() ? at::empty_like(kept) : logits;
        derive(logits.const_data_ptr<T>(), derivatives.data_ptr<T>(), rows, words, start, t.const_data_ptr<int64_t>(),
               ignored, logarithms.const_data_ptr<wide_t<T>>(), static_cast<wide_t<T>>(factor));
        if (wants_hidden) sum.add_(at::mm(derivatives, part));
        if (wants_weight) {
          at::Tensor to = dw.narrow(0, start, words);
          at::mm_out(to, derivatives.t(), h);
        }
      }
    });
    return {wants_hidden ? sum.to(h.scalar_type()) : sum, dw, {}, {}};
  }
};

}  // namespace

}  // namespace ctorch

using namespace ctorch;

ct_status ct_linear_cross_entropy(const ct_tensor *hidden, const ct_tensor *weight, const ct_tensor *targets,
                                  ptrdiff_t ignored, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor h = get(hidden), w = get(weight), t = get(targets);
    TORCH_CHECK(h.dim() == 2 && w.dim() == 2 && t.dim() == 1 && h.size(1) == w.size(1) && t.size(0) == h.size(0) &&
                    t.scalar_type() == at::kLong,
                "needs [n, D], [V, D] and int64 [n]");
    at::ScalarType type = h.scalar_type();
    bool is_known = type == at::kBFloat16 || type == at::kFloat || type == at::kDouble;
    if (h.is_cpu() && w.is_cpu() && t.is_cpu() && is_known && w.scalar_type() == type && w.size(0) > 0) {
      t = t.contiguous();
      for (int64_t target : at::IntArrayRef(t.const_data_ptr<int64_t>(), static_cast<size_t>(t.size(0)))) {
        TORCH_CHECK(target == ignored || (target >= 0 && target < w.size(0)), "target ", target, " of ", w.size(0));
      }
      return LinearCrossEntropy::apply(h, w, t, static_cast<int64_t>(ignored));
    }
    at::Tensor logits = at::linear(h, w);
    return at::cross_entropy_loss(logits.to(wide_type(logits.scalar_type())), t, {}, at::Reduction::Sum, ignored);
  });
}
