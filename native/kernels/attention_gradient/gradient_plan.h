// How attention's gradient divides its work and its scratch memory, by the problem alone.
#pragma once

#include "kernels/attention_gradient/attention_gradient.h"

namespace bookend {
namespace {

// Sizes in floats are multiples of 16, to keep 64-byte lines apart. `group`: elements in a unit.
template <int width, int group, int kRows, int kLanes>
struct GradientPlan {
  // Queries of a block: P and dS of a block and a tile of keys lie in L1, or just beyond.
  static constexpr std::int64_t kBlock = 96;
  static_assert(kBlock % kRows == 0);
  // A task is a chunk of queries, of one head or of as many as a core's L2 cache holds, whose
  // queries lie side by side. Each chunk of a head has sums dK and dV of its own, which are added up
  // afterwards in order: enough tasks for many threads, but no more than this many such sums.
  static constexpr std::int64_t kTasks = 32;
  static constexpr std::int64_t kMostSums = std::int64_t{1} << 24;
  static constexpr std::int64_t kCachedFloats = 128 * 1024;

  std::int64_t heads, depth, dim_rows, dim_lanes, tiles;
  std::int64_t groups, group_heads, blocks, chunks, chunk_blocks;
  std::int64_t operand_floats, row_floats, head_floats, sum_floats;
  std::int64_t query_floats, query_row_floats, weight_floats, tile_floats, score_row_floats,
      query_sum_floats, packed_row_floats, worker_floats;

  explicit GradientPlan(const AttentionGradientProblem& problem) {
    heads = problem.batch * problem.heads;
    depth = divide_up(problem.head_dim, group);
    dim_rows = divide_up(problem.head_dim, kRows) * kRows;
    dim_lanes = divide_up(problem.head_dim, width) * width;
    tiles = divide_up(problem.keys, kLanes);
    operand_floats = whole_lines(tiles * depth * kLanes);
    row_floats = whole_lines(tiles * (kLanes / group) * dim_lanes);
    head_floats = 2 * operand_floats + row_floats;
    sum_floats = whole_lines(tiles * dim_rows * kLanes);
    blocks = divide_up(problem.queries, kBlock);
    group_heads = kCachedFloats / (head_floats + 2 * sum_floats);
    if (group_heads < 1) group_heads = 1;
    groups = divide_up(problem.heads, group_heads);
    group_heads = divide_up(problem.heads, groups);
    groups = divide_up(problem.heads, group_heads);
    chunks = divide_up(kTasks, problem.batch * groups);
    const std::int64_t most = kMostSums / (2 * heads * sum_floats);
    if (chunks > most) chunks = most;
    if (chunks < 1) chunks = 1;
    chunk_blocks = divide_up(blocks, chunks);
    chunks = divide_up(blocks, chunk_blocks);
    query_floats = whole_lines(kBlock * depth);
    query_row_floats = whole_lines(kBlock / group * dim_rows);
    weight_floats = whole_lines(kBlock * tiles * kLanes);
    tile_floats = whole_lines(kBlock / group * kLanes);
    score_row_floats = group == 1 ? 0 : tile_floats;
    query_sum_floats = whole_lines(kBlock * dim_lanes);
    packed_row_floats = whole_lines(dim_rows);
    worker_floats = 2 * query_floats + 2 * query_row_floats + weight_floats + 2 * tile_floats +
                    score_row_floats + query_sum_floats + packed_row_floats +
                    2 * kBlock * whole_lines(width) +
                    3 * whole_lines(kBlock);
  }

  std::int64_t total_floats(int threads) const {
    return heads * (head_floats + chunks * 2 * sum_floats) + threads * worker_floats;
  }

  static std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
  static std::int64_t whole_lines(std::int64_t floats) { return divide_up(floats, 16) * 16; }
};

}  // namespace
}  // namespace bookend
