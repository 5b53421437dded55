// The four u8 depths of one step of the integer dot verbs, as the 32 bits that are broadcast.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

BOOKEND_VERB int four_bytes(const std::uint8_t* p) {
  int four;
  std::memcpy(&four, p, sizeof four);
  return four;
}

// Only the first `count` < 4 bytes exist: the others are zero.
BOOKEND_VERB int tail_bytes(const std::uint8_t* p, int count) {
  int bytes = p[0];
  if (count > 1) bytes |= p[1] << 8;
  if (count > 2) bytes |= p[2] << 16;
  return bytes;
}

}  // namespace
}  // namespace bookend
