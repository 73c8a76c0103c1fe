// A plain C view of the part of libtorch that this package uses.
//
// Ownership. Every `ct_tensor **out` (and `ct_generator **out`) receives a new handle that the caller gives
// back once with `ct_release` (`ct_generator_release`). Arguments are borrowed for the call. A view is a
// handle of its own and keeps the shared memory alive.
//
// Errors. A function that can fail returns a `ct_status`; unless that is CT_OK its outputs are untouched and
// `ct_last_error` describes the failure on the calling thread. No exception crosses this boundary.
//
// Conventions. Sizes are ptrdiff_t; axes may be negative and count from the end; a tensor argument that may
// be absent is marked `nullable` in its comment; a device is an int: a CUDA index, or one of `ct_place`.

#ifndef CTORCH_H
#define CTORCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ct_tensor ct_tensor;
typedef struct ct_generator ct_generator;

typedef enum { CT_OK, CT_INVALID, CT_OUT_OF_MEMORY, CT_UNKNOWN } ct_status;

typedef enum {
  CT_FLOAT64, CT_FLOAT32, CT_BFLOAT16, CT_FLOAT16, CT_INT64, CT_INT32, CT_INT16, CT_INT8, CT_UINT8, CT_BOOL,
  CT_UINT16, CT_UINT32, CT_UINT64, CT_FLOAT8_E4M3, CT_FLOAT8_E5M2,
  CT_OTHER_DTYPE
} ct_dtype;

// The CPU; nowhere: tensors of a shape and a dtype alone.
enum ct_place { CT_CPU = -1, CT_META = -2 };

// ---- Runtime.cpp

// The message of this thread's last failure; valid until its next one.
const char *ct_last_error(void);
const char *ct_version(void);
// What the CPU kernels were dispatched to, such as "AVX512".
const char *ct_cpu_capability(void);
// The folder that holds the libtorch in use.
const char *ct_library_folder(void);
// Which of the processor's instructions the fused operations below may use, the least first.
typedef enum { CT_PORTABLE, CT_AVX2, CT_AVX512, CT_AVX512_BF16, CT_MATRIX_UNIT } ct_instructions;
// For tests and comparisons: as if the processor had no more, in what the calling thread does from now on. libtorch's
// own kernels are not concerned.
void ct_limit_instructions(ct_instructions most);
int ct_threads(void);
void ct_set_threads(int count);
// Whether matrix products of fp32 tensors may round their factors to bf16 (CPU) or TF32 (CUDA) where that is
// faster. Not allowed at first.
ct_status ct_set_reduced_precision_products(bool allowed);
// Opens libtorch_cuda when it is there (once), and says how many CUDA devices can be used.
int ct_cuda_count(void);
// Waits until the device has finished all work queued on it.
ct_status ct_cuda_synchronize(int device);
// Bytes of a CUDA device's memory: all of it, and what no process uses now.
ct_status ct_cuda_memory(int device, size_t *total, size_t *free);
bool ct_gradients_enabled(void);
void ct_set_gradients_enabled(bool enabled);

// ---- HostMemory.cpp

// Memory of CPU tensors of 256 KiB and more is kept when it is freed, for the next. Gives what nobody uses back to
// the system, as far as it is in whole stretches of 32 MiB or more.
void ct_release_host_memory(void);
// Bytes of such memory in use, and kept.
void ct_host_memory(size_t *used, size_t *kept);

// ---- Create.cpp

void ct_release(ct_tensor *tensor);
// A second handle of the same tensor.
ct_tensor *ct_retain(const ct_tensor *tensor);
ptrdiff_t ct_rank(const ct_tensor *tensor);
// Writes `ct_rank` sizes.
void ct_shape(const ct_tensor *tensor, ptrdiff_t *sizes);
ptrdiff_t ct_count(const ct_tensor *tensor);
ct_dtype ct_dtype_of(const ct_tensor *tensor);
int ct_device_of(const ct_tensor *tensor);
bool ct_is_contiguous(const ct_tensor *tensor);
// The first element's address; to be read only on a CPU tensor that is contiguous and kept alive meanwhile.
void *ct_data(const ct_tensor *tensor);

