#include "Shim.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

using namespace ctorch;

ct_status ct_to_dtype(const ct_tensor *tensor, ct_dtype type, ct_tensor **out) {
  return result(out, [&] { return get(tensor).to(dtype(type)); });
}

ct_status ct_bit_cast(const ct_tensor *tensor, ct_dtype type, ct_tensor **out) {
  return result(out, [&] {
    TORCH_CHECK(get(tensor).element_size() == c10::elementSize(dtype(type)), "elements of another size");
    return get(tensor).view(dtype(type));
  });
}

ct_status ct_to_device(const ct_tensor *tensor, int index, ct_tensor **out) {
  return result(out, [&] { return get(tensor).to(device(index)); });
}

ct_status ct_contiguous(const ct_tensor *tensor, ct_tensor **out) {
  return result(out, [&] { return get(tensor).contiguous(); });
}

ct_status ct_clone(const ct_tensor *tensor, ct_tensor **out) {
  return result(out, [&] { return get(tensor).clone(); });
}

ct_status ct_copy(ct_tensor *target, const ct_tensor *source) {
  return guarded([&] {
    at::Tensor to = get(target), from = get(source);
    TORCH_CHECK(to.sizes() == from.sizes(), "shapes differ");
    at::NoGradGuard guard;
    to.copy_(from);
  });
}

ct_status ct_fill(ct_tensor *target, double value) {
  return guarded([&] {
    at::NoGradGuard guard;
    get(target).fill_(value);
  });
}

ct_status ct_add_in_place(ct_tensor *target, const ct_tensor *source, double scale) {
  return guarded([&] {
    at::NoGradGuard guard;
    at::Tensor to = get(target);
    to.add_(get(source), number(to, scale));
  });
}

ct_status ct_multiply_in_place(ct_tensor *target, double factor) {
  return guarded([&] {
    at::NoGradGuard guard;
    at::Tensor to = get(target);
    to.mul_(number(to, factor));
  });
}

ct_status ct_reshape(const ct_tensor *tensor, const ptrdiff_t *shape, ptrdiff_t rank, ct_tensor **out) {
  return result(out, [&] { return get(tensor).reshape(sizes(shape, rank)); });
}

ct_status ct_transpose(const ct_tensor *tensor, ptrdiff_t a, ptrdiff_t b, ct_tensor **out) {
  return result(out, [&] { return get(tensor).transpose(a, b); });
}

ct_status ct_permute(const ct_tensor *tensor, const ptrdiff_t *axes, ptrdiff_t rank, ct_tensor **out) {
  return result(out, [&] { return get(tensor).permute(sizes(axes, rank)); });
}

ct_status ct_expand(const ct_tensor *tensor, const ptrdiff_t *shape, ptrdiff_t rank, ct_tensor **out) {
  return result(out, [&] { return get(tensor).expand(sizes(shape, rank)); });
}

ct_status ct_unsqueeze(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).unsqueeze(axis); });
}

ct_status ct_squeeze(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    TORCH_CHECK(input.size(axis) == 1, "axis ", axis, " does not have length 1");
    return input.squeeze(axis);
  });
}

ct_status ct_flatten(const ct_tensor *tensor, ptrdiff_t from, ptrdiff_t to, ct_tensor **out) {
  return result(out, [&] { return get(tensor).flatten(from, to); });
}

ct_status ct_concatenate(const ct_tensor *const *tensors, ptrdiff_t count, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return at::cat(list(tensors, count), axis); });
}

ct_status ct_stack(const ct_tensor *const *tensors, ptrdiff_t count, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return at::stack(list(tensors, count), axis); });
}

ct_status ct_split(const ct_tensor *tensor, const ptrdiff_t *lengths, ptrdiff_t count, ptrdiff_t axis,
                   ct_tensor **outs) {
  return guarded([&] {
    std::vector<at::Tensor> parts = get(tensor).split_with_sizes(sizes(lengths, count), axis);
    for (ptrdiff_t i = 0; i < count; i++) outs[i] = give(parts[i]);
  });
}

ct_status ct_view(const ct_tensor *tensor, const ct_index *indices, ptrdiff_t count, ct_tensor **out) {
  return result(out, [&] {
    at::Tensor view = get(tensor);
    ptrdiff_t consumed = 0, ellipses = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
      if (indices[i].kind == CT_ELLIPSIS) ellipses++;
      else if (indices[i].kind != CT_NEW_AXIS) consumed++;
    }
    TORCH_CHECK(ellipses <= 1, "only one ellipsis is possible");
    TORCH_CHECK(consumed <= view.dim(), consumed, " indices for ", view.dim(), " axes");
    ptrdiff_t skipped = view.dim() - consumed, axis = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
      const ct_index &index = indices[i];
      switch (index.kind) {
        case CT_ALL: axis++; break;
        case CT_ELLIPSIS: axis += skipped; break;
        case CT_NEW_AXIS: view = view.unsqueeze(axis++); break;
        case CT_AT: view = view.select(axis, index.start); break;
        case CT_RANGE: {
          int64_t length = view.size(axis);
          int64_t start = index.start < 0 ? index.start + length : index.start;
          int64_t end = index.open_end ? length : index.end < 0 ? index.end + length : index.end;
          TORCH_CHECK(0 <= start && start <= end && end <= length, "range ", start, "..<", end,
                      " is outside axis ", axis, " of length ", length);
          view = view.slice(axis++, start, end);
          break;
        }
      }
    }
    return view;
  });
}

ct_status ct_narrow(const ct_tensor *tensor, ptrdiff_t axis, ptrdiff_t start, ptrdiff_t length,
                    ct_tensor **out) {
  return result(out, [&] { return get(tensor).narrow(axis, start, length); });
}

ct_status ct_index_select(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis,
                          ct_tensor **out) {
  return result(out, [&] { return get(tensor).index_select(axis, get(indices)); });
}

ct_status ct_gather(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).gather(axis, get(indices)); });
}

ct_status ct_index_add(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis,
                       const ct_tensor *source, ct_tensor **out) {
  return result(out, [&] { return get(tensor).index_add(axis, get(indices), get(source)); });
}

ct_status ct_index_copy(const ct_tensor *tensor, const ct_tensor *indices, ptrdiff_t axis,
                        const ct_tensor *source, ct_tensor **out) {
  return result(out, [&] { return get(tensor).index_copy(axis, get(indices), get(source)); });
}

ct_status ct_repeat(const ct_tensor *tensor, ptrdiff_t times, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).repeat_interleave(times, axis); });
}

ct_status ct_repeat_by(const ct_tensor *tensor, const ct_tensor *counts, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).repeat_interleave(get(counts), axis); });
}

ct_status ct_pad(const ct_tensor *tensor, const ptrdiff_t *amounts, ptrdiff_t count, double value,
                 ct_tensor **out) {
  return result(out, [&] {
    at::Tensor input = get(tensor);
    return at::constant_pad_nd(input, sizes(amounts, count), number(input, value));
  });
}

ct_status ct_flip(const ct_tensor *tensor, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] { return get(tensor).flip({static_cast<int64_t>(axis)}); });
}

ct_status ct_roll(const ct_tensor *tensor, ptrdiff_t shift, ptrdiff_t axis, ct_tensor **out) {
  return result(out, [&] {
    return get(tensor).roll({static_cast<int64_t>(shift)}, {static_cast<int64_t>(axis)});
  });
}

ct_status ct_triangle(const ct_tensor *tensor, bool upper, ptrdiff_t diagonal, ct_tensor **out) {
  return result(out, [&] { return upper ? get(tensor).triu(diagonal) : get(tensor).tril(diagonal); });
}
