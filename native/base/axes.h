// Nested strided loops over two operands, which binary ops and copies walk.
#pragma once

#include <cstdint>

namespace bookend {

// One loop: its extent, and how many elements each operand moves per turn.
struct Axis {
  std::int64_t extent, first_stride, second_stride;
};

constexpr int kMaxAxes = 6;

// Loops, outermost first.
struct Axes {
  Axis axis[kMaxAxes];
  int count;

  const Axis& inner() const { return axis[count - 1]; }
  std::int64_t outer_turns() const;
  // Offsets of both operands at the start of the inner loop's turn number `turn` of outer_turns().
  void offsets(std::int64_t turn, std::int64_t* first, std::int64_t* second) const;
};

// The same walk with axes of extent 1 dropped and neighbours merged where both operands step
// through them as one; at least one axis is left.
Axes merged(const Axes& axes);

}  // namespace bookend
