// How one convolution is cut into tasks, and the depth of a task into chunks.
#pragma once

#include "kernels/conv2d/micro_kernel.h"
#include "kernels/conv2d/panel_layout.h"

namespace bookend {

// Weights of a chunk, at most. Measured on Zen 5 (1 MiB of second-level cache a core): 128 to
// 256 KiB of weights and 96 to 200 rows lie within 2% of each other; chunks for the first-level
// cache (24 KiB) lose 2-4% to loading and storing the sums.
constexpr std::int64_t kChunkBytes = 256 << 10;

// A task is a block of output rows by one panel of columns. Depth goes by in chunks, of which each
// keeps its weights in the second-level cache while all tiles of the block pass; so do the block's
// partial sums (row_block x panel floats) from chunk to chunk.
struct Blocking {
  std::int64_t row_block;        // rows of a task, a multiple of the micro-kernel's rows
  std::int64_t row_blocks;
  std::int64_t tasks;
  bool rows_fastest;             // consecutive tasks share a panel, else a row block
  std::int64_t chunk_steps[2];   // channel steps of a chunk, of x and skip
  std::int64_t chunk_taps[2];    // taps of a chunk: more than 1 where channels are few
  std::size_t pointers_bytes;    // per worker
  bool one_chunk;                // of the whole depth: then tiles share the memory of one's sums
  std::int64_t sums_per_source;  // of a worker
  std::size_t sums_bytes;        // per worker
};

// Depends on `threads` only in how rows are cut, never in the order of summation.
Blocking plan_blocking(const Conv2dProblem& problem, const PanelLayout& layout, int tile_rows,
                       int threads);

// The row block and panel of a task.
struct TaskPlace {
  std::int64_t first_row, rows, panel;
};
TaskPlace place_task(const Conv2dProblem& problem, const Blocking& blocking,
                     const PanelLayout& layout, std::int64_t task);

// Walks the chunks of a panel: for (ChunkWalk walk(...); walk.next();) use walk.chunk. Channels are
// the outer loop and taps the inner one, so that neighbouring taps find their pixels in cache.
class ChunkWalk {
 public:
  ChunkWalk(const Blocking& blocking, const PanelLayout& layout, const std::byte* weights,
            const std::int32_t* offsets, std::int64_t panel, std::int64_t padded_rows);
  bool next();
  std::int64_t bytes() const;  // of the weights of `chunk`
  // Where the weights of the chunk after `chunk` begin, unless that is the last.
  const std::byte* next_weights() const;

  Chunk chunk;
  int source = 0;                  // 0: x, 1: skip
  std::int64_t first_tap = 0;
  bool last = false;

 private:
  const Blocking& blocking_;
  const PanelLayout& layout_;
  const std::byte* panel_weights_;
  const std::int32_t* offsets_;  // as PanelLayout orders sums of weights
  std::int64_t panel_;
  int vectors_;
  std::int64_t padded_rows_;
  std::int64_t step_ = 0, tap_ = 0;
  int source_ = 0;
};

}  // namespace bookend
