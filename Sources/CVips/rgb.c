// Streams a picture's rows and turns them into 8-bit sRGB.

#include "internal.h"

#include <stdlib.h>
#include <string.h>

typedef enum { COLOUR_GREY, COLOUR_RGB, COLOUR_CMYK } colour_kind;

typedef struct {
  colour_kind kind;
  int colours;  // 1, 3 or 4 bands of colour
  int bands;    // with alpha, or with bands that are ignored
  int has_alpha;
  int is_16bit;
} row_layout;

/// value * part / 255, rounded to nearest: exact for products up to 255 * 255.
static inline uint8_t divided_by_255(uint32_t product) {
  product += 128;
  return (uint8_t)((product + (product >> 8)) >> 8);
}

/// One row of stored 8-bit samples to RGB.
static void convert_row(
    const uint8_t *in, uint8_t *restrict out, size_t width, const row_layout *layout,
    const cvips_options *options) {
  const int bands = layout->bands;
  switch (layout->kind) {
    case COLOUR_GREY:
      for (size_t x = 0; x < width; x++) {
        uint8_t value = in[x * bands];
        out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = value;
      }
      break;
    case COLOUR_RGB:
      if (bands == 3) {
        memcpy(out, in, width * 3);
      } else {
        for (size_t x = 0; x < width; x++) {
          for (int c = 0; c < 3; c++) out[3 * x + c] = in[x * bands + c];
        }
      }
      break;
    case COLOUR_CMYK:
      // Ink 255 is full: what the key leaves, less the ink's share of it.
      for (size_t x = 0; x < width; x++) {
        const uint8_t *ink = in + x * bands;
        uint32_t left = 255u - ink[3];
        for (int c = 0; c < 3; c++) out[3 * x + c] = (uint8_t)(left - divided_by_255(ink[c] * left));
      }
      break;
  }
  if (!layout->has_alpha || !options->composites_alpha) return;
  for (size_t x = 0; x < width; x++) {
    uint32_t alpha = in[x * bands + layout->colours];
    for (int c = 0; c < 3; c++) {
      out[3 * x + c] =
          divided_by_255(out[3 * x + c] * alpha + options->over[c] * (255u - alpha));
    }
  }
}

/// Sums of blocks, a row of them at a time.
typedef struct {
  uint32_t *sums;  // one for every stored sample of the row
  size_t width;    // stored pixels
  int shrink;
  int rows;  // rows summed so far
} block_mean;

static void add_row(block_mean *mean, const uint8_t *restrict row) {
  uint32_t *restrict sums = mean->sums;
  for (size_t i = 0; i < mean->width * 3; i++) sums[i] += row[i];
  mean->rows++;
}

static void finish_blocks(block_mean *mean, uint8_t *out) {
  const size_t shrink = (size_t)mean->shrink;
  for (size_t x = 0; x < mean->width; x += shrink, out += 3) {
    size_t end = x + shrink < mean->width ? x + shrink : mean->width;
    uint64_t area = (uint64_t)(end - x) * (uint64_t)mean->rows;
    for (size_t c = 0; c < 3; c++) {
      uint64_t sum = 0;
      for (size_t i = x; i < end; i++) sum += mean->sums[3 * i + c];
      out[c] = (uint8_t)((sum + area / 2) / area);
    }
  }
  memset(mean->sums, 0, mean->width * 3 * sizeof *mean->sums);
  mean->rows = 0;
}

/// 8-bit sRGB colour from the embedded profile, alpha carried along. NULL where the profile is of no use.
static VipsImage *converted_from_profile(VipsImage *image, int colours, int has_alpha) {
  VipsImage *colour = NULL, *plain = NULL, *alpha = NULL, *narrow = NULL, *joined = NULL;
  int bands = vips_image_get_bands(image);
  if (bands == colours) {
    colour = image;
    g_object_ref(colour);
  } else if (vips_extract_band(image, &colour, 0, "n", colours, NULL)) {
    goto done;
  }
  if (vips_icc_transform(
          colour, &plain, "srgb", "embedded", TRUE, "intent", VIPS_INTENT_RELATIVE,
          "black_point_compensation", TRUE, "depth", 8, NULL))
    goto done;
  if (!has_alpha) {
    joined = plain;
    g_object_ref(joined);
    goto done;
  }
  if (vips_extract_band(image, &alpha, colours, NULL)) goto done;
  if (vips_image_get_format(alpha) == VIPS_FORMAT_USHORT) {
    VipsImage *high = NULL;
    if (vips_rshift_const1(alpha, &high, 8, NULL)) goto done;
    int status = vips_cast(high, &narrow, VIPS_FORMAT_UCHAR, NULL);
    g_object_unref(high);
    if (status) goto done;
  } else {
    narrow = alpha;
    g_object_ref(narrow);
  }
  if (vips_bandjoin2(plain, narrow, &joined, NULL)) joined = NULL;
done:
  if (colour) g_object_unref(colour);
  if (plain) g_object_unref(plain);
  if (alpha) g_object_unref(alpha);
  if (narrow) g_object_unref(narrow);
  if (!joined) vips_error_clear();
  return joined;
}