// Copies `data`, which lies in host memory row by row.
ct_status ct_from_data(const void *data, const ptrdiff_t *sizes, ptrdiff_t rank, ct_dtype dtype, int device,
                       ct_tensor **out);
// Takes `data` as the tensor's memory; `release(context)` is called when nobody needs it any more.
ct_status ct_from_memory(void *data, const ptrdiff_t *sizes, ptrdiff_t rank, ct_dtype dtype,
                         void (*release)(void *context), void *context, ct_tensor **out);
ct_status ct_full(const ptrdiff_t *sizes, ptrdiff_t rank, double value, ct_dtype dtype, int device,
                  ct_tensor **out);
// Uninitialised memory.
ct_status ct_empty(const ptrdiff_t *sizes, ptrdiff_t rank, ct_dtype dtype, int device, ct_tensor **out);
ct_status ct_full_like(const ct_tensor *tensor, double value, ct_tensor **out);
ct_status ct_arange(ptrdiff_t from, ptrdiff_t to, ptrdiff_t step, ct_dtype dtype, int device, ct_tensor **out);

ct_status ct_generator_new(uint64_t seed, int device, ct_generator **out);
void ct_generator_release(ct_generator *generator);
ct_status ct_generator_state(ct_generator *generator, ct_tensor **out);  // uint8 on the CPU
ct_status ct_generator_set_state(ct_generator *generator, const ct_tensor *state);
// Drawn on the generator's device.
ct_status ct_normal(const ptrdiff_t *sizes, ptrdiff_t rank, ct_dtype dtype, ct_generator *generator,
                    ct_tensor **out);
ct_status ct_uniform(const ptrdiff_t *sizes, ptrdiff_t rank, ct_dtype dtype, ct_generator *generator,
                     ct_tensor **out);
ct_status ct_permutation(ptrdiff_t count, ct_generator *generator, ct_tensor **out);
ct_status ct_multinomial(const ct_tensor *weights, ptrdiff_t count, bool replacing, ct_generator *generator,
                         ct_tensor **out);

// ---- Gradients.cpp

bool ct_requires_gradient(const ct_tensor *tensor);
ct_status ct_set_requires_gradient(ct_tensor *tensor, bool required);
// *out is NULL when there is none.
ct_status ct_gradient(const ct_tensor *tensor, ct_tensor **out);
ct_status ct_set_gradient(ct_tensor *tensor, const ct_tensor *gradient /* nullable */);
ct_status ct_backward(const ct_tensor *tensor, const ct_tensor *gradient /* nullable */);
// d output / d input_i without touching `.gradient` of any leaf; outs[i] is NULL where output does not depend.
ct_status ct_gradients(const ct_tensor *output, const ct_tensor *const *inputs, ptrdiff_t count,
                       bool keeping_graph, ct_tensor **outs);
// *out is the same tensor to compute with; whatever derivative reaches it in a backward pass adds the sum of its
// squares to *sum, an fp32 scalar that starts at 0.
ct_status ct_watch_gradient(const ct_tensor *tensor, ct_tensor **out, ct_tensor **sum);
ct_status ct_detach(const ct_tensor *tensor, ct_tensor **out);
// A piece of a model: owns the inputs it is given and gives out_count new tensors.
typedef void (*ct_segment_body)(void *context, ct_tensor *const *inputs, ptrdiff_t count, ct_tensor **outs,
                                ptrdiff_t out_count);
typedef void (*ct_segment_release)(void *context);
// The segment's results, of whose operations nothing is kept: the derivative runs it again, perhaps on another
// thread. `context` is released when nothing needs it any more, also on failure.
ct_status ct_checkpoint(const ct_tensor *const *inputs, ptrdiff_t count, ct_segment_body body, void *context,
                        ct_segment_release release, ct_tensor **outs, ptrdiff_t out_count);

// ---- Shape.cpp

