// AMX tiles in plain C++, so that the logic around them runs and is tested on any CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/types.h"

namespace bookend {
namespace {

class EmulatedTiles {
 public:
  void begin() {}
  void end() {}

  template <int tile>
  void zero() {
    std::memset(&tiles_[tile], 0, sizeof tiles_[tile]);
  }
  template <int tile>
  void load(const void* from, std::size_t stride) {
    for (std::size_t row = 0; row < kRows; ++row) {
      std::memcpy(tiles_[tile].bytes[row], static_cast<const std::byte*>(from) + row * stride,
                  kRowBytes);
    }
  }
  template <int tile>
  void store(void* to, std::size_t stride) {
    for (std::size_t row = 0; row < kRows; ++row) {
      std::memcpy(static_cast<std::byte*>(to) + row * stride, tiles_[tile].bytes[row], kRowBytes);
    }
  }

  // TDPBF16PS as the Intel SDM (volume 2) writes it: even and odd depths are summed apart, added to
  // each other and then to the accumulator, rounding to nearest and flushing denormals at every
  // step. A product of two bf16 is exact in f32, so a separate multiplication loses nothing.
  template <int sums, int a, int b>
  void dot_bf16() {
    for (std::size_t m = 0; m < kRows; ++m) {
      for (std::size_t n = 0; n < kColumns; ++n) {
        float even = 0.0f, odd = 0.0f;
        for (std::size_t k = 0; k < kRows; ++k) {
          even = flush(even + flush(half(a, m, 2 * k) * half(b, k, 2 * n)));
          odd = flush(odd + flush(half(a, m, 2 * k + 1) * half(b, k, 2 * n + 1)));
        }
        float sum;
        std::byte* at = tiles_[sums].bytes[m] + n * sizeof sum;
        std::memcpy(&sum, at, sizeof sum);
        sum = flush(flush(sum) + flush(even + odd));
        std::memcpy(at, &sum, sizeof sum);
      }
    }
  }

  // TDPBUSD: u8 of a times s8 of b, summed in s32 that wrap.
  template <int sums, int a, int b>
  void dot_u8s8() {
    for (std::size_t m = 0; m < kRows; ++m) {
      for (std::size_t n = 0; n < kColumns; ++n) {
        std::uint32_t sum;
        std::byte* at = tiles_[sums].bytes[m] + n * sizeof sum;
        std::memcpy(&sum, at, sizeof sum);
        for (std::size_t k = 0; k < kRowBytes; ++k) {
          const auto weight = static_cast<std::int8_t>(tiles_[b].bytes[k / 4][4 * n + k % 4]);
          const int product = static_cast<int>(tiles_[a].bytes[m][k]) * weight;
          sum += static_cast<std::uint32_t>(product);
        }
        std::memcpy(at, &sum, sizeof sum);
      }
    }
  }

 private:
  static constexpr std::size_t kRows = 16, kColumns = 16, kRowBytes = 64;
  struct Tile {
    std::byte bytes[kRows][kRowBytes];
  };

  static float flush(float x) { return __builtin_fabsf(x) < 0x1p-126f ? 0.0f * x : x; }
  float half(int tile, std::size_t row, std::size_t index) const {
    Bf16 value;
    std::memcpy(&value, tiles_[tile].bytes[row] + index * sizeof value, sizeof value);
    return flush(to_float(value));
  }

  Tile tiles_[8];
};

}  // namespace
}  // namespace bookend
