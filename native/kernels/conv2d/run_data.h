// What a run computes from its operands before the first task, for all of them to read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/panel_layout.h"

namespace bookend {

// The last two are null unless the input is u8.
struct RunData {
  // A pixel of each source that stands for what lies outside the image: zeros, or codes of zero.
  const std::byte* padding[2];
  // Where integer sums start: -zero times the sum of the weights, which makes a sum of code * weight
  // one of (code - zero) * weight. In the order of PanelLayout's sums of weights.
  const std::int32_t* offsets;
  // [out_channels] for each source: from integer sums to real numbers.
  const float* multipliers[2];
};

std::size_t run_data_bytes(const Conv2dProblem& problem, const PanelLayout& layout);

// Fills `scratch` (64-byte aligned, run_data_bytes of it).
RunData make_run_data(const Conv2dProblem& problem, const PanelLayout& layout,
                      const Conv2dOperands& operands, std::byte* scratch);

}  // namespace bookend