ct_status ct_to_dtype(const ct_tensor *tensor, ct_dtype dtype, ct_tensor **out);
// The same memory as elements of another dtype of the same size.
ct_status ct_bit_cast(const ct_tensor *tensor, ct_dtype dtype, ct_tensor **out);
ct_status ct_to_device(const ct_tensor *tensor, int device, ct_tensor **out);
ct_status ct_contiguous(const ct_tensor *tensor, ct_tensor **out);
ct_status ct_clone(const ct_tensor *tensor, ct_tensor **out);
// In place, without gradient: shapes must be equal; dtype and device may differ.
ct_status ct_copy(ct_tensor *target, const ct_tensor *source);
ct_status ct_fill(ct_tensor *target, double value);
ct_status ct_add_in_place(ct_tensor *target, const ct_tensor *source, double scale);
ct_status ct_multiply_in_place(ct_tensor *target, double factor);

ct_status ct_reshape(const ct_tensor *tensor, const ptrdiff_t *sizes, ptrdiff_t rank, ct_tensor **out);
ct_status ct_transpose(const ct_tensor *tensor, ptrdiff_t a, ptrdiff_t b, ct_tensor **out);
ct_status ct_permute(const ct_tensor *tensor, const ptrdiff_t *axes, ptrdiff_t rank, ct_tensor **out);
ct_status ct_expand(const ct_tensor *tensor, const ptrdiff_t *sizes, ptrdiff_t rank, ct_tensor **out);
ct_status ct_unsqueeze(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out);
ct_status ct_squeeze(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out);
ct_status ct_flatten(const ct_tensor *tensor, ptrdiff_t from, ptrdiff_t to, ct_tensor **out);
ct_status ct_concatenate(const ct_tensor *const *tensors, ptrdiff_t count, ptrdiff_t axis, ct_tensor **out);
ct_status ct_stack(const ct_tensor *const *tensors, ptrdiff_t count, ptrdiff_t axis, ct_tensor **out);
// Writes `count` handles.
ct_status ct_split(const ct_tensor *tensor, const ptrdiff_t *sizes, ptrdiff_t count, ptrdiff_t axis,
                   ct_tensor **outs);

typedef enum { CT_ALL, CT_ELLIPSIS, CT_NEW_AXIS, CT_AT, CT_RANGE } ct_index_kind;
// CT_AT uses `start`; CT_RANGE is start..<end, or to the end of the axis when `open_end`.
typedef struct {
  ct_index_kind kind;
  ptrdiff_t start, end;
  bool open_end;
} ct_index;
ct_status ct_view(const ct_tensor *tensor, const ct_index *indices, ptrdiff_t count, ct_tensor **out);
ct_status ct_narrow(const ct_tensor *tensor, ptrdiff_t axis, ptrdiff_t start, ptrdiff_t length, ct_tensor **out);

ct_status ct_index_select(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis, ct_tensor **out);
ct_status ct_gather(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis, ct_tensor **out);
ct_status ct_index_add(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis,
                       const ct_tensor *source, ct_tensor **out);
ct_status ct_index_copy(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis,
                        const ct_tensor *source, ct_tensor **out);
ct_status ct_repeat(const ct_tensor *tensor, ptrdiff_t times, ptrdiff_t axis, ct_tensor **out);
// Row i of `axis` is repeated counts[i] times; `counts` is int64.
ct_status ct_repeat_by(const ct_tensor *tensor, const ct_tensor *counts, ptrdiff_t axis, ct_tensor **out);
ct_status ct_pad(const ct_tensor *tensor, const ptrdiff_t *amounts, ptrdiff_t count, double value,
                 ct_tensor **out);
ct_status ct_flip(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out);
ct_status ct_roll(const ct_tensor *tensor, ptrdiff_t shift, ptrdiff_t axis, ct_tensor **out);
// The lower (or upper) triangle of the last two axes, the rest zero.
ct_status ct_triangle(const ct_tensor *tensor, bool upper, ptrdiff_t diagonal, ct_tensor **out);

// ---- Joined.cpp

