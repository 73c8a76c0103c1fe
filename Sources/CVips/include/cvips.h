// Fixed-arity C over libvips, whose variadic functions Swift cannot call.
//
// Every function may be called from any thread. A function that can fail returns 0 on success and -1 on
// failure, with the reason in `error`, a buffer of CVIPS_ERROR_SIZE bytes that is always terminated.
#ifndef CVIPS_H
#define CVIPS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CVIPS_ERROR_SIZE = 512 };

/// File formats, each read by its own loader: nothing is ever guessed by libvips.
typedef enum {
  CVIPS_JPEG = 0,
  CVIPS_PNG = 1,
  CVIPS_WEBP = 2,
  CVIPS_GIF = 3,
  CVIPS_TIFF = 4,
  CVIPS_HEIF = 5,
  CVIPS_SVG = 6,
} cvips_format;

/// What the header of a picture says, before any pixel is decoded.
typedef struct {
  int64_t width;
  int64_t height;
  int bands;
  int has_alpha;
  int is_cmyk;
  int has_profile;
  /// EXIF orientation, 1...8; 1 where there is none or it is out of range.
  int orientation;
  /// Frames or pages in the file, at least 1.
  int pages;
  /// Progressive JPEG or interlaced PNG: the decoder must hold the whole picture.
  int is_interlaced;
} cvips_header;

/// An open picture. Made by cvips_open_*, released by cvips_close.
typedef struct cvips_picture cvips_picture;

/// Starts libvips (once per process): no operation cache, one thread a pipeline, every loader blocked but
/// JPEG, PNG, WebP, GIF and SVG from memory.
int cvips_start(char *error);

/// libvips' version, such as "8.14.1". Static storage.
const char *cvips_version(void);

/// Lets a format's loaders run from now on, in the whole process. TIFF and HEIF start blocked.
/// Returns 0, or -1 where this libvips has no such loader.
int cvips_allow(cvips_format format);

/// 1 where this libvips has a loader for the format, blocked or not.
int cvips_can_load(cvips_format format);

/// 1 where libvips, asked to guess a loader for these bytes and run it, would succeed. For tests of the
/// block list.
int cvips_guess_succeeds(const void *bytes, size_t count);

/// Opens a file and reads its header. `shrink` above 1 asks the decoder itself for a smaller picture
/// (JPEG: 2, 4 or 8; WebP: any; other formats ignore it). NULL on failure.
cvips_picture *cvips_open_file(const char *path, cvips_format format, int shrink, char *error);

/// As cvips_open_file, from bytes that must outlive the picture.
cvips_picture *cvips_open_memory(
    const void *bytes, size_t count, cvips_format format, int shrink, char *error);

void cvips_close(cvips_picture *picture);

cvips_header cvips_read_header(const cvips_picture *picture);

/// How the pixels are turned into 8-bit sRGB.
typedef struct {
  /// Non-zero: composite alpha over `over`. Zero: drop alpha, keep the stored colour.
  int composites_alpha;
  uint8_t over[3];
  /// Non-zero: convert from the embedded ICC profile, where there is a usable one that is not sRGB itself.
  int uses_profile;
  /// Average blocks of `shrink` x `shrink` stored pixels while streaming; blocks at the right and bottom edge
  /// may be smaller. 1 keeps every pixel.
  int shrink;
} cvips_options;

/// Decodes into `out`, RGB interleaved, ceil(height / shrink) rows of ceil(width / shrink) pixels, as stored
/// (the orientation is not applied). Rows are streamed: besides `out` only a strip is held. May be called once.
int cvips_read_rgb(
    cvips_picture *picture, const cvips_options *options, uint8_t *out, char *error);

/// Encodes interleaved RGB. The bytes go to `*bytes` (release with cvips_release), their number to `*count`.
int cvips_encode_png(
    const uint8_t *rgb, int width, int height, int compression, void **bytes, size_t *count,
    char *error);
int cvips_encode_jpeg(
    const uint8_t *rgb, int width, int height, int quality, void **bytes, size_t *count,
    char *error);
int cvips_encode_webp(
    const uint8_t *rgb, int width, int height, int quality, void **bytes, size_t *count,
    char *error);

void cvips_release(void *bytes);

#ifdef __cplusplus
}
#endif

#endif
