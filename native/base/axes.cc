#include "base/axes.h"

namespace bookend {

std::int64_t Axes::outer_turns() const {
  std::int64_t turns = 1;
  for (int i = 0; i + 1 < count; ++i) turns *= axis[i].extent;
  return turns;
}

void Axes::offsets(std::int64_t turn, std::int64_t* first, std::int64_t* second) const {
  *first = *second = 0;
  for (int i = count - 2; i >= 0; --i) {
    const std::int64_t index = turn % axis[i].extent;
    turn /= axis[i].extent;
    *first += index * axis[i].first_stride;
    *second += index * axis[i].second_stride;
  }
}

Axes merged(const Axes& axes) {
  Axes result;
  result.count = 0;
  for (int i = 0; i < axes.count; ++i) {
    const Axis& next = axes.axis[i];
    if (next.extent == 1) continue;
    if (result.count > 0) {
      Axis& last = result.axis[result.count - 1];
      if (last.first_stride == next.extent * next.first_stride &&
          last.second_stride == next.extent * next.second_stride) {
        last = {last.extent * next.extent, next.first_stride, next.second_stride};
        continue;
      }
    }
    result.axis[result.count++] = next;
  }
  if (result.count == 0) result.axis[result.count++] = {1, 1, 1};
  return result;
}

}  // namespace bookend
