// The inner loop of every register kernel: kRows pixels by up to kVectors vectors of columns, all
// accumulators in registers, one broadcast activation per row and step. On AVX-512 that is 6 x 64:
// 24 accumulators, 4 weight vectors and a broadcast leave 3 registers free.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/conv2d/panel_layout.h"

namespace bookend {

// A piece of depth that all tiles of a row block go through before the next piece.
struct Chunk {
  const std::byte* weights;
  std::size_t weights_tap_stride;  // bytes from one tap's steps to the next tap's
  std::int64_t pointer_tap_stride;  // entries of the pointer table from one tap to the next
  std::int64_t taps;
  std::size_t channel_offset;       // bytes into every pixel
  std::int64_t steps;               // whole steps of each tap
  int tail;                         // channels, fewer than kPack, that follow the whole steps
  bool first;                       // sums start at zero, or integer ones at `offsets`
  const std::int32_t* offsets;      // of every column of the panel
};

// What a tile asks the caches for while it computes. The hardware follows neither six strided rows
// nor a jump to other weights, and waiting for them costs 10-25% where depth is short or a row
// block small.
struct Ahead {
  const std::byte* const* rows;  // of the next tile of the same chunk
  const std::byte* weights;      // this tile's share of the weights that come next
  int lines;                     // cache lines of that share to fetch per kLineSteps steps
};

// Every step reads 4 bytes of a row (kPack elements), so this many steps use up a cache line.
constexpr std::int64_t kLineBytes = 64, kLineSteps = 16;

template <class Verbs>
struct RegisterMicroKernel {
  static constexpr int kRows = Verbs::kRows;
  static constexpr int kVectors = Verbs::kVectors;
  static constexpr int kWidth = Verbs::kWidth;
  static constexpr PanelShape kPanelShape{Verbs::kWidth, Verbs::kVectors, Verbs::kPack, 1};
  static constexpr std::size_t kScratchBytes = 0;
  using Element = typename Verbs::Element;
  using Sum = typename Verbs::Sum;
  using Vector = typename Verbs::Vector;
  static_assert(sizeof(Element) * Verbs::kPack * kLineSteps == kLineBytes);

  // Adds one chunk to the tile `sums` [kRows][vectors * kWidth].
  template <int vectors>
  static void run(const Chunk& chunk, const std::byte* const* rows, Sum* sums, const Ahead& ahead,
                  std::byte*) {
    Vector sum[kRows][vectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        sum[r][v] = chunk.first ? Verbs::start(chunk.offsets + v * kWidth)
                                : Verbs::load(sums + (r * vectors + v) * kWidth);
      }
    }
    const std::byte* tap_weights = chunk.weights;
    const std::byte* fetch_weights = ahead.weights;
    const std::ptrdiff_t to_next_rows = ahead.rows - rows;
    for (std::int64_t tap = 0; tap < chunk.taps; ++tap) {
      const Element* weights = reinterpret_cast<const Element*>(tap_weights);
      const Element* row[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        row[r] = reinterpret_cast<const Element*>(rows[r] + chunk.channel_offset);
      }
      for (std::int64_t done = 0; done < chunk.steps; done += kLineSteps) {
        const std::size_t fetch_offset =
            chunk.channel_offset + static_cast<std::size_t>(done / kLineSteps * kLineBytes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          __builtin_prefetch(rows[to_next_rows + r] + fetch_offset, 0, 3);
        }
        for (int line = 0; line < ahead.lines; ++line, fetch_weights += kLineBytes) {
          __builtin_prefetch(fetch_weights, 0, 2);
        }
        const std::int64_t end = done + kLineSteps < chunk.steps ? done + kLineSteps : chunk.steps;
        for (std::int64_t step = done; step < end; ++step) {
          multiply<vectors, false>(weights, row, step * Verbs::kPack, 0, sum);
          weights += vectors * kWidth * Verbs::kPack;
        }
      }
      if (Verbs::kPack > 1 && chunk.tail != 0) {
        multiply<vectors, true>(weights, row, chunk.steps * Verbs::kPack, chunk.tail, sum);
      }
      tap_weights += chunk.weights_tap_stride;
      rows += chunk.pointer_tap_stride;
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        Verbs::store(sums + (r * vectors + v) * kWidth, sum[r][v]);
      }
    }
  }

 private:
  template <int vectors, bool tail>
  [[gnu::always_inline]] static inline void multiply(const Element* weights,
                                                     const Element* const (&row)[kRows],
                                                     std::int64_t channel, int tail_channels,
                                                     Vector (&sum)[kRows][vectors]) {
    multiply_half<vectors, tail, 0>(weights, row, channel, tail_channels, sum);
    if constexpr (Verbs::kHalves == 2) {
      multiply_half<vectors, tail, 1>(weights, row, channel, tail_channels, sum);
    }
  }

  template <int vectors, bool tail, int half>
  [[gnu::always_inline]] static inline void multiply_half(const Element* weights,
                                                          const Element* const (&row)[kRows],
                                                          std::int64_t channel, int tail_channels,
                                                          Vector (&sum)[kRows][vectors]) {
    decltype(Verbs::template weights<half>(weights)) w[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      w[v] = Verbs::template weights<half>(weights + v * kWidth * Verbs::kPack);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto a = tail ? Verbs::template broadcast_tail<half>(row[r] + channel, tail_channels)
                          : Verbs::template broadcast<half>(row[r] + channel);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[r][v] = Verbs::dot(sum[r][v], w[v], a);
    }
  }
};

}  // namespace bookend
