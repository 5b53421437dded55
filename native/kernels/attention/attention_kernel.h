// Attention over a way to multiply, Dot: keys and values are packed once per head, then tiles of
// queries run in parallel (attention_tile.h). Memory beyond the operands: a copy of K and V, and per
// worker one tile of queries, of scores and of sums.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_tile.h"
#include "kernels/attention/float_dot.h"

namespace bookend {
namespace {

// T: storage of all operands. A full tile is kRows keys by kVectors vectors of queries, which is what
// the registers hold.
template <class T, class Dot, int kRows, int kVectors>
class Attention {
 public:
  static std::size_t scratch_bytes(const AttentionProblem& problem, int threads) {
    const Plan plan(problem);
    const std::int64_t floats =
        plan.heads * plan.head_floats + static_cast<std::int64_t>(threads) * plan.worker_floats;
    return static_cast<std::size_t>(floats) * sizeof(float);
  }

  static void run(const AttentionProblem& problem, const AttentionOperands& operands,
                  const RunContext& context) {
    const Plan plan(problem);
    float* scratch = reinterpret_cast<float*>(context.scratch);
    context.pool.for_each(plan.heads * plan.pack_tasks, [&](std::int64_t task, int) {
      const std::int64_t head = task / plan.pack_tasks;
      const std::int64_t begin = task % plan.pack_tasks * kKeysPerTask;
      pack(problem, operands, plan, head, begin, scratch + head * plan.head_floats);
    });
    float* workers = scratch + plan.heads * plan.head_floats;
    context.pool.for_each(plan.heads * plan.tiles, [&](std::int64_t task, int worker) {
      const std::int64_t head = task / plan.tiles, first = task % plan.tiles * kLanes;
      const std::int64_t queries =
          problem.queries - first < kLanes ? problem.queries - first : kLanes;
      const auto attend = [&](auto count) {
        attend_tile<decltype(count)::value>(problem, operands, plan, head, first, queries,
                                            scratch + head * plan.head_floats,
                                            workers + worker * plan.worker_floats);
      };
      // Few queries left over take a narrower tile.
      if (queries <= kLanes / 4) return attend(Count<(kVectors + 3) / 4>{});
      if (queries <= kLanes / 2) return attend(Count<(kVectors + 1) / 2>{});
      attend(Count<kVectors>{});
    });
  }

 private:
  using F = typename Dot::F;
  using Vector = typename F::Vector;
  static constexpr std::int64_t kLanes = kVectors * F::width;
  static constexpr std::int64_t kKeysPerTask = 256;
  static constexpr std::int64_t kKeyBlock = AttentionTile<Dot, kRows, kVectors>::kKeyBlock;

  // Sizes in floats, all multiples of 16 to keep 64-byte lines apart.
  struct Plan {
    std::int64_t heads, depth, units, tiles, pack_tasks;
    std::int64_t key_floats, head_floats, query_floats, score_floats, worker_floats;

    explicit Plan(const AttentionProblem& problem) {
      heads = problem.batch * problem.heads;
      depth = (problem.head_dim + Dot::kGroup - 1) / Dot::kGroup;
      units = (problem.keys + Dot::kGroup - 1) / Dot::kGroup;
      tiles = (problem.queries + kLanes - 1) / kLanes;
      pack_tasks = (problem.keys + kKeysPerTask - 1) / kKeysPerTask;
      key_floats = whole_lines(problem.keys * depth + F::width);
      head_floats = key_floats + whole_lines(units * problem.head_dim);
      query_floats = whole_lines((depth + F::width) * kLanes);
      score_floats = whole_lines(kKeyBlock * kLanes);
      worker_floats = query_floats + score_floats + whole_lines(problem.head_dim * kLanes);
    }
    static std::int64_t whole_lines(std::int64_t floats) { return (floats + 15) / 16 * 16; }
  };

  static void pack(const AttentionProblem& problem, const AttentionOperands& operands,
                   const Plan& plan, std::int64_t head, std::int64_t begin, float* packed) {
    const std::int64_t batch = head / problem.heads, dim = problem.head_dim;
    const std::int64_t column = head % problem.heads * dim;
    std::int64_t end = begin + kKeysPerTask;
    if (end > problem.keys) end = problem.keys;
    for (std::int64_t key = begin; key < end; ++key) {
      const T* row = static_cast<const T*>(operands.k) +
                     (batch * problem.keys + key) * problem.k_stride + column;
      for (std::int64_t unit = 0; unit < plan.depth; unit += F::width) {
        const std::int64_t first = unit * Dot::kGroup;
        const Vector units = Dot::load_units(row + first, dim - first);
        const std::int64_t left = plan.depth - unit;
        F::store_part(packed + key * plan.depth + unit, units,
                      left < F::width ? static_cast<int>(left) : F::width);
      }
    }
    float* values = packed + plan.key_floats;
    for (std::int64_t key = begin; key < end; key += Dot::kGroup) {
      const T* rows = static_cast<const T*>(operands.v) +
                      (batch * problem.keys + key) * problem.v_stride + column;
      Dot::pack_values(rows, problem.v_stride, end - key, dim, values + key / Dot::kGroup * dim);
    }
  }

