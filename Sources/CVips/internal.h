#ifndef CVIPS_INTERNAL_H
#define CVIPS_INTERNAL_H

#include "cvips.h"

#if !__has_include(<vips/vips.h>)
#error "libvips' headers were not found: run `make setup`, or install libvips-dev and pkg-config"
#endif
#include <vips/vips.h>

struct cvips_picture {
  VipsImage *image;
  cvips_format format;
};

/// Copies libvips' error text (one buffer for the whole process) into `error` and clears it. Returns -1.
int cvips_fail(char *error);

/// As cvips_fail, with a text of our own.
int cvips_fail_with(char *error, const char *text);

/// Whether the profile describes sRGB itself, so that converting from it would only add rounding.
int cvips_profile_is_srgb(const uint8_t *profile, size_t count);

#endif
