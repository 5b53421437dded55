// The convolution driver over a micro-kernel `Micro` (micro_kernel.h or tile_kernel.h) and the
// float verbs `F` of its epilogue: every ISA file instantiates it once per type.
#pragma once

#include "kernels/conv2d/blocking.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/epilogue.h"
#include "kernels/conv2d/micro_kernel.h"
#include "kernels/conv2d/packing.h"
#include "kernels/conv2d/row_pointers.h"

namespace bookend {
namespace {

template <class Micro, class F, DType type>
struct Conv2dDriver {
  using TileFunction = void (*)(const Chunk&, const std::byte* const*, float*, const Ahead&,
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
    const Blocking plan = plan_blocking(problem, layout_of(problem), Micro::kRows, threads);
    return plan.zeros_bytes + static_cast<std::size_t>(threads) * worker_bytes(plan);
  }

  static void run(const Conv2dProblem& problem, const Conv2dOperands& operands,
                  const RunContext& context) {
    const PanelLayout layout = layout_of(problem);
    const Blocking plan = plan_blocking(problem, layout, Micro::kRows, context.pool.size());
    std::memset(context.scratch, 0, plan.zeros_bytes);
    const Call call{problem,         operands,
                    layout,          plan,
                    context.scratch, select_finish<F>(problem),
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
    std::byte* scratch;
    FinishTile finish;
    int threads;
  };

  // One task, with the scratch of the worker that runs it.
  struct Task {
    TaskPlace place;
    int vectors;
    std::int64_t tiles, padded_rows;
    std::int64_t tile_sums;         // floats of one tile
    const std::byte** table;        // [source][tap][padded_rows]
    float* sums;                    // [tiles][tile_sums]
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
    std::byte* own = call.scratch + plan.zeros_bytes +
                     static_cast<std::size_t>(worker) * worker_bytes(plan);
    task.table = reinterpret_cast<const std::byte**>(own);
    task.sums = reinterpret_cast<float*>(own + plan.pointers_bytes);
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
                   task.place.panel, task.padded_rows);
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
      float* sums = task.sums + tile * task.tile_sums;
      if (walk.last) fetch_output(call, task, tile);
      run_tile(chunk, tile_rows, sums, ahead, task.micro_scratch);
      if (walk.last) finish(call, task, tile, sums);
    }
  }

  // Asks for what the epilogue will read and write, before the last chunk computes.
  static void fetch_output(const Call& call, const Task& task, std::int64_t tile) {
    const std::size_t size = byte_size(call.problem.output);
    const std::int64_t columns = call.layout.columns;
    const std::int64_t panel_columns = call.layout.panel_columns();
    const std::size_t bytes = static_cast<std::size_t>(panel_columns) * size;
    const std::int64_t end = task.place.rows;
    for (std::int64_t r = tile * Micro::kRows; r < (tile + 1) * Micro::kRows && r < end; ++r) {
      const std::size_t at = size * static_cast<std::size_t>((task.place.first_row + r) * columns +
                                                             task.place.panel * panel_columns);
      const std::byte* out = static_cast<const std::byte*>(call.operands.out) + at;
      for (std::size_t byte = 0; byte < bytes; byte += kLineBytes) {
        __builtin_prefetch(out + byte, 1, 3);
      }
      if (!call.problem.has_residual) continue;
      const std::byte* residual = static_cast<const std::byte*>(call.operands.residual) + at;
      for (std::size_t byte = 0; byte < bytes; byte += kLineBytes) {
        __builtin_prefetch(residual + byte, 0, 3);
      }
    }
  }

  static void fill_tables(const Call& call, const Task& task) {
    const void* sources[2] = {call.operands.x, call.operands.skip};
    for (int source = 0; source < 2; ++source) {
      const std::int64_t channels = call.layout.channels[source];
      if (channels == 0) continue;
      fill_row_pointers(call.problem, static_cast<const std::byte*>(sources[source]),
                        static_cast<std::size_t>(channels) * sizeof(typename Micro::Element),
                        call.scratch, task.place.first_row, task.place.rows, task.padded_rows,
                        task.table + source * call.layout.taps * task.padded_rows);
    }
  }

  static void finish(const Call& call, const Task& task, std::int64_t tile, const float* sums) {
    const std::int64_t panel_columns = call.layout.panel_columns();
    const std::int64_t first_column = task.place.panel * panel_columns;
    const std::int64_t columns = call.layout.columns - first_column;
    const std::int64_t rows = task.place.rows - tile * Micro::kRows;
    const std::int64_t stride = static_cast<std::int64_t>(task.vectors) * Micro::kWidth;
    call.finish(call.problem, call.operands,
                {sums, stride, stride / 2, task.place.first_row + tile * Micro::kRows,
                 rows < Micro::kRows ? rows : Micro::kRows, first_column,
                 columns < panel_columns ? columns : panel_columns});
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
