#include "CFiles.h"

#include <pthread.h>
#include <string.h>

// 8 tables of 256: entry b of table k is the effect of byte b followed by k zero bytes.
static uint32_t tables[8][256];

// Three stretches of BLOCK bytes are taken at once, as the instruction takes three cycles and can start in each.
// `ahead[k][b]` is byte k of a checksum, b, followed by BLOCK zero bytes.
enum { BLOCK = 4096 };
static uint32_t ahead[4][256];

static void fill_tables(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    tables[0][byte] = crc;
  }
  for (int k = 1; k < 8; k++)
    for (int byte = 0; byte < 256; byte++)
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
  for (int k = 0; k < 4; k++)
    for (uint32_t byte = 0; byte < 256; byte++) {
      uint32_t crc = byte << 8 * k;
      for (int zero = 0; zero < BLOCK; zero++) crc = crc >> 8 ^ tables[0][crc & 0xff];
      ahead[k][byte] = crc;
    }
}

static void prepare(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_tables);
}

static uint64_t word_at(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, 8);
  return word;
}

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t count) {
  prepare();
  const uint8_t *next = bytes, *end = next + count;
  crc = ~crc;
  for (; end - next >= 8; next += 8) {
    uint32_t sum = 0;
    for (int k = 0; k < 8; k++) sum ^= tables[7 - k][(next[k] ^ (k < 4 ? crc >> 8 * k : 0)) & 0xff];
    crc = sum;
  }
  for (; next < end; next++) crc = crc >> 8 ^ tables[0][(crc ^ *next) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#define WITH_CRC __attribute__((target("sse4.2")))
#define CRC_WORD(crc, word) ((uint32_t)_mm_crc32_u64(crc, word))
#define CRC_BYTE(crc, byte) _mm_crc32_u8(crc, byte)
static int has_crc(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define WITH_CRC __attribute__((target("crc")))
#define CRC_WORD(crc, word) __crc32cd(crc, word)
#define CRC_BYTE(crc, byte) __crc32cb(crc, byte)
static int has_crc(void) { return (getauxval(AT_HWCAP) & (1 << 7)) != 0; }
#endif

#ifdef WITH_CRC
static uint32_t past_block(uint32_t crc) {
  return ahead[0][crc & 0xff] ^ ahead[1][crc >> 8 & 0xff] ^ ahead[2][crc >> 16 & 0xff] ^ ahead[3][crc >> 24];
}

WITH_CRC static uint32_t crc32c_instruction(uint32_t crc, const uint8_t *next, size_t count) {
  const uint8_t *end = next + count;
  crc = ~crc;
  for (; end - next >= 3 * BLOCK; next += 3 * BLOCK) {
    uint32_t second = 0, third = 0;
    for (int i = 0; i < BLOCK; i += 8) {
      crc = CRC_WORD(crc, word_at(next + i));
      second = CRC_WORD(second, word_at(next + BLOCK + i));
      third = CRC_WORD(third, word_at(next + 2 * BLOCK + i));
    }
    crc = past_block(past_block(crc) ^ second) ^ third;
  }
  for (; end - next >= 8; next += 8) crc = CRC_WORD(crc, word_at(next));
  for (; next < end; next++) crc = CRC_BYTE(crc, *next);
  return ~crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t count) {
#ifdef WITH_CRC
  if (has_crc()) {
    prepare();
    return crc32c_instruction(crc, bytes, count);
  }
#endif
  return crc32c_portable(crc, bytes, count);
}
