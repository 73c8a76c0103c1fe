#include "cpixels.h"

#include <string.h>

void cpixels_to_planes(
    const uint8_t *in, size_t in_stride, size_t width, size_t height, uint8_t *out, size_t plane,
    size_t out_stride) {
  for (size_t y = 0; y < height; y++) {
    const uint8_t *restrict row = in + y * in_stride;
    uint8_t *restrict r = out + y * out_stride;
    uint8_t *restrict g = r + plane;
    uint8_t *restrict b = g + plane;
    for (size_t x = 0; x < width; x++) {
      r[x] = row[3 * x];
      g[x] = row[3 * x + 1];
      b[x] = row[3 * x + 2];
    }
  }
}

void cpixels_from_planes(
    const uint8_t *in, size_t width, size_t height, uint8_t *out, size_t out_stride) {
  const size_t plane = width * height;
  for (size_t y = 0; y < height; y++) {
    const uint8_t *restrict r = in + y * width;
    const uint8_t *restrict g = r + plane;
    const uint8_t *restrict b = g + plane;
    uint8_t *restrict row = out + y * out_stride;
    for (size_t x = 0; x < width; x++) {
      row[3 * x] = r[x];
      row[3 * x + 1] = g[x];
      row[3 * x + 2] = b[x];
    }
  }
}

void cpixels_orient(
    const uint8_t *in, size_t width, size_t height, int orientation, uint8_t *out) {
  const int swaps = orientation >= 5;
  const size_t out_width = swaps ? height : width, out_height = swaps ? width : height;
  // Where the upright pixel (x, y) is stored: at the origin plus x and y steps.
  const ptrdiff_t right = 3, down = (ptrdiff_t)(width * 3);
  const ptrdiff_t last_x = (ptrdiff_t)(width - 1) * right, last_y = (ptrdiff_t)(height - 1) * down;
  ptrdiff_t origin = 0, step_x = right, step_y = down;
  switch (orientation) {
    case 2: origin = last_x, step_x = -right; break;
    case 3: origin = last_x + last_y, step_x = -right, step_y = -down; break;
    case 4: origin = last_y, step_y = -down; break;
    case 5: step_x = down, step_y = right; break;
    case 6: origin = last_y, step_x = -down, step_y = right; break;
    case 7: origin = last_x + last_y, step_x = -down, step_y = -right; break;
    case 8: origin = last_x, step_x = down, step_y = -right; break;
    default: break;
  }
  // Blocks keep the strided side of a rotation in the cache.
  enum { BLOCK = 32 };
  for (size_t top = 0; top < out_height; top += BLOCK) {
    const size_t bottom = top + BLOCK < out_height ? top + BLOCK : out_height;
    for (size_t left = 0; left < out_width; left += BLOCK) {
      const size_t end = left + BLOCK < out_width ? left + BLOCK : out_width;
      for (size_t y = top; y < bottom; y++) {
        const uint8_t *pixel =
            in + origin + step_y * (ptrdiff_t)y + step_x * (ptrdiff_t)left;
        uint8_t *to = out + (y * out_width + left) * 3;
        for (size_t x = left; x < end; x++, pixel += step_x, to += 3) memcpy(to, pixel, 3);
      }
    }
  }
}
