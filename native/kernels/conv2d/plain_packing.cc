#include "kernels/conv2d/plain_packing.h"

namespace bookend {
namespace {

// Small enough that a deep matrix of few columns still is work for many threads.
constexpr std::int64_t kStepsPerTask = 128;

// Some steps of one tap in one panel.
struct Piece {
  std::int64_t panel, tap, first_step, last_step;
  int source;
};

std::int64_t blocks_of(const PanelLayout& layout, int source) {
  return (layout.steps[source] + kStepsPerTask - 1) / kStepsPerTask;
}

std::int64_t pieces_per_panel(const PanelLayout& layout) {
  return layout.taps * (blocks_of(layout, 0) + blocks_of(layout, 1));
}

Piece piece_at(const PanelLayout& layout, std::int64_t task) {
  Piece piece;
  piece.panel = task / pieces_per_panel(layout);
  std::int64_t rest = task % pieces_per_panel(layout);
  piece.source = rest < layout.taps * blocks_of(layout, 0) ? 0 : 1;
  if (piece.source == 1) rest -= layout.taps * blocks_of(layout, 0);
  const std::int64_t blocks = blocks_of(layout, piece.source);
  piece.tap = rest / blocks;
  piece.first_step = rest % blocks * kStepsPerTask;
  piece.last_step = piece.first_step + kStepsPerTask;
  if (piece.last_step > layout.steps[piece.source]) piece.last_step = layout.steps[piece.source];
  return piece;
}

// One channel of `count` columns out of `lanes`; the lanes beyond only pad.
template <int pack, class T>
void pack_row(const T* row, std::int64_t stride, std::int64_t count, std::int64_t lanes, T* out) {
  if (stride == 1) {
    for (std::int64_t i = 0; i < count; ++i) out[i * pack] = row[i];
  } else {
    for (std::int64_t i = 0; i < count; ++i) out[i * pack] = row[i * stride];
  }
  for (std::int64_t i = count; i < lanes; ++i) out[i * pack] = T{};
}

// Two whole channels of neighbouring columns at once, which compilers turn into interleaving of vectors.
void pack_pair(const Bf16* even, const Bf16* odd, std::int64_t count, std::int64_t lanes,
               Bf16* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[2 * i] = even[i];
    out[2 * i + 1] = odd[i];
  }
  for (std::int64_t i = 2 * count; i < 2 * lanes; ++i) out[i] = Bf16{};
}

template <class T>
void pack_piece(const Conv2dProblem& problem, const PanelLayout& layout, const Piece& piece,
                const T* weights, std::byte* packed) {
  constexpr int pack = 4 / sizeof(T);
  const WeightView& view = problem.view;
  const int vectors = layout.vectors_of(piece.panel);
  const int halves = layout.paired ? 2 : 1;
  const std::int64_t lanes = vectors * layout.shape.width / halves;
  const std::int64_t column = piece.panel * layout.panel_columns();
  const std::int64_t left = layout.columns - column;
  const std::int64_t count = left < lanes ? left : lanes;
  const std::int64_t channels = layout.channels[piece.source];
  const std::int64_t before = piece.source == 0 ? 0 : layout.channels[0];
  const T* tap = weights + view.offset + piece.tap / problem.kernel_width * view.row +
                 piece.tap % problem.kernel_width * view.column;
  T* out = reinterpret_cast<T*>(
      packed + layout.panel_offset(piece.panel) +
      layout.step_offset(vectors, piece.source, piece.tap, piece.first_step));
  for (std::int64_t step = piece.first_step; step < piece.last_step; ++step) {
    for (int half = 0; half < halves; ++half, out += lanes * pack) {
      const T* first = tap + (half * layout.columns + column) * view.output;
      if constexpr (pack == 2) {
        if (view.output == 1 && step * 2 + 1 < channels) {
          const T* even = first + (before + step * 2) * view.channel;
          pack_pair(even, even + view.channel, count, lanes, out);
          continue;
        }
      }
      for (std::int64_t p = 0; p < pack; ++p) {
        const std::int64_t channel = step * pack + p;
        const bool pads = channel >= channels;
        const T* row = pads ? first : first + (before + channel) * view.channel;
        pack_row<pack>(row, view.output, pads ? 0 : count, lanes, out + p);
      }
    }
  }
}

}  // namespace

std::size_t plain_packing_bytes(const Conv2dProblem& problem, const PanelLayout& layout) {
  if (problem.weight_form == WeightForm::packed) return 0;
  return (layout.bytes() + 63) / 64 * 64;
}

void pack_plain(const Conv2dProblem& problem, const PanelLayout& layout, const void* weights,
                std::byte* packed, ThreadPool& pool) {
  pool.for_each(layout.panels * pieces_per_panel(layout), [&](std::int64_t task, int) {
    const Piece piece = piece_at(layout, task);
    if (layout.type == DType::bf16) {
      pack_piece(problem, layout, piece, static_cast<const Bf16*>(weights), packed);
    } else {
      pack_piece(problem, layout, piece, static_cast<const float*>(weights), packed);
    }
  });
}

}  // namespace bookend