// Moves the memory of tensors of one width into one, in order; handles, values and derivatives stay.
ct_status ct_lay_together(ct_tensor *const *tensors, ptrdiff_t count);
// Whether they were laid together.
bool ct_lie_together(const ct_tensor *const *tensors, ptrdiff_t count);
// The tensors one after the other along the first axis; no copy where they were laid together.
ct_status ct_joined(const ct_tensor *const *tensors, ptrdiff_t count, ct_tensor **out);

// ---- Maths.cpp

typedef enum {
  CT_NEGATE, CT_EXP, CT_LOG, CT_SQRT, CT_RSQRT, CT_TANH, CT_SIGMOID, CT_SIN, CT_COS, CT_ABS, CT_SQUARE,
  CT_RELU, CT_SILU, CT_QUICK_GELU, CT_GELU, CT_GELU_TANH, CT_ERF, CT_SOFTPLUS, CT_LOG_SIGMOID, CT_ROUND,
  CT_FLOOR, CT_RECIPROCAL, CT_NOT, CT_IS_FINITE
} ct_unary_kind;
ct_status ct_unary(ct_unary_kind kind, const ct_tensor *tensor, ct_tensor **out);

typedef enum {
  CT_ADD, CT_SUBTRACT, CT_MULTIPLY, CT_DIVIDE, CT_POWER, CT_MAXIMUM, CT_MINIMUM, CT_REMAINDER,
  CT_EQUAL, CT_NOT_EQUAL, CT_LESS, CT_LESS_EQUAL, CT_GREATER, CT_GREATER_EQUAL, CT_AND, CT_OR
} ct_binary_kind;
ct_status ct_binary(ct_binary_kind kind, const ct_tensor *a, const ct_tensor *b, ct_tensor **out);
ct_status ct_binary_number(ct_binary_kind kind, const ct_tensor *a, double b, ct_tensor **out);
ct_status ct_number_binary(ct_binary_kind kind, double a, const ct_tensor *b, ct_tensor **out);
// Each bound is used only when its flag is set.
ct_status ct_clamp(const ct_tensor *tensor, bool has_min, double min, bool has_max, double max,
                   ct_tensor **out);

typedef enum { CT_SUM, CT_MEAN, CT_LARGEST, CT_SMALLEST } ct_reduction_kind;
// Over all axes when `count` is 0.
ct_status ct_reduce(ct_reduction_kind kind, const ct_tensor *tensor, const ptrdiff_t *axes, ptrdiff_t count,
                    bool keeping_axes, ct_tensor **out);
ct_status ct_variance(const ct_tensor *tensor, ptrdiff_t axis, bool unbiased, bool keeping_axis, ct_tensor **out);
ct_status ct_norm(const ct_tensor *tensor, ct_tensor **out);
ct_status ct_max(const ct_tensor *tensor, ptrdiff_t axis, bool keeping_axis, ct_tensor **values,
                 ct_tensor **indices);
ct_status ct_min(const ct_tensor *tensor, ptrdiff_t axis, bool keeping_axis, ct_tensor **values,
                 ct_tensor **indices);
ct_status ct_argmax(const ct_tensor *tensor, ptrdiff_t axis, bool keeping_axis, ct_tensor **out);
ct_status ct_cumulative_sum(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out);
ct_status ct_top_k(const ct_tensor *tensor, ptrdiff_t count, ptrdiff_t axis, ct_tensor **values,
                   ct_tensor **indices);
// Stable.
ct_status ct_sort(const ct_tensor *tensor, ptrdiff_t axis, bool descending, ct_tensor **values,
                  ct_tensor **indices);
ct_status ct_masked_fill(const ct_tensor *tensor, const ct_tensor *mask, double value, ct_tensor **out);
ct_status ct_where(const ct_tensor *condition, const ct_tensor *a, const ct_tensor *b, ct_tensor **out);
ct_status ct_nonzero(const ct_tensor *tensor, ct_tensor **out);
ct_status ct_any(const ct_tensor *tensor, bool *out);
ct_status ct_all(const ct_tensor *tensor, bool *out);
ct_status ct_all_finite(const ct_tensor *tensor, bool *out);
ct_status ct_item(const ct_tensor *tensor, double *out);
ct_status ct_item_int(const ct_tensor *tensor, int64_t *out);

