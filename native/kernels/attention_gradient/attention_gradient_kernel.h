// Gradients of attention over a way to multiply, Dot (attention/float_dot.h): keys and values are
// packed once per head; blocks of queries run in parallel, a chunk of a head's at a time
// (gradient_block.h); then the chunks' sums of dK and dV are added up.
#pragma once

#include "kernels/attention_gradient/attention_gradient.h"
#include "kernels/attention_gradient/gradient_block.h"
#include "kernels/attention_gradient/gradient_plan.h"

namespace bookend {
namespace {

// T: storage of the operands. A full tile is kRows queries by kVectors vectors of keys.
template <class T, class Dot, int kRows, int kVectors>
class AttentionGradient {
 public:
  static std::size_t scratch_bytes(const AttentionGradientProblem& problem, int threads) {
    return static_cast<std::size_t>(Plan(problem).total_floats(threads)) * sizeof(float);
  }

  static void run(const AttentionGradientProblem& problem,
                  const AttentionGradientOperands& operands, const RunContext& context) {
    const Plan plan(problem);
    float* scratch = reinterpret_cast<float*>(context.scratch);
    const AttentionGradient self(problem, operands, plan, scratch);
    float* workers = self.sums_ + plan.heads * plan.chunks * 2 * plan.sum_floats;
    context.pool.for_each(plan.heads * plan.tiles, [&](std::int64_t task, int) {
      self.pack(task / plan.tiles, task % plan.tiles);
    });
    const std::int64_t tasks = problem.batch * plan.groups * plan.chunks;
    context.pool.for_each(tasks, [&](std::int64_t task, int worker) {
      self.differentiate(task / plan.chunks, task % plan.chunks,
                         buffers(plan, workers + worker * plan.worker_floats));
    });
    context.pool.for_each(plan.heads * plan.tiles, [&](std::int64_t task, int) {
      self.merge(task / plan.tiles, task % plan.tiles);
    });
  }

 private:
  using F = typename Dot::F;
  using Vector = typename F::Vector;
  using Block = GradientBlock<Dot, kRows, kVectors>;
  static constexpr int kLanes = Block::kLanes;
  using Plan = GradientPlan<F::width, Dot::kGroup, kRows, kLanes>;

  AttentionGradient(const AttentionGradientProblem& problem,
                    const AttentionGradientOperands& operands, const Plan& plan, float* scratch)
      : problem_(problem), operands_(operands), plan_(plan), packed_(scratch),
        sums_(scratch + plan.heads * plan.head_floats),
        channels_(problem.heads * problem.head_dim) {}

  // One token's row of a head, in an operand of `tokens` tokens per image.
  std::int64_t at(std::int64_t head, std::int64_t tokens, std::int64_t token) const {
    return (head / problem_.heads * tokens + token) * channels_ +
           head % problem_.heads * problem_.head_dim;
  }

  static BlockBuffers buffers(const Plan& plan, float* memory) {
    const auto take = [&](std::int64_t floats) {
      float* taken = memory;
      memory += floats;
      return taken;
    };
    BlockBuffers result;
    result.queries = take(plan.query_floats);
    result.gradients = take(plan.query_floats);
    result.query_rows = take(plan.query_row_floats);
    result.gradient_rows = take(plan.query_row_floats);
    result.weights = take(plan.weight_floats);
    result.probabilities = take(plan.tile_floats);
    result.scores = take(plan.tile_floats);
    result.score_rows = Dot::kGroup == 1 ? result.scores : take(plan.score_row_floats);
    result.query_sums = take(plan.query_sum_floats);
    result.row = take(plan.packed_row_floats);
    result.largest = take(Plan::kBlock * Plan::whole_lines(F::width));
    result.total = take(Plan::kBlock * Plan::whole_lines(F::width));
    result.offset = take(Plan::whole_lines(Plan::kBlock));
    result.inverse = take(Plan::whole_lines(Plan::kBlock));
    result.shift = take(Plan::whole_lines(Plan::kBlock));
    return result;
  }

  PackedHead packed(std::int64_t head, std::int64_t chunk) const {
    const float* keys = packed_ + head * plan_.head_floats;
    float* sums = sums_ + (head * plan_.chunks + chunk) * 2 * plan_.sum_floats;
    return {keys, keys + plan_.operand_floats, keys + 2 * plan_.operand_floats, sums,
            sums + plan_.sum_floats};
  }

