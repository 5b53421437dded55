// Attention over a way to multiply, Dot: keys and values are packed once per head, then tiles of
// queries run in parallel (attention_tile.h). Memory beyond the operands: a copy of K and V, and
// per worker one tile of queries, of scores and of sums.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/attention_tile.h"
#include "kernels/attention/float_dot.h"

namespace bookend {
namespace {

// T: storage of q, k and v. Scores: how queries meet keys, Dot or Int8Scores. A full tile is kRows
// keys by kVectors vectors of queries, which is what the registers hold.
template <class T, class Scores, class Dot, int kRows, int kVectors>
class Attention {
 public:
  static std::size_t scratch_bytes(const AttentionProblem& problem, int threads) {
    const Plan plan(problem, threads);
    const std::int64_t floats =
        plan.heads * plan.head_floats + static_cast<std::int64_t>(threads) * plan.worker_floats;
    return static_cast<std::size_t>(floats) * sizeof(float);
  }

  static void run(const AttentionProblem& problem, const AttentionOperands& operands,
                  const RunContext& context) {
    const Plan plan(problem, context.pool.size());
    float* packed = reinterpret_cast<float*>(context.scratch);
    float* workers = packed + plan.heads * plan.head_floats;
    context.pool.for_each(problem.batch * plan.pack_tasks, [&](std::int64_t task, int) {
      pack(problem, operands, plan, task / plan.pack_tasks, task % plan.pack_tasks * kKeysPerTask,
           packed);
    });
    if constexpr (Scores::kQuantized) {
      context.pool.for_each(plan.heads, [&](std::int64_t task, int) {
        quantize_keys(problem, operands, plan, task, packed + task * plan.head_floats);
      });
    }
    const std::int64_t tasks = problem.batch * plan.groups * plan.tiles;
    context.pool.for_each(tasks, [&](std::int64_t task, int worker) {
      const std::int64_t group = task / plan.tiles;
      Tile tile;
      tile.batch = group / plan.groups;
      tile.first = task % plan.tiles * kLanes;
      tile.queries = problem.queries - tile.first;
      if (tile.queries > kLanes) tile.queries = kLanes;
      tile.head = group % plan.groups * plan.heads_per_task;
      std::int64_t end = tile.head + plan.heads_per_task;
      if (end > problem.heads) end = problem.heads;
      for (; tile.head < end; ++tile.head) {
        prefetch(problem, operands, tile, tile.head + 1 < end);
        attend(problem, operands, plan, tile, packed, workers + worker * plan.worker_floats);
      }
    });
  }

 private:
  using F = typename Dot::F;
  using Vector = typename F::Vector;
  static constexpr std::int64_t kLanes = kVectors * F::width;
  static constexpr std::int64_t kKeysPerTask = 32;
  static constexpr std::int64_t kKeyBlock = AttentionTile<Scores, Dot, kRows, kVectors>::kKeyBlock;
  // Packed keys and values that a core's L2 cache holds beside a tile.
  static constexpr std::int64_t kCachedFloats = 128 * 1024;

  // Sizes in floats, multiples of 16 to keep 64-byte lines apart. One task is a tile of queries of
  // one head; where keys and values of several heads fit into the cache it is that many heads,
  // whose queries and outputs lie side by side.
  struct Plan {
    std::int64_t heads, depth, tiles, pack_tasks, heads_per_task, groups;
    std::int64_t key_floats, value_floats, head_floats, query_floats, weight_floats, worker_floats;

