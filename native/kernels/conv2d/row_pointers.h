// Indirection: where each tap of each output pixel reads its channels. Padding, stride, upsampling
// and the second source of a skip concatenation all live in these pointers, so the inner loops know
// none of them, and there is no im2col copy and no halo around activations. (The idea is the
// indirection buffer of Dukhan, "The Indirect Convolution Algorithm", 2019.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv2d/conv2d.h"

namespace bookend {

// Writes table[tap * padded_rows + i] for output pixels first_row + i, i < rows, of every tap;
// entries up to padded_rows repeat the last pixel, so that a whole tile can always be computed.
// `strides` of the source are in bytes; a tap outside the image, or on an inserted zero, reads
// `zeros`.
void fill_row_pointers(const Conv2dProblem& problem, const std::byte* source,
                       const SourceStrides& strides, const std::byte* zeros, std::int64_t first_row,
                       std::int64_t rows, std::int64_t padded_rows, const std::byte** table);

}  // namespace bookend
