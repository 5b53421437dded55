#include "executor/convert.h"

#include <cstdint>
#include <cstring>

namespace bookend {
namespace {

bool floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

float load(DType dtype, const std::byte* data, std::size_t i) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(data)[i];
  const std::uint16_t bits = reinterpret_cast<const std::uint16_t*>(data)[i];
  return dtype == DType::bf16 ? to_float(Bf16{bits}) : to_float(F16{bits});
}

template <class Word, Word kExponent>
bool any_all_ones_exponent(const std::byte* data, std::size_t count) {
  const Word* words = reinterpret_cast<const Word*>(data);
  bool found = false;
  for (std::size_t i = 0; i < count; ++i) found |= (words[i] & kExponent) == kExponent;
  return found;
}

}  // namespace

bool convertible(DType from, DType to) {
  return from == to || (floating(from) && (to == DType::f32 || to == DType::bf16));
}

void convert(DType from, const std::byte* source, DType to, std::byte* target,
             std::size_t count) {
  if (from == to) {
    std::memcpy(target, source, count * byte_size(from));
  } else if (to == DType::f32) {
    float* out = reinterpret_cast<float*>(target);
    for (std::size_t i = 0; i < count; ++i) out[i] = load(from, source, i);
  } else {
    Bf16* out = reinterpret_cast<Bf16*>(target);
    for (std::size_t i = 0; i < count; ++i) out[i] = to_bf16(load(from, source, i));
  }
}

bool has_non_finite(DType dtype, const std::byte* data, std::size_t count) {
  switch (dtype) {
    case DType::f32:
      return any_all_ones_exponent<std::uint32_t, 0x7f800000u>(data, count);
    case DType::bf16:
      return any_all_ones_exponent<std::uint16_t, 0x7f80u>(data, count);
    case DType::f16:
      return any_all_ones_exponent<std::uint16_t, 0x7c00u>(data, count);
    default:
      return false;
  }
}

}  // namespace bookend
