// Recognises sRGB among embedded ICC profiles (ICC.1:2010, sections 7.3 and 10).

#include "internal.h"

#include <string.h>

static uint32_t read_u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/// Whether the tag's text, ASCII or UTF-16, contains "sRGB".
static int says_srgb(const uint8_t *tag, size_t count) {
  static const uint8_t narrow[] = {'s', 'R', 'G', 'B'};
  static const uint8_t wide[] = {'s', 0, 'R', 0, 'G', 0, 'B'};
  for (size_t i = 0; i + sizeof narrow <= count; i++) {
    if (memcmp(tag + i, narrow, sizeof narrow) == 0) return 1;
    if (i + sizeof wide <= count && memcmp(tag + i, wide, sizeof wide) == 0) return 1;
  }
  return 0;
}

/// Whether an XYZ tag holds the given colour to 1%, which separates the named RGB spaces.
static int is_near(const uint8_t *tag, size_t count, const double expected[3]) {
  if (count < 20) return 0;
  for (int i = 0; i < 3; i++) {
    double value = (int32_t)read_u32(tag + 8 + 4 * i) / 65536.0;
    double difference = value - expected[i];
    if (difference > 0.01 || difference < -0.01) return 0;
  }
  return 1;
}

int cvips_profile_is_srgb(const uint8_t *profile, size_t count) {
  // sRGB's primaries, adapted to D50.
  static const double red[3] = {0.4361, 0.2225, 0.0139};
  static const double green[3] = {0.3851, 0.7169, 0.0971};
  static const double blue[3] = {0.1431, 0.0606, 0.7141};
  if (count < 132 || memcmp(profile + 16, "RGB ", 4) != 0) return 0;
  uint32_t tags = read_u32(profile + 128);
  int found = 0;
  for (uint32_t i = 0; i < tags && 132 + 12 * ((size_t)i + 1) <= count; i++) {
    const uint8_t *entry = profile + 132 + 12 * (size_t)i;
    uint64_t offset = read_u32(entry + 4), length = read_u32(entry + 8);
    if (offset + length > count) continue;
    const uint8_t *tag = profile + offset;
    if (memcmp(entry, "desc", 4) == 0 && says_srgb(tag, length)) found |= 1;
    if (memcmp(entry, "rXYZ", 4) == 0 && is_near(tag, length, red)) found |= 2;
    if (memcmp(entry, "gXYZ", 4) == 0 && is_near(tag, length, green)) found |= 4;
    if (memcmp(entry, "bXYZ", 4) == 0 && is_near(tag, length, blue)) found |= 8;
  }
  return found == 15;
}