  template <int vectors>
  static void attend_tile(const AttentionProblem& problem, const AttentionOperands& operands,
                          const Plan& plan, std::int64_t head, std::int64_t first,
                          std::int64_t queries, const float* packed, float* buffer) {
    constexpr float kLog2E = 1.44269504f;
    const AttentionHead description{packed,     packed + plan.key_floats,      problem.keys,
                                    plan.depth, problem.head_dim,              problem.scale * kLog2E,
                                    problem.causal};
    const AttentionBuffers buffers{buffer, buffer + plan.query_floats,
                                   buffer + plan.query_floats + plan.score_floats};
    const std::int64_t batch = head / problem.heads;
    const std::int64_t column = head % problem.heads * problem.head_dim;
    const std::int64_t row = batch * problem.queries + first;
    read_queries<vectors>(static_cast<const T*>(operands.q) + row * problem.q_stride + column,
                          problem.q_stride, problem.head_dim, queries, buffers.queries);
    AttentionTile<Dot, kRows, vectors>(description, buffers, first).run();
    const std::int64_t out_stride = problem.heads * problem.head_dim;
    write_sums<vectors>(buffers.sums, problem.head_dim, queries,
                        static_cast<T*>(operands.out) + row * out_stride + column, out_stride);
  }

  // [queries][dim] elements to [depth][lanes] units; queries that do not exist are zero.
  template <int vectors>
  static void read_queries(const T* q, std::int64_t stride, std::int64_t dim, std::int64_t queries,
                           float* out) {
    constexpr int lanes = vectors * F::width;
    for (int lane = 0; lane < lanes; lane += F::width) {
      for (std::int64_t d = 0; d < dim; d += F::width * Dot::kGroup) {
        Vector block[F::width];
        for (int i = 0; i < F::width; ++i) {
          block[i] = F::zero();
          if (lane + i < queries) {
            block[i] = Dot::load_units(q + (lane + i) * stride + d, dim - d);
          }
        }
        F::transpose(block);
        float* to = out + d / Dot::kGroup * lanes + lane;
        for (int i = 0; i < F::width; ++i) F::store(to + i * lanes, block[i]);
      }
    }
  }

  // [dim][lanes] sums to [queries][dim] elements.
  template <int vectors>
  static void write_sums(const float* sums, std::int64_t dim, std::int64_t queries, T* out,
                         std::int64_t stride) {
    constexpr int lanes = vectors * F::width;
    for (int lane = 0; lane < lanes; lane += F::width) {
      for (std::int64_t d = 0; d < dim; d += F::width) {
        const int columns = dim - d < F::width ? static_cast<int>(dim - d) : F::width;
        Vector block[F::width];
        for (int i = 0; i < F::width; ++i) {
          block[i] = i < columns ? F::load(sums + (d + i) * lanes + lane) : F::zero();
        }
        F::transpose(block);
        for (int i = 0; i < F::width && lane + i < queries; ++i) {
          F::store_part(out + (lane + i) * stride + d, block[i], columns);
        }
      }
    }
  }
};

// The two types of one instruction set, as one row of the table.
template <class F32, class B16>
struct AttentionRow {
  static const char* refuse(const AttentionProblem& problem) {
    if (problem.type != DType::f32 && problem.type != DType::bf16) return "type is not f32 or bf16";
    if (problem.keys < 1 || problem.head_dim < 1) return "there are no keys to attend to";
    if (!(problem.scale > 0.0f)) return "scale is not positive";
    return nullptr;
  }
  static std::size_t scratch_bytes(const AttentionProblem& problem, int threads) {
    return problem.type == DType::bf16 ? B16::scratch_bytes(problem, threads)
                                       : F32::scratch_bytes(problem, threads);
  }
  static void run(const AttentionProblem& problem, const AttentionOperands& operands,
                  const RunContext& context) {
    if (problem.type == DType::bf16) return B16::run(problem, operands, context);
    F32::run(problem, operands, context);
  }
};

}  // namespace
}  // namespace bookend