  HeadShape shape() const {
    return {problem_.keys, plan_.depth, plan_.dim_rows, plan_.dim_lanes, problem_.causal};
  }

  // Lanes of a tile that its vectors have, whether or not there is a key.
  std::int64_t lanes_of(std::int64_t tile) const {
    const std::int64_t left = problem_.keys - tile * kLanes;
    return left < kLanes ? Plan::divide_up(left, F::width) * F::width : kLanes;
  }

  void pack(std::int64_t head, std::int64_t tile) const {
    const std::int64_t first = tile * kLanes, lanes = lanes_of(tile);
    const std::int64_t left = problem_.keys - first, keys = left < lanes ? left : lanes;
    const std::int64_t from = at(head, problem_.keys, first);
    float* to = packed_ + head * plan_.head_floats;
    const T* key_rows = static_cast<const T*>(operands_.k) + from;
    prefetch_rows<0>(operands_.v, from, keys);
    pack_lanes(key_rows, keys, lanes, to + tile * plan_.depth * kLanes);
    to += plan_.operand_floats;
    pack_lanes(static_cast<const T*>(operands_.v) + from, keys, lanes,
               to + tile * plan_.depth * kLanes);
    to += plan_.operand_floats;
    pack_groups(key_rows, keys, lanes, plan_.dim_lanes,
                to + first / Dot::kGroup * plan_.dim_lanes);
  }

  // Tokens [count][dim], rows of channels_, to [depth][lanes] units; lanes beyond are zero.
  void pack_lanes(const T* rows, std::int64_t count, std::int64_t lanes, float* to) const {
    const std::int64_t dim = problem_.head_dim;
    for (std::int64_t lane = 0; lane < lanes; lane += F::width) {
      for (std::int64_t unit = 0; unit < plan_.depth; unit += F::width) {
        const std::int64_t d = unit * Dot::kGroup;
        Vector block[F::width];
        for (int i = 0; i < F::width; ++i) {
          block[i] = lane + i < count ? Dot::load_units(rows + (lane + i) * channels_ + d, dim - d)
                                      : F::zero();
        }
        F::transpose(block);
        const std::int64_t left = plan_.depth - unit;
        for (int i = 0; i < F::width && i < left; ++i) {
          F::store(to + (unit + i) * lanes + lane, block[i]);
        }
      }
    }
  }

  // Tokens [count][dim] to [padded / group][width] units of successive tokens, `width` at least
  // dim; what does not exist is zero.
  void pack_groups(const T* rows, std::int64_t count, std::int64_t padded, std::int64_t width,
                   float* to) const {
    for (std::int64_t i = 0; i < padded; i += Dot::kGroup, to += width) {
      for (std::int64_t d = problem_.head_dim; d < width; ++d) to[d] = 0.0f;
      if (i < count) {
        Dot::pack_values(rows + i * channels_, channels_, count - i, problem_.head_dim, to);
      } else {
        for (std::int64_t d = 0; d < problem_.head_dim; ++d) to[d] = 0.0f;
      }
    }
  }

  // The same to [dim_rows / kRows][padded / group][kRows], by way of one `row` [dim_rows].
  void pack_strips(const T* rows, std::int64_t count, std::int64_t padded, float* row,
                   float* to) const {
    const std::int64_t units = padded / Dot::kGroup;
    for (std::int64_t unit = 0; unit < units; ++unit) {
      const std::int64_t i = unit * Dot::kGroup;
      pack_groups(rows + i * channels_, count - i, Dot::kGroup, plan_.dim_rows, row);
      for (std::int64_t d = 0; d < plan_.dim_rows; d += kRows) {
        __builtin_memcpy(to + d * units + unit * kRows, row + d, kRows * sizeof(float));
      }
    }
  }

  // Tokens [count][dim] to [padded][depth] units of successive channels; rows beyond are zero.
  void pack_rows(const T* rows, std::int64_t count, std::int64_t padded, float* to) const {
    for (std::int64_t i = 0; i < padded; ++i) {
      for (std::int64_t unit = 0; unit < plan_.depth; unit += F::width) {
        const std::int64_t d = unit * Dot::kGroup, left = plan_.depth - unit;
        const Vector units =
            i < count ? Dot::load_units(rows + i * channels_ + d, problem_.head_dim - d)
                      : F::zero();
        F::store_part(to + i * plan_.depth + unit, units,
                      left < F::width ? static_cast<int>(left) : F::width);
      }
    }
  }

