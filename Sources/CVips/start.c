#include "internal.h"

#include <string.h>

int cvips_fail_with(char *error, const char *text) {
  g_strlcpy(error, text, CVIPS_ERROR_SIZE);
  size_t length = strlen(error);
  while (length > 0 && (error[length - 1] == '\n' || error[length - 1] == ' ')) error[--length] = 0;
  for (char *c = error; *c; c++) {
    if (*c == '\n') *c = ';';
  }
  return -1;
}

int cvips_fail(char *error) {
  char *text = vips_error_buffer_copy();  // copies and clears under libvips' own lock
  cvips_fail_with(error, text && *text ? text : "libvips gave no reason");
  g_free(text);
  return -1;
}

static void ignore_log(
    const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data) {
  (void)domain, (void)level, (void)message, (void)data;
}

int cvips_start(char *error) {
  if (VIPS_INIT("vlsa")) return cvips_fail(error);
  // Loaders log what they also report by their status; a library does not print.
  g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_INFO, ignore_log, NULL);
  vips_cache_set_max(0);
  vips_concurrency_set(1);
  vips_operation_block_set("VipsForeignLoad", TRUE);
  vips_operation_block_set("VipsForeignLoadJpeg", FALSE);
  vips_operation_block_set("VipsForeignLoadPng", FALSE);
  vips_operation_block_set("VipsForeignLoadWebp", FALSE);
  vips_operation_block_set("VipsForeignLoadNsgif", FALSE);
  // Only bytes of our own making reach this one (cvips_format CVIPS_SVG); SVG files stay blocked.
  vips_operation_block_set("VipsForeignLoadSvgBuffer", FALSE);
  return 0;
}

const char *cvips_version(void) { return vips_version_string(); }

static const char *loader_class(cvips_format format) {
  switch (format) {
    case CVIPS_JPEG: return "VipsForeignLoadJpeg";
    case CVIPS_PNG: return "VipsForeignLoadPng";
    case CVIPS_WEBP: return "VipsForeignLoadWebp";
    case CVIPS_GIF: return "VipsForeignLoadNsgif";
    case CVIPS_TIFF: return "VipsForeignLoadTiff";
    case CVIPS_HEIF: return "VipsForeignLoadHeif";
    case CVIPS_SVG: return "VipsForeignLoadSvgBuffer";
  }
  return "";
}

int cvips_can_load(cvips_format format) {
  static const char *const names[] = {"jpegload_buffer", "pngload_buffer",  "webpload_buffer",
                                      "gifload_buffer",  "tiffload_buffer", "heifload_buffer",
                                      "svgload_buffer"};
  // vips_type_find may load a module, which is how some systems ship HEIF.
  return vips_type_find("VipsOperation", names[format]) != 0;
}

int cvips_allow(cvips_format format) {
  if (!cvips_can_load(format)) return -1;
  vips_operation_block_set(loader_class(format), FALSE);
  return 0;
}

int cvips_guess_succeeds(const void *bytes, size_t count) {
  VipsImage *image = vips_image_new_from_buffer(bytes, count, "", NULL);
  int succeeded = 0;
  if (image) {
    double mean;
    succeeded = vips_avg(image, &mean, NULL) == 0;
    g_object_unref(image);
  }
  vips_error_clear();
  return succeeded;
}