static int has_usable_profile(VipsImage *image) {
  const void *profile = NULL;
  size_t count = 0;
  if (!vips_image_get_typeof(image, VIPS_META_ICC_NAME)) return 0;
  if (vips_image_get_blob(image, VIPS_META_ICC_NAME, &profile, &count)) {
    vips_error_clear();
    return 0;
  }
  return !cvips_profile_is_srgb(profile, count);
}

/// The picture as 8 or 16-bit grey, RGB or CMYK, and how its rows are laid out. A new reference.
static VipsImage *as_samples(
    VipsImage *image, const cvips_options *options, row_layout *layout, char *error) {
  VipsInterpretation type = vips_image_guess_interpretation(image);
  VipsBandFormat format = vips_image_get_format(image);
  int bands = vips_image_get_bands(image);
  int is_plain =
      (format == VIPS_FORMAT_UCHAR || format == VIPS_FORMAT_USHORT) &&
      (type == VIPS_INTERPRETATION_sRGB || type == VIPS_INTERPRETATION_RGB ||
       type == VIPS_INTERPRETATION_RGB16 || type == VIPS_INTERPRETATION_B_W ||
       type == VIPS_INTERPRETATION_GREY16 || type == VIPS_INTERPRETATION_CMYK ||
       type == VIPS_INTERPRETATION_MULTIBAND);
  VipsImage *result = NULL;
  if (is_plain) {
    result = image;
    g_object_ref(result);
  } else {
    // Lab, floating point and the like, which only TIFF can hold.
    VipsImage *rgb = NULL;
    if (vips_colourspace(image, &rgb, VIPS_INTERPRETATION_sRGB, NULL)) {
      cvips_fail(error);
      return NULL;
    }
    int status = vips_cast(rgb, &result, VIPS_FORMAT_UCHAR, NULL);
    g_object_unref(rgb);
    if (status) {
      cvips_fail(error);
      return NULL;
    }
    type = VIPS_INTERPRETATION_sRGB;
    bands = vips_image_get_bands(result);
  }
  layout->kind = bands < 3                              ? COLOUR_GREY
                 : type == VIPS_INTERPRETATION_CMYK && bands >= 4 ? COLOUR_CMYK
                                                        : COLOUR_RGB;
  layout->colours = layout->kind == COLOUR_GREY ? 1 : layout->kind == COLOUR_RGB ? 3 : 4;
  layout->has_alpha = bands > layout->colours;
  if (options->uses_profile && is_plain && has_usable_profile(result)) {
    VipsImage *converted = converted_from_profile(result, layout->colours, layout->has_alpha);
    if (converted) {
      g_object_unref(result);
      result = converted;
      layout->kind = COLOUR_RGB;
      layout->colours = 3;
    }
  }
  layout->bands = vips_image_get_bands(result);
  layout->is_16bit = vips_image_get_format(result) == VIPS_FORMAT_USHORT;
  return result;
}

int cvips_read_rgb(
    cvips_picture *picture, const cvips_options *options, uint8_t *out, char *error) {
  row_layout layout;
  VipsImage *image = as_samples(picture->image, options, &layout, error);
  if (!image) return -1;

  const size_t width = (size_t)vips_image_get_width(image);
  const int height = vips_image_get_height(image);
  const size_t samples = width * (size_t)layout.bands;
  const size_t row_bytes = samples * (layout.is_16bit ? 2 : 1);
  const int shrink = options->shrink < 1 ? 1 : options->shrink;
  const size_t out_row = (width + (size_t)shrink - 1) / (size_t)shrink * 3;

  // A strip of about a megabyte.
  int strip = (int)((1u << 20) / (row_bytes + 1));
  strip = strip < 1 ? 1 : strip > 32 ? 32 : strip;

  VipsRegion *region = vips_region_new(image);
  uint8_t *narrow = layout.is_16bit ? malloc(samples) : NULL;
  uint8_t *line = shrink > 1 ? malloc(width * 3) : NULL;
  block_mean mean = {shrink > 1 ? calloc(width * 3, sizeof(uint32_t)) : NULL, width, shrink, 0};
  int status = 0;
  if (!region || (layout.is_16bit && !narrow) || (shrink > 1 && (!line || !mean.sums)))
    status = cvips_fail_with(error, "out of memory");

  for (int top = 0; status == 0 && top < height; top += strip) {
    VipsRect area = {0, top, (int)width, top + strip < height ? strip : height - top};
    if (vips_region_prepare(region, &area)) {
      status = cvips_fail(error);
      break;
    }
    for (int y = top; y < top + area.height; y++) {
      const uint8_t *row = VIPS_REGION_ADDR(region, 0, y);
      if (layout.is_16bit) {
        const uint16_t *wide = (const uint16_t *)(const void *)row;
        for (size_t i = 0; i < samples; i++) narrow[i] = (uint8_t)(wide[i] >> 8);
        row = narrow;
      }
      if (shrink == 1) {
        convert_row(row, out, width, &layout, options);
        out += out_row;
        continue;
      }
      convert_row(row, line, width, &layout, options);
      add_row(&mean, line);
      if (mean.rows == shrink || y == height - 1) {
        finish_blocks(&mean, out);
        out += out_row;
      }
    }
  }
  free(mean.sums);
  free(line);
  free(narrow);
  if (region) g_object_unref(region);
  g_object_unref(image);
  return status;
}
