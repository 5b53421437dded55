// Storage types and the conversions every layer needs. Mirrors src/core/dtype.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bookend {

enum class DType : std::uint8_t { f32, bf16, f16, s8, u8, s32 };

constexpr std::size_t byte_size(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::s32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    default:
      return 1;
  }
}

// bfloat16 as raw bits: GCC 12 has the instructions but no type for it.
struct Bf16 {
  std::uint16_t bits;
};

inline float to_float(Bf16 value) {
  const std::uint32_t wide = static_cast<std::uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &wide, sizeof result);
  return result;
}

// Round to nearest, ties to even; NaN stays NaN.
inline Bf16 to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// What a fused kernel applies to its accumulator. `geglu` pairs two columns and halves the output.
enum class Activation : std::uint8_t { none, silu, gelu, gelu_tanh, quick_gelu, geglu };

}  // namespace bookend
