#include "kernels/conv2d/blocking.h"

namespace bookend {
namespace {

// Much longer row blocks than this spill their sums to the third-level cache.
constexpr std::int64_t kMaxRows = 192, kMinRows = 96;
constexpr std::int64_t kTasksPerThread = 8;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::size_t round_to_line(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

void plan_rows(const Conv2dProblem& problem, const PanelLayout& layout, int tile_rows, int threads,
               Blocking* plan) {
  const std::int64_t rows = problem.rows();
  std::int64_t blocks = divide_up(rows, kMaxRows);
  const std::int64_t wanted = divide_up(kTasksPerThread * threads, layout.panels);
  const std::int64_t possible = divide_up(rows, kMinRows);
  if (blocks < wanted) blocks = wanted < possible ? wanted : possible;
  plan->row_block = divide_up(divide_up(rows, blocks), tile_rows) * tile_rows;
  plan->row_blocks = divide_up(rows, plan->row_block);
  plan->tasks = plan->row_blocks * layout.panels;
  // Whichever of weights and activations the order of tasks reads again and again from memory
  // should be the smaller part.
  const double activation_bytes = static_cast<double>(problem.batch * problem.height *
                                                      problem.width) *
                                  static_cast<double>(problem.channels + problem.skip_channels) *
                                  static_cast<double>(byte_size(problem.input));
  const double weight_bytes = static_cast<double>(layout.bytes());
  plan->rows_fastest = activation_bytes * static_cast<double>(layout.panels) <=
                       weight_bytes * static_cast<double>(plan->row_blocks);
}

void plan_chunks(const PanelLayout& layout, Blocking* plan) {
  const std::int64_t step_bytes =
      static_cast<std::int64_t>(layout.bytes_per_step(layout.shape.vectors));
  const std::int64_t unit = layout.shape.step_multiple;
  for (int source = 0; source < 2; ++source) {
    const std::int64_t steps = layout.steps[source];
    std::int64_t most = kChunkBytes / step_bytes / unit * unit;
    if (most < unit) most = unit;
    plan->chunk_steps[source] = 0;
    plan->chunk_taps[source] = 1;
    if (steps == 0) continue;
    const std::int64_t pieces = divide_up(steps, most);
    plan->chunk_steps[source] = divide_up(divide_up(steps, pieces), unit) * unit;
    if (pieces == 1) {
      const std::int64_t taps = most / steps;
      plan->chunk_taps[source] = taps < 1 ? 1 : taps > layout.taps ? layout.taps : taps;
    }
  }
}

}  // namespace

Blocking plan_blocking(const Conv2dProblem& problem, const PanelLayout& layout, int tile_rows,
                       int threads) {
  Blocking plan;
  plan_rows(problem, layout, tile_rows, threads, &plan);
  plan_chunks(layout, &plan);
  plan.pointers_bytes = round_to_line(
      static_cast<std::size_t>(layout.sources() * layout.taps * plan.row_block) * sizeof(void*));
  plan.one_chunk = layout.sources() == 1 && plan.chunk_steps[0] == layout.steps[0] &&
                   plan.chunk_taps[0] == layout.taps;
  const std::int64_t rows = plan.one_chunk ? tile_rows : plan.row_block;
  plan.sums_per_source = rows * layout.shape.width * layout.shape.vectors;
  const int sums = layout.separate_sums() ? 2 : 1;
  plan.sums_bytes = round_to_line(static_cast<std::size_t>(sums * plan.sums_per_source) * 4);
  return plan;
}

TaskPlace place_task(const Conv2dProblem& problem, const Blocking& blocking,
                     const PanelLayout& layout, std::int64_t task) {
  const std::int64_t block =
      blocking.rows_fastest ? task % blocking.row_blocks : task / layout.panels;
  const std::int64_t panel =
      blocking.rows_fastest ? task / blocking.row_blocks : task % layout.panels;
  const std::int64_t first = block * blocking.row_block;
  const std::int64_t rest = problem.rows() - first;
  return {first, rest < blocking.row_block ? rest : blocking.row_block, panel};
}

ChunkWalk::ChunkWalk(const Blocking& blocking, const PanelLayout& layout, const std::byte* weights,
                     const std::int32_t* offsets, std::int64_t panel, std::int64_t padded_rows)
    : blocking_(blocking),
      layout_(layout),
      panel_weights_(weights + layout.panel_offset(panel)),
      offsets_(offsets),
      panel_(panel),
      vectors_(layout.vectors_of(panel)),
      padded_rows_(padded_rows) {}

bool ChunkWalk::next() {
  if (last) return false;
  const std::int64_t steps = layout_.steps[source_];
  const std::int64_t step_end = step_ + blocking_.chunk_steps[source_] < steps
                                    ? step_ + blocking_.chunk_steps[source_]
                                    : steps;
  const std::int64_t tap_end = tap_ + blocking_.chunk_taps[source_] < layout_.taps
                                   ? tap_ + blocking_.chunk_taps[source_]
                                   : layout_.taps;
  const int pack = layout_.shape.pack;
  const std::int64_t channels = layout_.channels[source_] - step_ * pack;
  const std::int64_t steps_left = step_end - step_;
  const std::int64_t whole = channels / pack < steps_left ? channels / pack : steps_left;
  source = source_;
  first_tap = tap_;
  chunk.weights = panel_weights_ + layout_.step_offset(vectors_, source_, tap_, step_);
  chunk.weights_tap_stride = static_cast<std::size_t>(steps) * layout_.bytes_per_step(vectors_);
  chunk.pointer_tap_stride = padded_rows_;
  chunk.taps = tap_end - tap_;
  chunk.channel_offset = static_cast<std::size_t>(step_ * pack) * byte_size(layout_.type);
  chunk.steps = whole;
  chunk.tail = whole < steps_left ? static_cast<int>(channels - whole * pack) : 0;
  const bool source_starts = step_ == 0 && tap_ == 0;
  chunk.first = source_starts && (source_ == 0 || layout_.separate_sums());
  chunk.offsets = offsets_ == nullptr ? nullptr : offsets_ + layout_.weight_sum(panel_, source_);

  tap_ = tap_end;
  if (tap_ == layout_.taps) {
    tap_ = 0;
    step_ = step_end;
    if (step_ == steps) {
      step_ = 0;
      ++source_;
    }
  }
  last = source_ == 2 || layout_.steps[source_] == 0;
  return true;
}

std::int64_t ChunkWalk::bytes() const {
  const std::int64_t steps = chunk.steps + (chunk.tail != 0 ? 1 : 0);
  return chunk.taps * steps * static_cast<std::int64_t>(layout_.bytes_per_step(vectors_));
}

const std::byte* ChunkWalk::next_weights() const {
  return panel_weights_ + layout_.step_offset(vectors_, source_, tap_, step_);
}

}  // namespace bookend
