// The inner loop on AMX: 32 pixels by 2 vectors of columns at a time, as 2 x 2 tiles of sums fed by
// two tiles of pixels and two of weights. Tiles read rows at one fixed stride, which row pointers
// do not have, so the pixels of a chunk are gathered first, once for all columns of the panel.
#pragma once

#include "kernels/conv2d/blocking.h"
#include "kernels/conv2d/micro_kernel.h"

namespace bookend {

template <class Tiles, DType type>
struct TileMicroKernel {
  static_assert(type == DType::bf16 || type == DType::u8);
  static constexpr int kRows = 32, kVectors = 4, kWidth = 16;
  static constexpr int kPack = 4 / static_cast<int>(byte_size(type));
  static constexpr int kTileSteps = 16;  // groups of kPack depths that one tile product consumes
  static constexpr PanelShape kPanelShape{kWidth, kVectors, kPack, kTileSteps};
  // A line more than the depth, or rows 4 KiB apart would share a few sets of the cache.
  static constexpr std::size_t kMaxRowBytes =
      kChunkBytes / (kVectors * kWidth) + static_cast<std::size_t>(kLineBytes);
  static constexpr std::size_t kScratchBytes = kRows * kMaxRowBytes;
  using Sum = SumOf<type>;

  template <int vectors>
  static void run(const Chunk& chunk, const std::byte* const* rows, Sum* sums, const Ahead&,
                  std::byte* scratch) {
    const std::size_t tap_bytes = (whole_bytes(chunk) + kTileBytes - 1) / kTileBytes * kTileBytes;
    const std::size_t row_bytes =
        tap_bytes * static_cast<std::size_t>(chunk.taps) + static_cast<std::size_t>(kLineBytes);
    gather(chunk, rows, tap_bytes, row_bytes, scratch);
    Tiles tiles;
    tiles.begin();
    multiply<vectors, 0>(tiles, chunk, tap_bytes, row_bytes, scratch, sums);
    if constexpr (vectors > 2) {
      multiply<vectors, 2>(tiles, chunk, tap_bytes, row_bytes, scratch, sums);
    }
    tiles.end();
  }

 private:
  static constexpr std::size_t kTileBytes = 64;

  // Of one pixel, without the padding to whole tiles.
  static std::size_t whole_bytes(const Chunk& chunk) {
    return static_cast<std::size_t>(kPack * chunk.steps + chunk.tail) * byte_size(type);
  }

  static void gather(const Chunk& chunk, const std::byte* const* rows, std::size_t tap_bytes,
                     std::size_t row_bytes, std::byte* scratch) {
    const std::size_t bytes = whole_bytes(chunk);
    for (std::int64_t tap = 0; tap < chunk.taps; ++tap, rows += chunk.pointer_tap_stride) {
      for (std::size_t r = 0; r < kRows; ++r) {
        std::byte* to = scratch + r * row_bytes + static_cast<std::size_t>(tap) * tap_bytes;
        __builtin_memcpy(to, rows[r] + chunk.channel_offset, bytes);
        __builtin_memset(to + bytes, 0, tap_bytes - bytes);
      }
    }
  }

  // Vectors `v` and v + 1 (or `v` alone, if it is the last) of all 32 rows.
  template <int vectors, int v>
  static void multiply(Tiles& tiles, const Chunk& chunk, std::size_t tap_bytes,
                       std::size_t row_bytes, const std::byte* pixels, Sum* sums) {
    constexpr bool pair = v + 1 < vectors;
    constexpr std::size_t sums_stride = vectors * kWidth * sizeof(Sum);
    constexpr std::size_t step_bytes = vectors * kWidth * 4;
    constexpr int vector_bytes = kWidth * 4;
    Sum* upper = sums + v * kWidth;
    Sum* lower = upper + 16 * vectors * kWidth;
    if (chunk.first) {
      start<v, pair>(tiles, chunk.offsets);
    } else {
      tiles.template load<0>(upper, sums_stride);
      tiles.template load<1>(lower, sums_stride);
      if constexpr (pair) {
        tiles.template load<2>(upper + kWidth, sums_stride);
        tiles.template load<3>(lower + kWidth, sums_stride);
      }
    }
    for (std::int64_t tap = 0; tap < chunk.taps; ++tap) {
      const std::byte* weights = chunk.weights +
                                 static_cast<std::size_t>(tap) * chunk.weights_tap_stride +
                                 v * vector_bytes;
      const std::byte* row = pixels + static_cast<std::size_t>(tap) * tap_bytes;
      for (std::size_t at = 0; at < tap_bytes; at += kTileBytes) {
        tiles.template load<4>(row + at, row_bytes);
        tiles.template load<5>(row + at + 16 * row_bytes, row_bytes);
        tiles.template load<6>(weights, step_bytes);
        dot<0, 4, 6>(tiles);
        dot<1, 5, 6>(tiles);
        if constexpr (pair) {
          tiles.template load<7>(weights + vector_bytes, step_bytes);
          dot<2, 4, 7>(tiles);
          dot<3, 5, 7>(tiles);
        }
        weights += kTileSteps * step_bytes;
      }
    }
    tiles.template store<0>(upper, sums_stride);
    tiles.template store<1>(lower, sums_stride);
    if constexpr (pair) {
      tiles.template store<2>(upper + kWidth, sums_stride);
      tiles.template store<3>(lower + kWidth, sums_stride);
    }
  }

  // The same offsets for each of a tile's 16 rows: a stride of 0 reads them again and again.
  template <int v, bool pair>
  static void start(Tiles& tiles, const std::int32_t* offsets) {
    if constexpr (type == DType::u8) {
      tiles.template load<0>(offsets + v * kWidth, 0);
      tiles.template load<1>(offsets + v * kWidth, 0);
      if constexpr (pair) {
        tiles.template load<2>(offsets + (v + 1) * kWidth, 0);
        tiles.template load<3>(offsets + (v + 1) * kWidth, 0);
      }
    } else {
      tiles.template zero<0>();
      tiles.template zero<1>();
      tiles.template zero<2>();
      tiles.template zero<3>();
    }
  }

  template <int sums, int a, int b>
  static void dot(Tiles& tiles) {
    if constexpr (type == DType::u8) {
      tiles.template dot_u8s8<sums, a, b>();
    } else {
      tiles.template dot_bf16<sums, a, b>();
    }
  }
};

}  // namespace bookend