// ---- Layers.cpp

ct_status ct_matmul(const ct_tensor *a, const ct_tensor *b, ct_tensor **out);
ct_status ct_linear(const ct_tensor *input, const ct_tensor *weight, const ct_tensor *bias /* nullable */,
                    ct_tensor **out);
ct_status ct_softmax(const ct_tensor *tensor, ptrdiff_t axis, bool logarithm, ct_tensor **out);
ct_status ct_group_norm(const ct_tensor *tensor, ptrdiff_t groups, const ct_tensor *weight /* nullable */,
                        const ct_tensor *bias /* nullable */, double epsilon, ct_tensor **out);
ct_status ct_conv2d(const ct_tensor *input, const ct_tensor *weight, const ct_tensor *bias /* nullable */,
                    ptrdiff_t stride, ptrdiff_t padding, ct_tensor **out);
typedef enum { CT_NEAREST, CT_BILINEAR, CT_BICUBIC } ct_resize_kind;
// [B, C, H, W], half-pixel centres, no antialiasing, cubic a = -0.75.
ct_status ct_resize(ct_resize_kind kind, const ct_tensor *tensor, ptrdiff_t height, ptrdiff_t width,
                    ct_tensor **out);
ct_status ct_embedding(const ct_tensor *weight, const ct_tensor *ids, ct_tensor **out);
// [B, H, T, d]; key and value may have fewer heads, a divisor of the query's.
ct_status ct_attention(const ct_tensor *query, const ct_tensor *key, const ct_tensor *value,
                       const ct_tensor *mask /* nullable */, bool causal, bool has_scale, double scale,
                       ct_tensor **out);
// silu(query key^T) value * factor, a block of keys at a time, recomputed backward (SiLUAttention.cpp).
// [B, H, T, d], [B, H, S, d] and [B, H, S, e].
ct_status ct_silu_attention(const ct_tensor *query, const ct_tensor *key, const ct_tensor *value,
                            double factor, ct_tensor **out);
typedef enum { CT_NONE, CT_MEAN_OF, CT_SUM_OF } ct_loss_reduction;
ct_status ct_cross_entropy(const ct_tensor *logits, const ct_tensor *targets, ct_loss_reduction reduction,
                           ptrdiff_t ignored, ct_tensor **out);

// ---- Norms.cpp

// Statistics in fp32 (fp64 for fp64), over the last axis, of `width` values.
ct_status ct_layer_norm(const ct_tensor *tensor, const ct_tensor *weight /* nullable */,
                        const ct_tensor *bias /* nullable */, double epsilon, ptrdiff_t width, ct_tensor **out);
// Layer norm of [B, T, D] without weights, times (1 + scale), plus shift, each [B, 1, D].
ct_status ct_modulated_norm(const ct_tensor *tensor, const ct_tensor *scale, const ct_tensor *shift,
                            double epsilon, ct_tensor **out);
// Statistics as above, the result cast back before the weight is multiplied.
ct_status ct_rms_norm(const ct_tensor *tensor, const ct_tensor *weight /* nullable */, double epsilon,
                      ct_tensor **out);

// ---- Activations.cpp

typedef enum {
  CT_ACTIVATE_SILU, CT_ACTIVATE_QUICK_GELU, CT_ACTIVATE_GELU, CT_ACTIVATE_GELU_TANH
} ct_activation;
// act(tensor + bias), the bias along the last axis.
ct_status ct_activate(ct_activation kind, const ct_tensor *tensor, const ct_tensor *bias /* nullable */,
                      ct_tensor **out);
// act(gates) * ups.
ct_status ct_gate(ct_activation kind, const ct_tensor *gates, const ct_tensor *ups, ct_tensor **out);
// The same of [.., 2F], gates before ups: [.., F].
ct_status ct_gate_joined(ct_activation kind, const ct_tensor *joined, ct_tensor **out);

