// Verbs of the tile micro-kernel (kernels/conv2d/tile_kernel.h) on AMX. A thread has 8 tiles of 16
// rows by 64 bytes; dot_verbs_amx_emulated.h is the same in plain C++.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace bookend {

// Assembly, since the compiler's intrinsics take tile numbers as literals only, not as constants.
struct HardwareTiles {
  // Palette 1 with all tiles whole (Intel SDM volume 1, chapter 18, "TILECFG").
  void begin() {
    struct alignas(64) Configuration {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    static constexpr Configuration kConfiguration{};
    _tile_loadconfig(&kConfiguration);
  }
  void end() { _tile_release(); }

  template <int tile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
  }
  template <int tile>
  void load(const void* from, std::size_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
  }
  template <int tile>
  void store(void* to, std::size_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
  }
  // sums += a * b: a holds 16 rows of 32 bf16 depths, b 16 pairs of depths of 16 columns.
  template <int sums, int a, int b>
  void dot_bf16() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
  // sums += a * b: a holds 16 rows of 64 u8 depths, b 16 quads of s8 depths of 16 columns.
  template <int sums, int a, int b>
  void dot_u8s8() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sums), "i"(a), "i"(b));
  }
};

}  // namespace bookend
