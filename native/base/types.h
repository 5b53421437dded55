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

// IEEE binary16 as raw bits.
struct F16 {
  std::uint16_t bits;
};

inline float to_float(F16 value) {
  constexpr std::uint32_t kRebias = (127u - 15u) << 23;
  const std::uint32_t exponent = value.bits & 0x7c00u;
  std::uint32_t bits = (value.bits & 0x7fffu) << 13;
  if (exponent == 0x7c00u) {
    bits |= 0x7f800000u;
  } else if (exponent != 0) {
    bits += kRebias;
  } else {  // 2^-24 times the mantissa, exactly
    const float small = static_cast<float>(value.bits & 0x3ffu) * 0x1p-24f;
    std::memcpy(&bits, &small, sizeof bits);
  }
  bits |= (value.bits & 0x8000u) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Round to nearest, ties to even; beyond 65504 infinite; NaN stays NaN.
inline F16 to_f16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return {static_cast<std::uint16_t>(sign | 0x7e00u)};
  if (bits >= 0x47800000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};
  if (bits < 0x38800000u) {  // denormal: adding 0.5 leaves units of 2^-24 in the last place
    float shifted;
    std::memcpy(&shifted, &bits, sizeof shifted);
    shifted += 0.5f;
    std::memcpy(&bits, &shifted, sizeof bits);
    return {static_cast<std::uint16_t>(sign | (bits - 0x3f000000u))};
  }
  bits += 0xfffu + ((bits >> 13) & 1u) - ((127u - 15u) << 23);
  return {static_cast<std::uint16_t>(sign | (bits >> 13))};
}

// What a fused kernel applies to its accumulator. `geglu` pairs two columns and halves the output.
enum class Activation : std::uint8_t { none, silu, gelu, gelu_tanh, quick_gelu, relu, geglu };

}  // namespace bookend
