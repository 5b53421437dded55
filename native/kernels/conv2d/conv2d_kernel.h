// The convolution driver over a micro-kernel `Micro` (micro_kernel.h or tile_kernel.h) and the float
// verbs `F` of its epilogue: every ISA file instantiates it once per type.
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
  using TileFunction = void (*)(const Chunk&, const std::byte* const*, float*, std::byte*);

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
    const Call call{problem, operands, layout, plan, context.scratch,
                    select_finish<F>(problem)};
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

  static void run_task(const Call& call, std::int64_t task, int worker) {
    const Blocking& plan = call.plan;
    const TaskPlace place = place_task(call.problem, plan, call.layout, task);
    const std::int64_t tiles = (place.rows + Micro::kRows - 1) / Micro::kRows;
    const std::int64_t padded_rows = tiles * Micro::kRows;
    std::byte* own = call.scratch + plan.zeros_bytes +
                     static_cast<std::size_t>(worker) * worker_bytes(plan);
    const std::byte** table = reinterpret_cast<const std::byte**>(own);
    fill_tables(call, place, padded_rows, table);
    float* sums = reinterpret_cast<float*>(own + plan.pointers_bytes);
    std::byte* micro_scratch = own + plan.pointers_bytes + plan.sums_bytes;

    const int vectors = call.layout.vectors_of(place.panel);
    const TileFunction tile_function_ = tile_function(vectors);
    const std::int64_t tile_sums = static_cast<std::int64_t>(Micro::kRows) * vectors * Micro::kWidth;
    ChunkWalk walk(plan, call.layout, static_cast<const std::byte*>(call.operands.weights),
                   place.panel, padded_rows);
    while (walk.next()) {
      const std::byte* const* rows =
          table + (walk.source * call.layout.taps + walk.first_tap) * padded_rows;
      for (std::int64_t tile = 0; tile < tiles; ++tile) {
        tile_function_(walk.chunk, rows + tile * Micro::kRows, sums + tile * tile_sums,
                       micro_scratch);
        if (walk.last) finish(call, place, vectors, tile, sums + tile * tile_sums);
      }
    }
  }

  static void fill_tables(const Call& call, const TaskPlace& place, std::int64_t padded_rows,
                          const std::byte** table) {
    const void* sources[2] = {call.operands.x, call.operands.skip};
    for (int source = 0; source < 2; ++source) {
      const std::int64_t channels = call.layout.channels[source];
      if (channels == 0) continue;
      fill_row_pointers(call.problem, static_cast<const std::byte*>(sources[source]),
                        static_cast<std::size_t>(channels) * sizeof(typename Micro::Element),
                        call.scratch, place.first_row, place.rows, padded_rows,
                        table + source * call.layout.taps * padded_rows);
    }
  }

  static void finish(const Call& call, const TaskPlace& place, int vectors, std::int64_t tile,
                     const float* sums) {
    const std::int64_t panel_columns = call.layout.panel_columns();
    const std::int64_t first_column = place.panel * panel_columns;
    const std::int64_t rest_columns = call.layout.columns - first_column;
    const std::int64_t rest_rows = place.rows - tile * Micro::kRows;
    const std::int64_t stride = static_cast<std::int64_t>(vectors) * Micro::kWidth;
    call.finish(call.problem, call.operands,
                {sums, stride, stride / 2, place.first_row + tile * Micro::kRows,
                 rest_rows < Micro::kRows ? rest_rows : Micro::kRows, first_column,
                 rest_columns < panel_columns ? rest_columns : panel_columns});
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
