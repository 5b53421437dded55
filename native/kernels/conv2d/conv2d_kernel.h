// The convolution driver over a micro-kernel `Micro` (micro_kernel.h or tile_kernel.h) and the
// float verbs `F` of its epilogue: every ISA file instantiates it once per type.
#pragma once

#include "kernels/conv2d/blocking.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/epilogue.h"
#include "kernels/conv2d/micro_kernel.h"
#include "kernels/conv2d/packing.h"
#include "kernels/conv2d/plain_packing.h"
#include "kernels/conv2d/row_pointers.h"
#include "kernels/conv2d/run_data.h"

namespace bookend {
namespace {

template <class Micro, class F, DType type>
struct Conv2dDriver {
  using Sum = SumOf<type>;
  using TileFunction = void (*)(const Chunk&, const std::byte* const*, Sum*, const Ahead&,
                                std::byte*);

  static PanelLayout layout_of(const Conv2dProblem& problem) {
    return PanelLayout(Micro::kPanelShape, problem);
  }

  static const char* refuse(const Conv2dProblem& problem) {
    if (problem.input != type) return "the input type is another kernel's";
    return refuse_conv2d(problem);
  }

  static std::size_t packed_bytes(const Conv2dProblem& problem) {
    return layout_of(problem).bytes();
  }

  static void pack(const Conv2dProblem& problem, const void* weights, DType source, void* packed) {
    pack_panels(layout_of(problem), weights, source, packed);
  }

  static std::size_t scratch_bytes(const Conv2dProblem& problem, int threads) {
    const PanelLayout layout = layout_of(problem);
    const Blocking plan = plan_blocking(problem, layout, Micro::kRows, threads);
    return plain_packing_bytes(problem, layout) + run_data_bytes(problem, layout) +
           static_cast<std::size_t>(threads) * worker_bytes(plan);
  }

  static void run(const Conv2dProblem& problem, const Conv2dOperands& given,
                  const RunContext& context) {
    const PanelLayout layout = layout_of(problem);
    Conv2dOperands operands = given;
    if (problem.weight_form == WeightForm::plain) {
      pack_plain(problem, layout, given.weights, context.scratch, context.pool);
      operands.weights = context.scratch;
    }
    std::byte* scratch = context.scratch + plain_packing_bytes(problem, layout);
    const Blocking plan = plan_blocking(problem, layout, Micro::kRows, context.pool.size());
    const Call call{problem,
                    operands,
                    layout,
                    plan,
                    make_run_data(problem, layout, operands, scratch),
                    scratch + run_data_bytes(problem, layout),
                    select_finish<F, Sum>(problem),
                    context.pool.size()};
    context.pool.for_each(plan.tasks, [&call](std::int64_t task, int worker) {
      run_task(call, task, worker);
    });
  }

 private:
  struct Call {
    const Conv2dProblem& problem;
    const Conv2dOperands& operands;
    const PanelLayout& layout;
    const Blocking& plan;
    const RunData data;
    std::byte* workers;  // scratch of each
    FinishTile<Sum> finish;
    int threads;
  };

  // One task, with the scratch of the worker that runs it.
  struct Task {
    TaskPlace place;
    int vectors;
    std::int64_t tiles, padded_rows;
    std::int64_t tile_sums;         // of one tile
    const std::byte** table;        // [source][tap][padded_rows]
    Sum* sums;                      // [source, if they are apart][tiles][tile_sums]
    std::byte* micro_scratch;
    const std::byte* next_weights;  // where the next task's weights likely begin
  };

  static std::size_t worker_bytes(const Blocking& plan) {
    return plan.pointers_bytes + plan.sums_bytes + Micro::kScratchBytes;
  }

  static TileFunction tile_function(int vectors) {
    if constexpr (Micro::kVectors > 2) {
      if (vectors == 4) return Micro::template run<4>;
      if (vectors == 3) return Micro::template run<3>;
    }
    return vectors == 2 ? Micro::template run<2> : Micro::template run<1>;
  }

  static Task make_task(const Call& call, std::int64_t index, int worker) {
    const Blocking& plan = call.plan;
    Task task;
    task.place = place_task(call.problem, plan, call.layout, index);
    task.vectors = call.layout.vectors_of(task.place.panel);
    task.tiles = (task.place.rows + Micro::kRows - 1) / Micro::kRows;
    task.padded_rows = task.tiles * Micro::kRows;
    task.tile_sums = static_cast<std::int64_t>(Micro::kRows) * task.vectors * Micro::kWidth;
    std::byte* own = call.workers + static_cast<std::size_t>(worker) * worker_bytes(plan);
    task.table = reinterpret_cast<const std::byte**>(own);
    task.sums = reinterpret_cast<Sum*>(own + plan.pointers_bytes);
    task.micro_scratch = own + plan.pointers_bytes + plan.sums_bytes;
    // Workers claim tasks in ascending order.
    const std::int64_t next = index + call.threads < plan.tasks ? index + call.threads : index;
    const TaskPlace next_place = place_task(call.problem, plan, call.layout, next);
    task.next_weights = static_cast<const std::byte*>(call.operands.weights) +
                        call.layout.panel_offset(next_place.panel);
    return task;
  }

  static void run_task(const Call& call, std::int64_t index, int worker) {
    const Task task = make_task(call, index, worker);
    fill_tables(call, task);
    ChunkWalk walk(call.plan, call.layout, static_cast<const std::byte*>(call.operands.weights),
                   call.data.offsets, task.place.panel, task.padded_rows);
    while (walk.next()) run_chunk(call, task, walk);
  }

