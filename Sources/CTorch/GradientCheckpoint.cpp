#include "Shim.h"

#include <ATen/core/ivalue.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <unordered_set>

using namespace ctorch;
using torch::autograd::variable_list;

namespace {

// The caller's part of a model, given back when the last node that may need it is gone.
struct Segment : torch::CustomClassHolder {
  ct_segment_body body;
  void *context;
  ct_segment_release release;

  Segment(ct_segment_body body, void *context, ct_segment_release release)
      : body(body), context(context), release(release) {}
  ~Segment() override { release(context); }

  // The body on cut-off inputs, recording derivatives; `inputs` become those leaves.
  variable_list run(variable_list &inputs, size_t count) const {
    c10::AutoGradMode recording(true);
    std::vector<ct_tensor *> handles, outs(count, nullptr);
    for (at::Tensor &input : inputs) {
      input = input.detach().requires_grad_(input.requires_grad());
      handles.push_back(give(input));
    }
    body(context, handles.data(), static_cast<ptrdiff_t>(handles.size()), outs.data(),
         static_cast<ptrdiff_t>(count));
    variable_list outputs;
    for (ct_tensor *out : outs) {
      outputs.push_back(get(out));
      ct_release(out);
    }
    return outputs;
  }
};

// Leaves that `outputs` depend on, other than `inputs`: the parameters that the body used.
variable_list leaves_of(const variable_list &outputs, const variable_list &inputs) {
  std::unordered_set<const at::TensorImpl *> known;
  for (const at::Tensor &input : inputs) known.insert(input.unsafeGetTensorImpl());
  std::unordered_set<const torch::autograd::Node *> seen;
  std::vector<torch::autograd::Node *> waiting;
  variable_list leaves;
  auto visit = [&](torch::autograd::Node *node) {
    if (node && seen.insert(node).second) waiting.push_back(node);
  };
  for (const at::Tensor &output : outputs) {
    if (output.requires_grad()) visit(torch::autograd::impl::gradient_edge(output).function.get());
  }
  while (!waiting.empty()) {
    torch::autograd::Node *node = waiting.back();
    waiting.pop_back();
    if (auto *leaf = dynamic_cast<torch::autograd::AccumulateGrad *>(node)) {
      if (known.insert(leaf->variable.unsafeGetTensorImpl()).second) leaves.push_back(leaf->variable);
    }
    for (const torch::autograd::Edge &edge : node->next_edges()) visit(edge.function.get());
  }
  return leaves;
}

// Derivatives by recomputing: of the forward pass it keeps the segment's inputs alone.
struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static variable_list forward(torch::autograd::AutogradContext *context, at::TensorList sources,
                               const variable_list *outputs, int64_t inputs,
                               const c10::intrusive_ptr<Segment> &segment) {
    context->save_for_backward(sources.vec());
    context->saved_data["inputs"] = inputs;
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    return *outputs;
  }

  static variable_list backward(torch::autograd::AutogradContext *context,
                                const variable_list &gradients) {
    variable_list sources = context->get_saved_variables();
    auto count = context->saved_data["inputs"].toInt();
    auto segment = c10::static_intrusive_pointer_cast<Segment>(context->saved_data["segment"].toCapsule());
    variable_list inputs(sources.begin(), sources.begin() + count);
    variable_list outputs = segment->run(inputs, gradients.size());
    std::copy(inputs.begin(), inputs.end(), sources.begin());

    variable_list wanted, reached, incoming;
    for (const at::Tensor &source : sources) {
      if (source.requires_grad()) wanted.push_back(source);
    }
    for (size_t i = 0; i < outputs.size(); i++) {
      if (!outputs[i].requires_grad() || !gradients[i].defined()) continue;
      reached.push_back(outputs[i]);
      incoming.push_back(gradients[i]);
    }
    variable_list found(wanted.size());
    if (!reached.empty()) {
      found = torch::autograd::grad(reached, wanted, incoming, /*retain_graph=*/std::nullopt,
                                    /*create_graph=*/false, /*allow_unused=*/true);
    }
    variable_list result;
    size_t next = 0;
    for (const at::Tensor &source : sources) {
      result.push_back(source.requires_grad() ? found[next++] : at::Tensor());
    }
    result.resize(sources.size() + 3);  // none for the outputs, the count and the segment
    return result;
  }
};

}  // namespace

ct_status ct_checkpoint(const ct_tensor *const *inputs, ptrdiff_t count, ct_segment_body body, void *context,
                        ct_segment_release release, ct_tensor **outs, ptrdiff_t out_count) {
  return guarded([&] {
    auto segment = c10::make_intrusive<Segment>(body, context, release);
    variable_list sources = list(inputs, count), leaves = sources;
    variable_list outputs = segment->run(leaves, static_cast<size_t>(out_count));
    variable_list parameters = leaves_of(outputs, leaves);
    sources.insert(sources.end(), parameters.begin(), parameters.end());
    for (at::Tensor &output : outputs) output = output.detach();
    variable_list results = Checkpoint::apply(at::TensorList(sources), &outputs, static_cast<int64_t>(count), segment);
    for (ptrdiff_t i = 0; i < out_count; i++) outs[i] = give(results[i]);
  });
}