  // All blocks of one chunk, of a group of heads.
  void differentiate(std::int64_t group, std::int64_t chunk, const BlockBuffers& buffers) const {
    const std::int64_t image = group / plan_.groups * problem_.heads;
    const std::int64_t begin = group % plan_.groups * plan_.group_heads;
    std::int64_t end = begin + plan_.group_heads;
    if (end > problem_.heads) end = problem_.heads;
    std::int64_t first = chunk * plan_.chunk_blocks * Plan::kBlock, touched = 0;
    for (const std::int64_t stop = chunk_end(chunk); first < stop; first += Plan::kBlock) {
      const std::int64_t queries = stop - first < Plan::kBlock ? stop - first : Plan::kBlock;
      for (std::int64_t head = begin; head < end; ++head) {
        if (head + 1 < end) {
          prefetch(image + head + 1, first, queries);
        } else {
          prefetch(image + begin, first + Plan::kBlock, queries);
        }
        differentiate_block(image + head, chunk, {first, queries, touched}, buffers);
      }
      touched = Block::visible_tiles(shape(), first + queries);
    }
  }

  struct Queries {
    std::int64_t first, count;
    std::int64_t touched;  // tiles of keys that have sums of the chunk's queries before
  };

  void differentiate_block(std::int64_t head, std::int64_t chunk, const Queries& queries,
                           const BlockBuffers& buffers) const {
    constexpr float kLog2E = 1.44269504f;
    const HeadShape head_shape = shape();
    const PackedHead packed_head = packed(head, chunk);
    const std::int64_t rows = Plan::divide_up(queries.count, kRows) * kRows;
    load_block(head, queries.first, queries.count, rows, buffers);
    Block(head_shape, packed_head, buffers, queries.first, queries.count, rows,
          problem_.scale * kLog2E)
        .run(queries.touched);
    store_queries(head, queries.first, queries.count, buffers.query_sums);
  }

  // Where the queries of a chunk end.
  std::int64_t chunk_end(std::int64_t chunk) const {
    const std::int64_t end = (chunk + 1) * plan_.chunk_blocks * Plan::kBlock;
    return end < problem_.queries ? end : problem_.queries;
  }

  void load_block(std::int64_t head, std::int64_t first, std::int64_t queries, std::int64_t rows,
                  const BlockBuffers& buffers) const {
    const std::int64_t from = at(head, problem_.queries, first);
    const T* q = static_cast<const T*>(operands_.q) + from;
    const T* gradient = static_cast<const T*>(operands_.gradient) + from;
    const T* output = static_cast<const T*>(operands_.output) + from;
    pack_rows(q, queries, rows, buffers.queries);
    pack_rows(gradient, queries, rows, buffers.gradients);
    pack_strips(q, queries, rows, buffers.row, buffers.query_rows);
    pack_strips(gradient, queries, rows, buffers.row, buffers.gradient_rows);
    for (std::int64_t i = 0; i < rows; ++i) {
      Vector sum = F::zero();
      if (i < queries) {
        for_lanes<F>(problem_.head_dim, [&](std::int64_t d, const auto& lanes) {
          sum = F::fma(lanes.load(gradient + i * channels_ + d),
                       lanes.load(output + i * channels_ + d), sum);
        });
      }
      buffers.shift[i] = F::reduce_add(sum);
    }
  }

  // The operands and results of a block of queries.
  [[gnu::always_inline]] void prefetch(std::int64_t head, std::int64_t first,
                                       std::int64_t queries) const {
    const std::int64_t left = problem_.queries - first, rows = queries < left ? queries : left;
    const std::int64_t from = at(head, problem_.queries, first);
    prefetch_rows<0>(operands_.q, from, rows);
    prefetch_rows<0>(operands_.gradient, from, rows);
    prefetch_rows<0>(operands_.output, from, rows);
    prefetch_rows<1>(operands_.dq, from, rows);
  }

  // The short rows of a head lie far apart, where no hardware prefetcher finds them: they are
  // fetched, for writing or not, while something else is computed. Always inlined, since GCC 12
  // takes a function that only fetches for one without effects, and drops its calls.
  template <int write>
  [[gnu::always_inline]] void prefetch_rows(const void* tokens, std::int64_t from,
                                            std::int64_t rows) const {
    constexpr std::int64_t kLine = 64 / sizeof(T);
    for (std::int64_t i = 0; i < rows; ++i) {
      const T* row = static_cast<const T*>(tokens) + from + i * channels_;
      for (std::int64_t d = 0; d < problem_.head_dim; d += kLine) __builtin_prefetch(row + d, write);
    }
  }