  static void run_chunk(const Call& call, const Task& task, const ChunkWalk& walk) {
    const TileFunction run_tile = tile_function(task.vectors);
    const Chunk& chunk = walk.chunk;
    const std::byte* const* rows =
        task.table + (walk.source * call.layout.taps + walk.first_tap) * task.padded_rows;
    const std::byte* next_weights = walk.last ? task.next_weights : walk.next_weights();
    // Every tile fetches an equal share of the next weights, spread over its groups of steps.
    const std::int64_t groups = chunk.taps * ((chunk.steps + kLineSteps - 1) / kLineSteps);
    const std::int64_t chunk_lines = walk.bytes() / kLineBytes;
    const std::int64_t shares = groups * task.tiles;
    const std::int64_t lines = shares == 0 ? 0 : (chunk_lines + shares - 1) / shares;
    for (std::int64_t tile = 0; tile < task.tiles; ++tile) {
      const std::byte* const* tile_rows = rows + tile * Micro::kRows;
      const Ahead ahead{tile + 1 < task.tiles ? tile_rows + Micro::kRows : rows,
                        next_weights + tile * groups * lines * kLineBytes,
                        static_cast<int>(lines)};
      if (walk.last) fetch_output(call, task, tile);
      run_tile(chunk, tile_rows, sums_of(call, task, walk.source, tile), ahead,
               task.micro_scratch);
      if (walk.last) finish(call, task, tile);
    }
  }

  // Asks for what the epilogue will read and write, before the last chunk computes.
  static void fetch_output(const Call& call, const Task& task, std::int64_t tile) {
    const std::int64_t panel_columns = call.layout.panel_columns();
    const std::int64_t end = task.place.rows;
    for (std::int64_t r = tile * Micro::kRows; r < (tile + 1) * Micro::kRows && r < end; ++r) {
      const auto at = static_cast<std::size_t>((task.place.first_row + r) * call.layout.columns +
                                               task.place.panel * panel_columns);
      const auto columns = static_cast<std::size_t>(panel_columns);
      const std::size_t size = byte_size(call.problem.output);
      if (call.problem.store != Store::quantized) {
        fetch<1>(static_cast<const std::byte*>(call.operands.out) + at * size, columns * size);
      }
      if (call.problem.store != Store::floating) fetch<1>(call.operands.quantized + at, columns);
      if (call.problem.has_residual) {
        fetch<0>(static_cast<const std::byte*>(call.operands.residual) + at * size,
                 columns * size);
      }
    }
  }

  template <int write, class T>
  static void fetch(const T* from, std::size_t bytes) {
    const auto* begin = reinterpret_cast<const std::byte*>(from);
    for (std::size_t byte = 0; byte < bytes; byte += kLineBytes) {
      __builtin_prefetch(begin + byte, write, 3);
    }
  }

  static void fill_tables(const Call& call, const Task& task) {
    const void* sources[2] = {call.operands.x, call.operands.skip};
    for (int source = 0; source < 2; ++source) {
      const std::int64_t channels = call.layout.channels[source];
      if (channels == 0) continue;
      fill_row_pointers(call.problem, static_cast<const std::byte*>(sources[source]),
                        strides_of(call.problem, source, channels), call.data.padding[source], task.place.first_row, task.place.rows, task.padded_rows,
                        task.table + source * call.layout.taps * task.padded_rows);
    }
  }

  // In bytes.
  static SourceStrides strides_of(const Conv2dProblem& problem, int source, std::int64_t channels) {
    const bool given = source == 0 && problem.x_strides.pixel != 0;
    const SourceStrides s = given ? problem.x_strides : problem.dense_strides(channels);
    constexpr auto size = static_cast<std::int64_t>(byte_size(type));
    return {s.image * size, s.line * size, s.pixel * size};
  }

  static Sum* sums_of(const Call& call, const Task& task, int source, std::int64_t tile) {
    const bool apart = source == 1 && call.layout.separate_sums();
    return task.sums + (apart ? call.plan.sums_per_source : 0) +
           (call.plan.one_chunk ? 0 : tile * task.tile_sums);
  }

  static void finish(const Call& call, const Task& task, std::int64_t tile) {
    const std::int64_t panel_columns = call.layout.panel_columns();
    const std::int64_t first_column = task.place.panel * panel_columns;
    const std::int64_t columns = call.layout.columns - first_column;
    const std::int64_t rows = task.place.rows - tile * Micro::kRows;
    const std::int64_t stride = static_cast<std::int64_t>(task.vectors) * Micro::kWidth;
    call.finish(call.problem, call.operands,
                {sums_of(call, task, 0, tile),
                 call.layout.separate_sums() ? sums_of(call, task, 1, tile) : nullptr, stride,
                 stride / 2, task.place.first_row + tile * Micro::kRows,
                 rows < Micro::kRows ? rows : Micro::kRows, first_column,
                 columns < panel_columns ? columns : panel_columns,
                 {call.data.multipliers[0], call.data.multipliers[1]}});
  }
};

template <class Micro, class F, DType type>
constexpr Conv2dKernel make_conv2d_kernel(const char* name, Isa isa) {
  using Driver = Conv2dDriver<Micro, F, type>;
  return {{name, isa, Driver::refuse, Driver::scratch_bytes, Driver::run},
          Driver::packed_bytes,
          Driver::pack};
}

}  // namespace
}  // namespace bookend
