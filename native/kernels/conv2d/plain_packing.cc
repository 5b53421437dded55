#include "kernels/conv2d/plain_packing.h"

#include "base/transpose.h"

namespace bookend {
namespace {

// Taps times steps of a task: small enough that a deep matrix of few columns still is work for many
// threads.
constexpr std::int64_t kStepsPerTask = 256;
// Elements that are transposed at a time.
constexpr std::int64_t kTile = 8192;

// Some steps of every tap in one panel.
struct Piece {
  std::int64_t panel, first_step, last_step;
  int source;
};

std::int64_t steps_per_piece(const PanelLayout& layout) {
  return layout.taps < kStepsPerTask ? kStepsPerTask / layout.taps : 1;
}

std::int64_t blocks_of(const PanelLayout& layout, int source) {
  const std::int64_t steps = steps_per_piece(layout);
  return (layout.steps[source] + steps - 1) / steps;
}

std::int64_t pieces_per_panel(const PanelLayout& layout) {
  return blocks_of(layout, 0) + blocks_of(layout, 1);
}

Piece piece_at(const PanelLayout& layout, std::int64_t task) {
  Piece piece;
  piece.panel = task / pieces_per_panel(layout);
  std::int64_t block = task % pieces_per_panel(layout);
  piece.source = block < blocks_of(layout, 0) ? 0 : 1;
  if (piece.source == 1) block -= blocks_of(layout, 0);
  piece.first_step = block * steps_per_piece(layout);
  piece.last_step = piece.first_step + steps_per_piece(layout);
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
void pack_pair(const std::uint16_t* even, const std::uint16_t* odd, std::int64_t count,
               std::int64_t lanes, std::uint16_t* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    out[2 * i] = even[i];
    out[2 * i + 1] = odd[i];
  }
  for (std::int64_t i = 2 * count; i < 2 * lanes; ++i) out[i] = 0;
}

// Columns of one panel, or of one half of a paired panel, as elements of weights.
template <class T>
struct Columns {
  const T* first;  // of the source's channel 0, tap 0
  std::int64_t count, lanes;
};

// Where channel c and tap t of successive columns lie: c * channel + t * tap further on, `stride`
// elements from one column to the next.
template <class T>
struct Rows {
  const T* first;
  std::int64_t channel, tap, stride;
};

// Packs `steps` steps from `first_step` on, of one tap, to `out`, `out_step` elements apart.
template <class T>
void pack_steps(const Columns<T>& columns, const Rows<T>& rows, std::int64_t tap,
                std::int64_t steps, std::int64_t channels, T* out, std::int64_t out_step) {
  constexpr int pack = 4 / sizeof(T);
  for (std::int64_t step = 0; step < steps; ++step, out += out_step) {
    const T* first = rows.first + tap * rows.tap + step * pack * rows.channel;
    if constexpr (pack == 2) {
      if (rows.stride == 1 && step * 2 + 1 < channels) {
        pack_pair(first, first + rows.channel, columns.count, columns.lanes, out);
        continue;
      }
    }
    for (std::int64_t p = 0; p < pack; ++p) {
      const bool pads = step * pack + p >= channels;
      const T* row = pads ? rows.first : first + p * rows.channel;
      pack_row<pack>(row, rows.stride, pads ? 0 : columns.count, columns.lanes, out + p);
    }
  }
}

// Whether the taps of a channel are neighbours, in order or in reverse.
bool has_whole_taps(const Conv2dProblem& problem, std::int64_t direction) {
  const WeightView& view = problem.view;
  return (problem.kernel_width == 1 || view.column == direction) &&
         (problem.kernel_height == 1 || view.row == direction * problem.kernel_width);
}

// Transposes `channels` channels from `columns.first` on into tile [channel][tap][lanes].
template <class T>
void fill_tile(const Conv2dProblem& problem, const Columns<T>& columns, std::int64_t taps,
               std::int64_t channels, T* tile) {
  const WeightView& view = problem.view;
  if (view.channel == taps) {
    return transpose(columns.first, view.output, columns.count, channels * taps, tile,
                     columns.lanes);
  }
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    transpose(columns.first + channel * view.channel, view.output, columns.count, taps,
              tile + channel * taps * columns.lanes, columns.lanes);
  }
}

// One half of a piece. What does not lie with its columns beside each other is transposed first,
// a tile of all taps at a time, since those share cache lines.
template <class T>
void pack_half(const Conv2dProblem& problem, const PanelLayout& layout, const Piece& piece,
               const Columns<T>& columns, std::byte* panel, std::int64_t out_step) {
  constexpr int pack = 4 / sizeof(T);
  const WeightView& view = problem.view;
  const std::int64_t taps = layout.taps, channels = layout.channels[piece.source];
  const std::int64_t steps = piece.last_step - piece.first_step;
  const std::int64_t left = channels - piece.first_step * pack;
  const int vectors = layout.vectors_of(piece.panel);
  const auto out = [&](std::int64_t tap, std::int64_t step) {
    return reinterpret_cast<T*>(panel + layout.step_offset(vectors, piece.source, tap, step));
  };
  const bool forward = has_whole_taps(problem, 1), backward = has_whole_taps(problem, -1);
  const std::int64_t fitting = kTile / (taps * columns.lanes) / pack;
  const T* first = columns.first + piece.first_step * pack * view.channel;
  if (view.output == 1 || !(forward || backward) || fitting == 0) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const T* at = first + tap / problem.kernel_width * view.row +
                    tap % problem.kernel_width * view.column;
      pack_steps(columns, Rows<T>{at, view.channel, 0, view.output}, tap, steps, left,
                 out(tap, piece.first_step), out_step);
    }
    return;
  }
  T tile[kTile];
  // Tap 0 lies last where they are reversed.
  const std::int64_t before = forward ? 0 : taps - 1;
  const Rows<T> rows{tile + before * columns.lanes, taps * columns.lanes,
                     forward ? columns.lanes : -columns.lanes, 1};
  for (std::int64_t step = 0; step < steps; step += fitting) {
    const std::int64_t count = steps - step < fitting ? steps - step : fitting;
    const std::int64_t remaining = left - step * pack;
    const std::int64_t wanted = remaining < count * pack ? remaining : count * pack;
    const T* source = first + step * pack * view.channel - before;
    fill_tile(problem, Columns<T>{source, columns.count, columns.lanes}, taps, wanted, tile);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      pack_steps(columns, rows, tap, count, remaining, out(tap, piece.first_step + step),
                 out_step);
    }
  }
}

template <class T>
void pack_piece(const Conv2dProblem& problem, const PanelLayout& layout, const Piece& piece,
                const T* weights, std::byte* packed) {
  constexpr int pack = 4 / sizeof(T);
  const int halves = layout.paired ? 2 : 1;
  const std::int64_t lanes = layout.vectors_of(piece.panel) * layout.shape.width / halves;
  const std::int64_t column = piece.panel * layout.panel_columns();
  const std::int64_t left = layout.columns - column;
  const std::int64_t before = piece.source == 0 ? 0 : layout.channels[0];
  std::byte* panel = packed + layout.panel_offset(piece.panel);
  for (int half = 0; half < halves; ++half, panel += lanes * 4) {
    const T* first = weights + problem.view.offset + before * problem.view.channel +
                     (half * layout.columns + column) * problem.view.output;
    pack_half(problem, layout, piece, Columns<T>{first, left < lanes ? left : lanes, lanes}, panel,
              halves * lanes * pack);
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
      pack_piece(problem, layout, piece, static_cast<const std::uint16_t*>(weights), packed);
    } else {
      pack_piece(problem, layout, piece, static_cast<const std::uint32_t*>(weights), packed);
    }
  });
}

}  // namespace bookend