  void store_queries(std::int64_t head, std::int64_t first, std::int64_t queries,
                     const float* sums) const {
    T* out = static_cast<T*>(operands_.dq) + at(head, problem_.queries, first);
    const Vector scale = F::splat(problem_.scale);
    for (std::int64_t i = 0; i < queries; ++i) {
      for_lanes<F>(problem_.head_dim, [&](std::int64_t d, const auto& lanes) {
        const Vector sum = lanes.load(sums + i * plan_.dim_lanes + d);
        lanes.store(out + i * channels_ + d, F::mul(sum, scale));
      });
    }
  }

  // dK and dV of one tile, the chunks in order.
  void merge(std::int64_t head, std::int64_t tile) const {
    const std::int64_t from = at(head, problem_.keys, tile * kLanes);
    const std::int64_t left = problem_.keys - tile * kLanes, keys = left < kLanes ? left : kLanes;
    prefetch_rows<1>(operands_.dk, from, keys);
    prefetch_rows<1>(operands_.dv, from, keys);
    merge_into(head, tile, 0, problem_.scale, static_cast<T*>(operands_.dk) + from);
    merge_into(head, tile, 1, 1.0f, static_cast<T*>(operands_.dv) + from);
  }

  // `which`: 0 for the sums of keys, 1 for those of values.
  void merge_into(std::int64_t head, std::int64_t tile, int which, float scale, T* out) const {
    const std::int64_t lanes = lanes_of(tile), left = problem_.keys - tile * kLanes;
    const std::int64_t dim = problem_.head_dim;
    const float* sums = sums_ + (head * plan_.chunks * 2 + which) * plan_.sum_floats +
                        tile * plan_.dim_rows * kLanes;
    for (std::int64_t lane = 0; lane < lanes && lane < left; lane += F::width) {
      for (std::int64_t d = 0; d < dim; d += F::width) {
        const int columns = dim - d < F::width ? static_cast<int>(dim - d) : F::width;
        Vector block[F::width];
        for (int i = 0; i < F::width; ++i) {
          block[i] = F::zero();
          if (i < columns) block[i] = chunk_sum(sums + (d + i) * lanes + lane, tile);
          block[i] = F::mul(block[i], F::splat(scale));
        }
        F::transpose(block);
        for (int i = 0; i < F::width && lane + i < left; ++i) {
          F::store_part(out + (lane + i) * channels_ + d, block[i], columns);
        }
      }
    }
  }

  // In the causal form the first chunks have not seen the last tiles; the last chunk has seen all.
  Vector chunk_sum(const float* first, std::int64_t tile) const {
    Vector sum = F::zero();
    for (std::int64_t chunk = 0; chunk < plan_.chunks; ++chunk) {
      if (tile >= Block::visible_tiles(shape(), chunk_end(chunk))) continue;
      sum = F::add(sum, F::load(first + chunk * 2 * plan_.sum_floats));
    }
    return sum;
  }

  const AttentionGradientProblem& problem_;
  const AttentionGradientOperands& operands_;
  const Plan& plan_;
  float* const packed_;
  float* const sums_;  // [head][chunk][dK, dV]
  const std::int64_t channels_;
};

// The two types of one instruction set, as one row of the table.
template <class F32, class B16>
struct AttentionGradientRow {
  static const char* refuse(const AttentionGradientProblem& problem) {
    if (!is_f32_or_bf16(problem.type)) return "the operands are not f32 or bf16";
    if (!(problem.scale > 0.0f)) return "scale is not positive";
    if (problem.keys > 1 << 24) return "there are more than 2^24 keys, which f32 cannot count";
    return nullptr;
  }
  static std::size_t scratch_bytes(const AttentionGradientProblem& problem, int threads) {
    return problem.type == DType::bf16 ? B16::scratch_bytes(problem, threads)
                                       : F32::scratch_bytes(problem, threads);
  }
  static void run(const AttentionGradientProblem& problem,
                  const AttentionGradientOperands& operands, const RunContext& context) {
    if (problem.type == DType::bf16) return B16::run(problem, operands, context);
    F32::run(problem, operands, context);
  }
};

}  // namespace
}  // namespace bookend
