#include "internal.h"

#include <stdlib.h>
#include <string.h>

static cvips_picture *opened(VipsImage *image, int status, cvips_format format, char *error) {
  if (status != 0 || !image) {
    cvips_fail(error);
    return NULL;
  }
  cvips_picture *picture = malloc(sizeof *picture);
  if (!picture) {
    g_object_unref(image);
    cvips_fail_with(error, "out of memory");
    return NULL;
  }
  picture->image = image;
  picture->format = format;
  return picture;
}

#define STREAMED "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_TRUNCATED

cvips_picture *cvips_open_file(const char *path, cvips_format format, int shrink, char *error) {
  VipsImage *image = NULL;
  int status = -1;
  switch (format) {
    case CVIPS_JPEG: status = vips_jpegload(path, &image, STREAMED, "shrink", shrink, NULL); break;
    case CVIPS_PNG: status = vips_pngload(path, &image, STREAMED, NULL); break;
    case CVIPS_WEBP:
      status = vips_webpload(path, &image, STREAMED, "scale", 1.0 / shrink, NULL);
      break;
    case CVIPS_GIF: status = vips_gifload(path, &image, STREAMED, NULL); break;
    case CVIPS_TIFF: status = vips_tiffload(path, &image, STREAMED, NULL); break;
    case CVIPS_HEIF: status = vips_heifload(path, &image, STREAMED, NULL); break;
    case CVIPS_SVG:
      cvips_fail_with(error, "SVG files are not read");
      return NULL;
  }
  return opened(image, status, format, error);
}

cvips_picture *cvips_open_memory(
    const void *bytes, size_t count, cvips_format format, int shrink, char *error) {
  void *data = (void *)(uintptr_t)bytes;  // libvips does not write to it
  VipsImage *image = NULL;
  int status = -1;
  switch (format) {
    case CVIPS_JPEG:
      status = vips_jpegload_buffer(data, count, &image, STREAMED, "shrink", shrink, NULL);
      break;
    case CVIPS_PNG: status = vips_pngload_buffer(data, count, &image, STREAMED, NULL); break;
    case CVIPS_WEBP:
      status = vips_webpload_buffer(data, count, &image, STREAMED, "scale", 1.0 / shrink, NULL);
      break;
    case CVIPS_GIF: status = vips_gifload_buffer(data, count, &image, STREAMED, NULL); break;
    case CVIPS_TIFF: status = vips_tiffload_buffer(data, count, &image, STREAMED, NULL); break;
    case CVIPS_HEIF: status = vips_heifload_buffer(data, count, &image, STREAMED, NULL); break;
    case CVIPS_SVG: status = vips_svgload_buffer(data, count, &image, NULL); break;
  }
  return opened(image, status, format, error);
}

void cvips_close(cvips_picture *picture) {
  if (!picture) return;
  g_object_unref(picture->image);
  free(picture);
}

cvips_header cvips_read_header(const cvips_picture *picture) {
  VipsImage *image = picture->image;
  cvips_header header = {0};
  header.width = vips_image_get_width(image);
  header.height = vips_image_get_height(image);
  header.bands = vips_image_get_bands(image);
  header.has_alpha = vips_image_hasalpha(image);
  header.is_cmyk = vips_image_get_interpretation(image) == VIPS_INTERPRETATION_CMYK;
  header.has_profile = vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0;
  header.orientation = vips_image_get_orientation(image);
  header.pages = vips_image_get_n_pages(image);
  int interlaced = 0;
  if (vips_image_get_typeof(image, "interlaced"))
    vips_image_get_int(image, "interlaced", &interlaced);
  header.is_interlaced = interlaced;
  return header;
}

static int encoded(int status, char *error) { return status == 0 ? 0 : cvips_fail(error); }

static VipsImage *wrap(const uint8_t *rgb, int width, int height) {
  VipsImage *image = vips_image_new_from_memory(
      rgb, (size_t)width * (size_t)height * 3, width, height, 3, VIPS_FORMAT_UCHAR);
  if (image) image->Type = VIPS_INTERPRETATION_sRGB;
  return image;
}

int cvips_encode_png(
    const uint8_t *rgb, int width, int height, int compression, void **bytes, size_t *count,
    char *error) {
  VipsImage *image = wrap(rgb, width, height);
  if (!image) return cvips_fail(error);
  int status = vips_pngsave_buffer(image, bytes, count, "compression", compression, NULL);
  g_object_unref(image);
  return encoded(status, error);
}

int cvips_encode_jpeg(
    const uint8_t *rgb, int width, int height, int quality, void **bytes, size_t *count,
    char *error) {
  VipsImage *image = wrap(rgb, width, height);
  if (!image) return cvips_fail(error);
  int status = vips_jpegsave_buffer(image, bytes, count, "Q", quality, NULL);
  g_object_unref(image);
  return encoded(status, error);
}

int cvips_encode_webp(
    const uint8_t *rgb, int width, int height, int quality, void **bytes, size_t *count,
    char *error) {
  VipsImage *image = wrap(rgb, width, height);
  if (!image) return cvips_fail(error);
  int status = vips_webpsave_buffer(image, bytes, count, "Q", quality, NULL);
  g_object_unref(image);
  return encoded(status, error);
}

void cvips_release(void *bytes) { g_free(bytes); }
