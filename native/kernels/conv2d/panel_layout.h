// Where a packed weight lies. Output columns are cut into panels of `vectors` SIMD vectors, the
// last panel into as few vectors as cover the rest. Inside a panel, depth runs over source (x, then
// skip), tap, channel:
//   [panel][source][tap][ceil(channels / pack)][panel's vectors * width][pack]
// Behind the panels of s8 weights lie their sums over taps and channels, s32, which zero points are
// multiplied with:
//   [panel][source][panel's vectors * width]
// For geglu the first half of a panel's vectors holds values and the second half the gates of the
// same columns, so that one tile owns both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"
#include "kernels/conv2d/conv2d.h"

namespace bookend {

template <DType type>
struct SumTypeOf {
  using Type = float;
};
template <>
struct SumTypeOf<DType::u8> {
  using Type = std::int32_t;
};
// What products of `type` are summed in.
template <DType type>
using SumOf = typename SumTypeOf<type>::Type;

// What a micro-kernel fixes about the layout.
struct PanelShape {
  int width;          // columns of one vector
  int vectors;        // vectors of a full panel, even
  int pack;           // consecutive channels that lie together
  int step_multiple;  // steps of one tap are padded with zeros to a multiple of this
};

struct PanelLayout {
  PanelShape shape;
  DType type;
  bool paired;           // geglu
  std::int64_t columns;  // of the output: out_columns()
  std::int64_t taps;
  std::int64_t channels[2];  // of x and skip
  std::int64_t steps[2];     // inner-loop steps of one tap: ceil(channels / pack), padded
  std::int64_t panels;

  PanelLayout(const PanelShape& panel_shape, const Conv2dProblem& problem);

  std::int64_t panel_columns() const;  // output columns of a full panel
  int vectors_of(std::int64_t panel) const;
  std::size_t bytes_per_step(int vectors) const;
  std::int64_t total_steps() const;
  std::size_t panel_offset(std::int64_t panel) const;
  // Inside a panel of `vectors`: where channel step `step` of `tap` of `source` begins.
  std::size_t step_offset(int vectors, int source, std::int64_t tap, std::int64_t step) const;
  std::size_t panels_bytes() const;
  std::size_t bytes() const;  // of everything

  int sources() const;
  // Integer sums of the two sources stay apart, since each has a scale of its own.
  bool separate_sums() const;
  bool has_weight_sums() const;
  std::int64_t weight_sums() const;  // how many
  std::size_t weight_sums_offset() const;
  std::int64_t weight_sum(std::int64_t panel, int source) const;  // index of a panel's first
};

}  // namespace bookend