    Plan(const AttentionProblem& problem, int threads) {
      heads = problem.batch * problem.heads;
      depth = (problem.head_dim + Scores::kGroup - 1) / Scores::kGroup;
      tiles = (problem.queries + kLanes - 1) / kLanes;
      pack_tasks = (problem.keys + kKeysPerTask - 1) / kKeysPerTask;
      const std::int64_t units = (problem.keys + Dot::kGroup - 1) / Dot::kGroup;
      key_floats = whole_lines(problem.keys * depth);
      value_floats = whole_lines(units * problem.head_dim);
      head_floats = key_floats + value_floats;
      if constexpr (Scores::kQuantized) {  // scales of the blocks of keys, and the mean of all
        head_floats += whole_lines(problem.keys / kKeyBlock + 1 + problem.head_dim);
      }
      query_floats = whole_lines((depth + F::width) * kLanes);
      weight_floats = whole_lines((kKeyBlock + Dot::kGroup) / Dot::kGroup * kLanes);
      worker_floats =
          kLanes + query_floats + weight_floats + whole_lines(problem.head_dim * kLanes);
      heads_per_task = kCachedFloats / head_floats;
      const std::int64_t per_worker = heads * tiles / (4 * threads);
      if (heads_per_task > per_worker) heads_per_task = per_worker;
      if (heads_per_task > problem.heads) heads_per_task = problem.heads;
      if (heads_per_task < 1) heads_per_task = 1;
      groups = (problem.heads + heads_per_task - 1) / heads_per_task;
    }
    static std::int64_t whole_lines(std::int64_t floats) { return (floats + 15) / 16 * 16; }
  };

  struct Tile {
    std::int64_t batch, head, first, queries;
  };

  // Packs keys and values of all heads, row by row: memory is read in the order in which it lies.
  static void pack(const AttentionProblem& problem, const AttentionOperands& operands,
                   const Plan& plan, std::int64_t batch, std::int64_t begin, float* packed) {
    const std::int64_t dim = problem.head_dim;
    std::int64_t end = begin + kKeysPerTask;
    if (end > problem.keys) end = problem.keys;
    packed += batch * problem.heads * plan.head_floats;
    const T* keys = static_cast<const T*>(operands.k) + batch * problem.keys * problem.k_stride;
    for (std::int64_t key = begin; !Scores::kQuantized && key < end; ++key) {
      for (std::int64_t head = 0; head < problem.heads; ++head) {
        pack_key(keys + key * problem.k_stride + head * dim, dim, plan.depth,
                 packed + head * plan.head_floats + key * plan.depth);
      }
    }
    const T* values = static_cast<const T*>(operands.v) + batch * problem.keys * problem.v_stride;
    for (std::int64_t key = begin; key < end; key += Dot::kGroup) {
      for (std::int64_t head = 0; head < problem.heads; ++head) {
        float* out = packed + head * plan.head_floats + plan.key_floats;
        Dot::pack_values(values + key * problem.v_stride + head * dim, problem.v_stride, end - key,
                         dim, out + key / Dot::kGroup * dim);
      }
    }
  }

  static void pack_key(const T* row, std::int64_t dim, std::int64_t depth, float* out) {
    if constexpr (!Scores::kQuantized) {
      for (std::int64_t unit = 0; unit < depth; unit += F::width) {
        const std::int64_t first = unit * Scores::kGroup, left = depth - unit;
        const Vector units = Scores::load_units(row + first, dim - first);
        F::store_part(out + unit, units, left < F::width ? static_cast<int>(left) : F::width);
      }
    }
  }

  static void quantize_keys(const AttentionProblem& problem, const AttentionOperands& operands,
                            const Plan& plan, std::int64_t index, float* packed) {
    const std::int64_t batch = index / problem.heads, head = index % problem.heads;
    const T* keys = static_cast<const T*>(operands.k) + batch * problem.keys * problem.k_stride +
                    head * problem.head_dim;
    float* scales = packed + plan.key_floats + plan.value_floats;
    Scores::pack_keys(keys, problem.k_stride, problem.keys, problem.head_dim, kKeyBlock,
                      plan.depth * Scores::kGroup, reinterpret_cast<std::uint8_t*>(packed), scales,
                      scales + problem.keys / kKeyBlock + 1);
  }

