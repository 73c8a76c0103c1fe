#include "Shim.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>

using namespace ctorch;

struct ct_generator {
  at::Generator value;
};

static at::TensorOptions options(ct_dtype code, int index) {
  prepare();
  return at::TensorOptions().dtype(dtype(code)).device(device(index));
}

static at::TensorOptions options(ct_dtype code, const ct_generator *generator) {
  prepare();
  return at::TensorOptions().dtype(dtype(code)).device(generator->value.device());
}

// Reads a handle's object without counting a reference.
static const at::TensorImpl *peek(const ct_tensor *tensor) {
  return reinterpret_cast<const at::TensorImpl *>(tensor);
}

ct_tensor *ct_retain(const ct_tensor *tensor) { return give(get(tensor)); }

void ct_release(ct_tensor *tensor) {
  auto *object = reinterpret_cast<at::TensorImpl *>(tensor);
  (void)c10::intrusive_ptr<at::TensorImpl, at::UndefinedTensorImpl>::reclaim(object);
}

ptrdiff_t ct_rank(const ct_tensor *tensor) { return peek(tensor)->dim(); }

void ct_shape(const ct_tensor *tensor, ptrdiff_t *out) {
  at::IntArrayRef shape = peek(tensor)->sizes();
  std::copy(shape.begin(), shape.end(), out);
}

ptrdiff_t ct_count(const ct_tensor *tensor) { return peek(tensor)->numel(); }

ct_dtype ct_dtype_of(const ct_tensor *tensor) {
  return code(c10::typeMetaToScalarType(peek(tensor)->dtype()));
}

int ct_device_of(const ct_tensor *tensor) {
  at::Device where = peek(tensor)->device();
  return where.is_meta() ? CT_META : where.is_cpu() ? CT_CPU : where.index();
}

bool ct_is_contiguous(const ct_tensor *tensor) { return peek(tensor)->is_contiguous(); }

void *ct_data(const ct_tensor *tensor) { return get(tensor).data_ptr(); }

ct_status ct_from_data(const void *data, const ptrdiff_t *shape, ptrdiff_t rank, ct_dtype type, int index,
                       ct_tensor **out) {
  return result(out, [&] {
    at::Tensor tensor = at::empty(sizes(shape, rank), options(type, -1));
    if (tensor.numel() > 0) std::memcpy(tensor.data_ptr(), data, tensor.nbytes());
    return index == CT_CPU ? tensor : tensor.to(device(index));
  });
}

ct_status ct_from_memory(void *data, const ptrdiff_t *shape, ptrdiff_t rank, ct_dtype type,
                         void (*release)(void *context), void *context, ct_tensor **out) {
  return result(out, [&] {
    return at::from_blob(
        data, sizes(shape, rank), [release, context](void *) { release(context); }, options(type, -1));
  });
}

ct_status ct_full(const ptrdiff_t *shape, ptrdiff_t rank, double value, ct_dtype type, int index,
                  ct_tensor **out) {
  return result(out, [&] {
    if (value == 0) return at::zeros(sizes(shape, rank), options(type, index));
    return at::full(sizes(shape, rank), value, options(type, index));
  });
}

ct_status ct_empty(const ptrdiff_t *shape, ptrdiff_t rank, ct_dtype type, int index, ct_tensor **out) {
  return result(out, [&] { return at::empty(sizes(shape, rank), options(type, index)); });
}

ct_status ct_full_like(const ct_tensor *tensor, double value, ct_tensor **out) {
  return result(out, [&] { return at::full_like(get(tensor), value); });
}

ct_status ct_arange(ptrdiff_t from, ptrdiff_t to, ptrdiff_t step, ct_dtype type, int index,
                    ct_tensor **out) {
  return result(out, [&] {
    return at::arange(static_cast<int64_t>(from), static_cast<int64_t>(to), static_cast<int64_t>(step),
                      options(type, index));
  });
}

ct_status ct_generator_new(uint64_t seed, int index, ct_generator **out) {
  return guarded([&] {
    at::Device where = device(index);
    at::Generator generator = where.is_cpu()
                                  ? at::make_generator<at::CPUGeneratorImpl>(seed)
                                  : at::globalContext().defaultGenerator(where).clone();
    generator.set_current_seed(seed);
    *out = new ct_generator{std::move(generator)};
  });
}

void ct_generator_release(ct_generator *generator) { delete generator; }

ct_status ct_generator_state(ct_generator *generator, ct_tensor **out) {
  return result(out, [&] { return generator->value.get_state(); });
}

ct_status ct_generator_set_state(ct_generator *generator, const ct_tensor *state) {
  return guarded([&] { generator->value.set_state(get(state)); });
}

ct_status ct_normal(const ptrdiff_t *shape, ptrdiff_t rank, ct_dtype type, ct_generator *generator,
                    ct_tensor **out) {
  return result(out, [&] { return at::randn(sizes(shape, rank), generator->value, options(type, generator)); });
}

ct_status ct_uniform(const ptrdiff_t *shape, ptrdiff_t rank, ct_dtype type, ct_generator *generator,
                     ct_tensor **out) {
  return result(out, [&] { return at::rand(sizes(shape, rank), generator->value, options(type, generator)); });
}

ct_status ct_permutation(ptrdiff_t count, ct_generator *generator, ct_tensor **out) {
  return result(out, [&] { return at::randperm(count, generator->value, options(CT_INT64, generator)); });
}

ct_status ct_multinomial(const ct_tensor *weights, ptrdiff_t count, bool replacing, ct_generator *generator,
                         ct_tensor **out) {
  return result(out, [&] { return at::multinomial(get(weights), count, replacing, generator->value); });
}
