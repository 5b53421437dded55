// How group norm is cut into tasks, and where its scratch memory lies.
#pragma once

#include "kernels/group_norm/group_norm.h"

namespace bookend {
namespace {

// What one task measures or normalises: channels [first, end) of the chunks [chunk, end_chunk).
struct GroupNormPiece {
  std::int64_t image, chunk, end_chunk, first, end;
};

// How an image is cut and where its scratch lies: [chunks][shift, rest, squares][channels], where
// shift + rest is the mean of the chunk, unrounded; then the three vectors of the last phase,
// [mean, scale, offset][channels].
struct GroupNormPlan {
  static constexpr std::int64_t kMaxChunks = 16, kMinRows = 8;
  static constexpr std::int64_t kChannelsPerTask = 16;  // a vector of floats, where it is longest
  std::int64_t channels, rows, rows_per_chunk, chunks;
  std::int64_t pieces;  // of an image
  std::int64_t piece_channels;  // of a piece, which then has all chunks; 0: one chunk of all

  explicit GroupNormPlan(const GroupNormProblem& problem)
      : channels(problem.channels + problem.skip_channels), rows(problem.rows) {
    rows_per_chunk = (rows + kMaxChunks - 1) / kMaxChunks;
    rows_per_chunk = (rows_per_chunk + kMinRows - 1) / kMinRows * kMinRows;
    chunks = (rows + rows_per_chunk - 1) / rows_per_chunk;
    const bool by_group = problem.split == GroupNormSplit::groups;
    const bool by_rows = problem.split == GroupNormSplit::rows;
    piece_channels = by_rows ? 0 : by_group ? channels / problem.groups : kChannelsPerTask;
    pieces = by_rows ? chunks : (channels + piece_channels - 1) / piece_channels;
  }
  GroupNormPiece piece(std::int64_t task) const {
    const std::int64_t image = task / pieces, index = task % pieces;
    if (piece_channels == 0) return {image, index, index + 1, 0, channels};
    const std::int64_t first = index * piece_channels, left = channels - first;
    return {image, 0, chunks, first, first + (left < piece_channels ? left : piece_channels)};
  }
  std::int64_t begin(std::int64_t chunk) const { return chunk * rows_per_chunk; }
  std::int64_t size(std::int64_t chunk) const {
    const std::int64_t left = rows - begin(chunk);
    return left < rows_per_chunk ? left : rows_per_chunk;
  }
  std::int64_t floats_per_image() const { return (3 * chunks + 3) * channels; }
  float* image(float* scratch, std::int64_t index) const {
    return scratch + index * floats_per_image();
  }
  float* shift(float* image, std::int64_t chunk) const { return image + 3 * chunk * channels; }
  float* rest(float* image, std::int64_t chunk) const { return shift(image, chunk) + channels; }
  float* squares(float* image, std::int64_t chunk) const { return rest(image, chunk) + channels; }
  float* result(float* image, int which) const { return shift(image, chunks) + which * channels; }
};

}  // namespace
}  // namespace bookend