  static const T* queries_of(const AttentionProblem& problem, const AttentionOperands& operands,
                             const Tile& tile) {
    return static_cast<const T*>(operands.q) +
           (tile.batch * problem.queries + tile.first) * problem.q_stride +
           tile.head * problem.head_dim;
  }

  static std::int64_t first_output(const AttentionProblem& problem, const Tile& tile) {
    return ((tile.batch * problem.queries + tile.first) * problem.heads + tile.head) *
           problem.head_dim;
  }

  // The short rows of a head lie far apart, where no hardware prefetcher finds them: the next
  // head's queries and this head's outputs are fetched while this head is computed. Always inlined,
  // since GCC 12 takes a function that only fetches for one without effects, and drops its calls.
  BOOKEND_VERB void prefetch(const AttentionProblem& problem, const AttentionOperands& operands,
                       const Tile& tile, bool next_head) {
    constexpr std::int64_t kLine = 64 / sizeof(T);
    const T* next = queries_of(problem, operands, tile) + problem.head_dim;
    const std::int64_t out_size = static_cast<std::int64_t>(byte_size(problem.output));
    const auto* out = static_cast<const std::byte*>(operands.out) +
                      first_output(problem, tile) * out_size;
    for (std::int64_t i = 0; i < tile.queries; ++i) {
      const T* query_row = next + i * problem.q_stride;
      const std::byte* out_row = out + i * problem.heads * problem.head_dim * out_size;
      for (std::int64_t d = 0; next_head && d < problem.head_dim; d += kLine) {
        __builtin_prefetch(query_row + d);
      }
      for (std::int64_t byte = 0; byte < problem.head_dim * out_size; byte += 64) {
        __builtin_prefetch(out_row + byte, 1);
      }
    }
  }

  // Few queries left over take a narrower tile.
  static void attend(const AttentionProblem& problem, const AttentionOperands& operands,
                     const Plan& plan, const Tile& tile, const float* packed, float* buffer) {
    if (tile.queries <= kLanes / 4) {
      attend_with<(kVectors + 3) / 4>(problem, operands, plan, tile, packed, buffer);
    } else if (tile.queries <= kLanes / 2) {
      attend_with<(kVectors + 1) / 2>(problem, operands, plan, tile, packed, buffer);
    } else {
      attend_with<kVectors>(problem, operands, plan, tile, packed, buffer);
    }
  }

  template <int vectors>
  static void attend_with(const AttentionProblem& problem, const AttentionOperands& operands,
                          const Plan& plan, const Tile& tile, const float* packed, float* buffer) {
    const float* keys = packed + (tile.batch * problem.heads + tile.head) * plan.head_floats;
    const float* values = keys + plan.key_floats;
    const AttentionHead head{keys,       values,           problem.keys,
                             plan.depth, problem.head_dim, problem.causal,
                             values + plan.value_floats};
    float* weights = buffer + kLanes + plan.query_floats;
    const AttentionBuffers buffers{buffer, buffer + kLanes, weights, weights + plan.weight_floats};
    read_queries<vectors>(problem, queries_of(problem, operands, tile), tile.queries, buffers);
    AttentionTile<Scores, Dot, kRows, vectors>(head, buffers, tile.first).run();
    with_result_type(problem.output, [&](auto* type) {
      auto* out = static_cast<decltype(type)>(operands.out) + first_output(problem, tile);
      write_sums<vectors>(problem, buffers.sums, tile.queries, out);
    });
  }

