#include "kernels/conv2d/run_data.h"

#include <cstring>

namespace bookend {
namespace {

std::size_t round_to_line(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Where the parts lie.
struct Places {
  std::size_t padding[2], offsets, multipliers[2], end;
};

Places place(const Conv2dProblem& problem, const PanelLayout& layout) {
  Places places{};
  const auto take = [&places](std::int64_t count, std::size_t size) {
    const std::size_t at = places.end;
    places.end += round_to_line(static_cast<std::size_t>(count) * size);
    return at;
  };
  for (int source = 0; source < 2; ++source) {
    places.padding[source] = take(layout.channels[source], byte_size(layout.type));
  }
  if (!layout.has_weight_sums()) return places;
  places.offsets = take(layout.weight_sums(), sizeof(std::int32_t));
  for (int source = 0; source < layout.sources(); ++source) {
    places.multipliers[source] = take(problem.out_channels, sizeof(float));
  }
  return places;
}

void fill_offsets(const PanelLayout& layout, const std::byte* packed, const std::int32_t (&zero)[2],
                  std::int32_t* offsets) {
  const auto* sums = reinterpret_cast<const std::int32_t*>(packed + layout.weight_sums_offset());
  for (std::int64_t panel = 0; panel < layout.panels; ++panel) {
    for (int source = 0; source < layout.sources(); ++source) {
      const std::int64_t begin = layout.weight_sum(panel, source);
      const std::int64_t end = begin + layout.vectors_of(panel) * layout.shape.width;
      for (std::int64_t i = begin; i < end; ++i) offsets[i] = -zero[source] * sums[i];
    }
  }
}

}  // namespace

std::size_t run_data_bytes(const Conv2dProblem& problem, const PanelLayout& layout) {
  return place(problem, layout).end;
}

RunData make_run_data(const Conv2dProblem& problem, const PanelLayout& layout,
                      const Conv2dOperands& operands, std::byte* scratch) {
  const Places places = place(problem, layout);
  const std::int32_t zero[2] = {problem.input_zero, problem.skip_zero};
  RunData data{};
  for (int source = 0; source < 2; ++source) {
    std::byte* pixel = scratch + places.padding[source];
    std::memset(pixel, layout.type == DType::u8 ? zero[source] : 0,
                static_cast<std::size_t>(layout.channels[source]) * byte_size(layout.type));
    data.padding[source] = pixel;
  }
  if (!layout.has_weight_sums()) return data;
  auto* offsets = reinterpret_cast<std::int32_t*>(scratch + places.offsets);
  fill_offsets(layout, static_cast<const std::byte*>(operands.weights), zero, offsets);
  data.offsets = offsets;
  const float scale[2] = {problem.input_scale, problem.skip_scale};
  for (int source = 0; source < layout.sources(); ++source) {
    auto* multipliers = reinterpret_cast<float*>(scratch + places.multipliers[source]);
    for (std::int64_t o = 0; o < problem.out_channels; ++o) {
      multipliers[o] = scale[source] * operands.weight_scale[o];
    }
    data.multipliers[source] = multipliers;
  }
  return data;
}

}  // namespace bookend
