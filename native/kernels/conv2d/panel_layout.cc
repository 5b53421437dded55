#include "kernels/conv2d/panel_layout.h"

namespace bookend {

PanelLayout::PanelLayout(const PanelShape& panel_shape, const Conv2dProblem& problem)
    : shape(panel_shape),
      type(problem.input),
      paired(problem.activation == Activation::geglu),
      columns(problem.out_columns()),
      taps(static_cast<std::int64_t>(problem.kernel_height) * problem.kernel_width),
      channels{problem.channels, problem.skip_channels} {
  for (int source = 0; source < 2; ++source) {
    const std::int64_t unit = static_cast<std::int64_t>(shape.pack) * shape.step_multiple;
    steps[source] = (channels[source] + unit - 1) / unit * shape.step_multiple;
  }
  panels = (columns + panel_columns() - 1) / panel_columns();
}

std::int64_t PanelLayout::panel_columns() const {
  return shape.width * shape.vectors / (paired ? 2 : 1);
}

int PanelLayout::vectors_of(std::int64_t panel) const {
  const std::int64_t rest = columns - panel * panel_columns();
  if (rest >= panel_columns()) return shape.vectors;
  const int covering = static_cast<int>((rest + shape.width - 1) / shape.width);
  return paired ? 2 * covering : covering;
}

std::size_t PanelLayout::bytes_per_step(int vectors) const {
  return byte_size(type) * static_cast<std::size_t>(vectors * shape.width * shape.pack);
}

std::int64_t PanelLayout::total_steps() const { return taps * (steps[0] + steps[1]); }

std::size_t PanelLayout::panel_offset(std::int64_t panel) const {
  return static_cast<std::size_t>(panel * total_steps()) * bytes_per_step(shape.vectors);
}

std::size_t PanelLayout::step_offset(int vectors, int source, std::int64_t tap,
                                     std::int64_t step) const {
  const std::int64_t before = (source == 0 ? 0 : taps * steps[0]) + tap * steps[source] + step;
  return static_cast<std::size_t>(before) * bytes_per_step(vectors);
}

std::size_t PanelLayout::panels_bytes() const {
  const std::int64_t last = panels - 1;
  return panel_offset(last) +
         static_cast<std::size_t>(total_steps()) * bytes_per_step(vectors_of(last));
}

std::size_t PanelLayout::bytes() const {
  if (!has_weight_sums()) return panels_bytes();
  return weight_sums_offset() + static_cast<std::size_t>(weight_sums()) * sizeof(std::int32_t);
}

int PanelLayout::sources() const { return channels[1] > 0 ? 2 : 1; }

bool PanelLayout::separate_sums() const { return has_weight_sums() && sources() == 2; }

bool PanelLayout::has_weight_sums() const { return type == DType::u8; }

std::int64_t PanelLayout::weight_sums() const { return weight_sum(panels, 0); }

// A step is at least 16 bytes.
std::size_t PanelLayout::weight_sums_offset() const { return panels_bytes(); }

std::int64_t PanelLayout::weight_sum(std::int64_t panel, int source) const {
  const std::int64_t full = sources() * shape.width * shape.vectors;
  if (panel == panels) return (panels - 1) * full + sources() * shape.width * vectors_of(panels - 1);
  return panel * full + source * shape.width * vectors_of(panel);
}

}  // namespace bookend