// ---- Rotary.cpp

// x * cos + rotated(x) * sin, rotated([x1, x2]) = [-x2, x1] on the halves of the last axis.
ct_status ct_rotary(const ct_tensor *tensor, const ct_tensor *cosines, const ct_tensor *sines, ct_tensor **out);

// ---- LinearCrossEntropy.cpp

// The sum over rows of the cross-entropy of hidden [n, D] times weight [V, D] transposed with int64 targets [n],
// without those of target `ignored`; fp32 (fp64 for fp64). Logits are in memory for some of the words at a time.
ct_status ct_linear_cross_entropy(const ct_tensor *hidden, const ct_tensor *weight, const ct_tensor *targets,
                                  ptrdiff_t ignored, ct_tensor **out);

// ---- Optimizer.cpp

// The L2 norm of all elements of all tensors together, fp32 on the first one's device.
ct_status ct_total_norm(const ct_tensor *const *tensors, ptrdiff_t count, ct_tensor **out);
// Multiplies every tensor in place.
ct_status ct_scale_all(const ct_tensor *const *tensors, ptrdiff_t count, double factor);

typedef struct {
  double rate, beta1, beta2, epsilon, decay;
  int64_t step;            // 1 for the first
  double gradient_factor;  // what each gradient is multiplied by, in the moments' dtype
} ct_adamw_settings;
// One AdamW step over `count` weights. A master is NULL where the weight is its own; an fp32 copy of an fp16 or bf16 weight;
// or, int16, what an fp32 master has more than the bf16 weight, in units of its last place. Moments are fp32 (fp64 for fp64);
// gradients may be fp32 beside half-precision weights. Weights, masters and moments are changed in place, gradients are
// only read.
ct_status ct_adamw(const ct_adamw_settings *settings, ct_tensor *const *weights, ct_tensor *const *gradients,
                   ct_tensor *const *masters, ct_tensor *const *first_moments,
                   ct_tensor *const *second_moments, ptrdiff_t count);

// ---- Collectives.cpp

// This process' place among several that train together.
typedef struct ct_group ct_group;

// Whether Gloo's headers were there when this was built; without them a group cannot be made.
bool ct_has_gloo(void);
// The version of the NCCL that can be opened, such as 22703; 0 without one.
int ct_nccl_version(void);
// Meets the other processes at `host`:`port`, where the one that `serves` listens. `seconds` is how long this
// and every later call waits for the others.
ct_status ct_group_new(const char *host, uint16_t port, bool serves, const char *prefix, int rank, int size,
                       double seconds, ct_group **out);
// Waits for the others; writes for each rank how many processes came with it, 0 for one that did not.
ct_status ct_group_join(ct_group *group, int32_t *counts);
// Connects every process with every other, for CPU tensors; `host` as before.
ct_status ct_group_connect(ct_group *group, const char *host);
// The same for CUDA tensors, this process' on one device.
ct_status ct_group_open_nccl(ct_group *group, int device);
void ct_group_release(ct_group *group);
// Every process calls the same of these in the same order. Tensors are contiguous.
// The sum over all processes, in place, alike to the bit in each.
ct_status ct_group_all_reduce(ct_group *group, ct_tensor *tensor);
// The part of the sum that belongs to this rank: `input` has a part for each rank, in order.
ct_status ct_group_reduce_scatter(ct_group *group, const ct_tensor *input, ct_tensor *output);
// Every rank's part, in order.
ct_status ct_group_all_gather(ct_group *group, const ct_tensor *input, ct_tensor *output);
// After a failure: who is there still, of those that ask within `grace` seconds.
ct_status ct_group_survivors(ct_group *group, double grace, bool *survives);
// Waits, at most `grace` seconds, until all have come this far: a connection that ends earlier would disturb an
// operation that is complete here and not yet elsewhere.
ct_status ct_group_leave(ct_group *group, double grace);

#ifdef __cplusplus
}
#endif

#endif