  // [queries][dim] elements to [depth][lanes] units, and what scores with them are to be multiplied
  // by; queries that do not exist are zero.
  template <int vectors>
  static void read_queries(const AttentionProblem& problem, const T* q, std::int64_t queries,
                           const AttentionBuffers& buffers) {
    constexpr int lanes = vectors * F::width;
    constexpr float kLog2E = 1.44269504f;
    const std::int64_t stride = problem.q_stride, dim = problem.head_dim;
    float inverse[lanes];
    for (int lane = 0; lane < lanes; ++lane) {
      buffers.scales[lane] = problem.scale * kLog2E;
      inverse[lane] = 1.0f;
      if constexpr (Scores::kQuantized) {
        const float largest = lane < queries ? Scores::largest(q + lane * stride, dim) : 0.0f;
        inverse[lane] = largest > 0.0f ? 127.0f / largest : 0.0f;
        buffers.scales[lane] *= largest / 127.0f;
      }
    }
    for (int lane = 0; lane < lanes; lane += F::width) {
      for (std::int64_t d = 0; d < dim; d += F::width * Scores::kGroup) {
        Vector block[F::width];
        for (int i = 0; i < F::width; ++i) {
          block[i] = F::zero();
          if (lane + i < queries) {
            block[i] = load_units(q + (lane + i) * stride + d, dim - d, inverse[lane + i]);
          }
        }
        F::transpose(block);
        float* to = buffers.queries + d / Scores::kGroup * lanes + lane;
        for (int i = 0; i < F::width; ++i) F::store(to + i * lanes, block[i]);
      }
    }
  }

  BOOKEND_VERB Vector load_units(const T* row, std::int64_t elements, float inverse) {
    if constexpr (Scores::kQuantized) {
      return Scores::load_units(row, elements, inverse);
    } else {
      return Scores::load_units(row, elements);
    }
  }

  // [dim][lanes] sums to [queries][dim] elements.
  template <int vectors, class Out>
  static void write_sums(const AttentionProblem& problem, const float* sums, std::int64_t queries,
                         Out* out) {
    constexpr int lanes = vectors * F::width;
    const auto quantizer = Quantizer<F>::of(problem.quantize_scale, problem.quantize_zero);
    const std::int64_t dim = problem.head_dim, stride = problem.heads * dim;
    for (int lane = 0; lane < lanes; lane += F::width) {
      for (std::int64_t d = 0; d < dim; d += F::width) {
        const int columns = dim - d < F::width ? static_cast<int>(dim - d) : F::width;
        Vector block[F::width];
        for (int i = 0; i < F::width; ++i) {
          block[i] = i < columns ? F::load(sums + (d + i) * lanes + lane) : F::zero();
        }
        F::transpose(block);
        for (int i = 0; i < F::width && lane + i < queries; ++i) {
          F::store_part(out + (lane + i) * stride + d, quantizer.apply(out, block[i]), columns);
        }
      }
    }
  }
};

// What no kernel can do.
inline const char* refuse_attention(const AttentionProblem& problem) {
  if (!is_f32_or_bf16(problem.output) && problem.output != DType::u8) {
    return "output is not f32, bf16 or u8";
  }
  if (problem.keys < 1 || problem.head_dim < 1) return "there are no keys to attend to";
  if (!(problem.scale > 0.0f)) return "scale is not positive";
  return nullptr;
}

// The two types of one instruction set, as one row of the table.
template <class F32, class B16>
struct AttentionRow {
  static const char* refuse(const AttentionProblem& problem) {
    if (!is_f32_or_bf16(problem.type)) return "q, k and v are not f32 or bf16";
    if (problem.scores == AttentionScores::int8) {
      return "int8 scores need AVX512_VNNI, and q, k and v in bf16";
    }
    return refuse_attention(problem);
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

// Int8 scores of one instruction set.
template <class Implementation>
struct Int8AttentionRow : Implementation {
  static const char* refuse(const AttentionProblem& problem) {
    if (problem.scores != AttentionScores::int8) return "scores are floats";
    if (problem.type != DType::bf16) return "q, k and v are not bf16";
    // Sums of products of 255 and 127 stay below 2^31, and those of what they start at.
    if (problem.head_dim > 1 << 15) return "sums of that many products could overflow 32 bits";
    return refuse_attention(problem);
  }
};

}  // namespace
}  // namespace bookend
