#pragma once

#include <stddef.h>
#include <stdint.h>

/// `O_DIRECT`, which Swift does not see: reads and writes past the page cache.
extern const int32_t direct_flag;

/// CRC-32C (Castagnoli, polynomial 0x1edc6f41 reflected) of bytes that follow those whose checksum is `crc`, 0 for none.
/// Taken with the processor's own instruction where it has one.
uint32_t crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same without that instruction.
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t count);
