// Element types of stored weights.
#pragma once

#include <cstddef>

#include "base/types.h"

namespace bookend {

// Every floating type becomes f32 or bf16 (rounding to nearest, ties to even); anything can stay
// what it is.
bool convertible(DType from, DType to);

// Converts `count` elements; `convertible(from, to)` holds, and both arrays are aligned to their
// types.
void convert(DType from, const std::byte* source, DType to, std::byte* target, std::size_t count);

// Whether a floating array holds NaN or infinity; false for integers.
bool has_non_finite(DType dtype, const std::byte* data, std::size_t count);

}  // namespace bookend
