// One tile of queries against all keys of its head, after Dao et al., "FlashAttention", arXiv
// 2205.14135: a block of keys becomes softmax weights, which then multiply the block's values.
// Everything is held transposed: `vectors` SIMD vectors of queries lie in the lanes, keys and
// values are broadcast. So sums over keys are plain vector operations, and neither keys nor
// head_dim are padded.
//
// Softmax is the same whatever is subtracted from the scores, and floats scale freely: instead of
// the running maximum of online softmax (Milakov and Gimelshein, arXiv 1805.02867) a *shift* is
// subtracted, which is 0 until a score leaves the range in which weights and their sums are sure to
// be normal numbers. So a score becomes a weight while it is still in its register.
#pragma once

#include <cstdint>

#include "kernels/attention/tile_product.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

// What a tile works on. Units are described in float_dot.h.
struct AttentionHead {
  const float* keys;    // [keys][depth] units
  const float* values;  // [keys / group][dim] units
  std::int64_t key_count;
  std::int64_t depth;  // units in a query or key
  std::int64_t dim;
  bool causal;
  const float* key_scales;  // [blocks of keys], of quantized keys
};

// Buffers of one worker, for kLanes queries.
struct AttentionBuffers {
  float* scales;   // [lanes]: scores times these (and key scales) are exponents of 2
  float* queries;  // [depth][lanes] units
  float* weights;  // [kKeyBlock / group][lanes] units
  float* sums;     // [dim][lanes]
};

// Scores says how queries meet keys, Dot how weights meet values; both may be the same.
template <class Scores, class Dot, int kRows, int vectors>
class AttentionTile {
 public:
  using F = typename Dot::F;
  using Vector = typename F::Vector;
  static constexpr int kLanes = vectors * F::width;
  // Weights of a block stay in L1 beside keys and values; a multiple of kRows.
  static constexpr std::int64_t kKeyBlock = 96;
  static_assert(kKeyBlock % kRows == 0 && kRows % Dot::kGroup == 0);

  // `first_query` counts from the first query of the head.
  AttentionTile(const AttentionHead& head, const AttentionBuffers& buffers,
                std::int64_t first_query)
      : head_(head), buffers_(buffers), first_query_(first_query) {}

  // Fills buffers.sums with softmax(scores) V, transposed.
  void run() {
    for (int v = 0; v < vectors; ++v) {
      offset_[v] = total_[v] = start_[v] = F::zero();
      if constexpr (Scores::kQuantized) {
        start_[v] = Scores::start(buffers_.queries + v * F::width, head_.depth, kLanes);
      }
    }
    std::int64_t end = head_.key_count;
    if (head_.causal && end > first_query_ + kLanes) end = first_query_ + kLanes;
    for (std::int64_t begin = 0; begin < end; begin += kKeyBlock) {
      const std::int64_t size = end - begin < kKeyBlock ? end - begin : kKeyBlock;
      start_block(begin);
      weigh(begin, size);
      if (out_of_range(begin == 0)) {
        move_shift(begin == 0);
        weigh(begin, size);
      }
      for (int v = 0; v < vectors; ++v) total_[v] = F::add(total_[v], sum_[v]);
      accumulate(begin, size);
    }
    divide();
  }

 private:
  // The score of a key that is not to be seen: its weight is zero, and no product of it infinite.
  static constexpr float kHidden = -1e30f;
  // Exponents of 2 that need no shift: weights, a million of which are summed times values, stay
  // normal numbers.
  static constexpr float kRange = 64.0f;

  // What scores of this block of keys are multiplied by to be exponents of 2.
  void start_block(std::int64_t begin) {
    for (int v = 0; v < vectors; ++v) {
      scale_[v] = F::load(buffers_.scales + v * F::width);
      if constexpr (Scores::kQuantized) {
        scale_[v] = F::mul(scale_[v], F::splat(head_.key_scales[begin / kKeyBlock]));
      }
    }
  }

  // Turns one block of keys into weights 2^(scale * score - shift), and finds their sums and the
  // largest scores.
  void weigh(std::int64_t begin, std::int64_t size) {
    for (int v = 0; v < vectors; ++v) {
      largest_[v] = F::splat(-__builtin_inff());
      sum_[v] = F::zero();
    }
    const std::int64_t tiles = size / kRows, rest = size % kRows;
    if (tiles > 0) weigh_rows<kRows>(begin, tiles, buffers_.weights);
    if (rest > 0) {
      float* out = buffers_.weights + tiles * (kRows / Dot::kGroup) * kLanes;
      with_count<kRows>(rest, [&](auto count) {
        weigh_rows<decltype(count)::value>(begin + tiles * kRows, 1, out);
      });
    }
  }

  // A function of its own, like add_rows: its sums need all the registers there are.
  template <int rows>
  [[gnu::noinline]] void weigh_rows(std::int64_t key, std::int64_t tiles, float* out) {
    constexpr int kUnits = (rows + Dot::kGroup - 1) / Dot::kGroup;
    for (; tiles > 0; --tiles, key += rows, out += kUnits * kLanes) {
      Vector sum[rows][vectors];
      start_scores(sum);
      const Broadcast keys{head_.keys + key * head_.depth, head_.depth, 1};
      multiply_tile<Scores>(sum, buffers_.queries, kLanes, keys, head_.depth);
      finish_scores(sum);
      if (head_.causal && key + rows > first_query_ + 1) hide_future<rows>(sum, key);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        const Vector offset = offset_[v], scale = scale_[v];
        Vector largest = largest_[v], total = sum_[v];
#pragma GCC unroll 8
        for (int unit = 0; unit < kUnits; ++unit) {
          Vector weights[Dot::kGroup];
#pragma GCC unroll 2
          for (int g = 0; g < Dot::kGroup; ++g) {
            const int r = unit * Dot::kGroup + g;
            weights[g] = F::zero();
            if (r >= rows) continue;
            largest = F::max(largest, sum[r][v]);
            weights[g] = Dot::exp2(F::fma(sum[r][v], scale, offset));
            total = F::add(total, weights[g]);
          }
          F::store(out + unit * kLanes + v * F::width, Dot::pack_weights(weights));
        }
        largest_[v] = largest;
        sum_[v] = total;
      }
    }
  }

  template <int rows>
  [[gnu::always_inline]] inline void start_scores(Vector (&sum)[rows][vectors]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = Scores::kQuantized ? start_[v] : F::zero();
    }
  }

  template <int rows>
  BOOKEND_VERB void finish_scores(Vector (&sum)[rows][vectors]) {
    if constexpr (Scores::kQuantized) {
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[r][v] = Scores::to_float(sum[r][v]);
      }
    }
  }

  // Key k is hidden from queries before k.
  template <int rows>
  [[gnu::always_inline]] inline void hide_future(Vector (&sum)[rows][vectors], std::int64_t key) {
    float index[kLanes];
    for (int i = 0; i < kLanes; ++i) index[i] = static_cast<float>(first_query_ + i);
    for (int v = 0; v < vectors; ++v) {
      for (int r = 0; r < rows; ++r) {
        sum[r][v] = F::select_less(F::load(index + v * F::width),
                                   F::splat(static_cast<float>(key + r)), F::splat(kHidden),
                                   sum[r][v]);
      }
    }
  }

  // Whether the block just weighed needs another shift: scores may lie so high that weights
  // overflow, or in the first block so low that they vanish. Later blocks only add to its weights.
  bool out_of_range(bool first) {
    Vector furthest = F::splat(-__builtin_inff());
    for (int v = 0; v < vectors; ++v) {
      const Vector exponent = F::fma(largest_[v], scale_[v], offset_[v]);
      furthest = F::max(furthest, first ? F::abs(exponent) : exponent);
    }
    return F::reduce_max(furthest) > kRange;
  }

  // Shifts by the largest score yet, and what has been summed with it.
  void move_shift(bool first) {
    for (int v = 0; v < vectors; ++v) {
      const Vector least = F::sub(F::zero(), F::mul(largest_[v], scale_[v]));
      const Vector offset = first ? least : F::min(offset_[v], least);
      const Vector correction = Dot::exp2(F::sub(offset, offset_[v]));
      offset_[v] = offset;
      if (first) continue;
      total_[v] = F::mul(total_[v], correction);
      multiply_sums(v, correction);
    }
  }

  void multiply_sums(int v, Vector factor) {
    for (std::int64_t d = 0; d < head_.dim; ++d) {
      float* sum = buffers_.sums + d * kLanes + v * F::width;
      F::store(sum, F::mul(F::load(sum), factor));
    }
  }

  // sums[d][query] += weights . values for one block of keys.
  void accumulate(std::int64_t begin, std::int64_t size) {
    const float* values = head_.values + begin / Dot::kGroup * head_.dim;
    const std::int64_t steps = (size + Dot::kGroup - 1) / Dot::kGroup;
    for (std::int64_t d = 0; d < head_.dim; d += kRows) {
      with_count<kRows>(head_.dim - d, [&](auto count) {
        add_rows<decltype(count)::value>(values + d, steps, buffers_.sums + d * kLanes, begin == 0);
      });
    }
  }

  // A block is summed on its own before it is added, which keeps the rounding of long sums small.
  template <int rows>
  [[gnu::noinline]] void add_rows(const float* values, std::int64_t steps, float* out, bool first) {
    Vector sum[rows][vectors];
    clear_tile<F>(sum);
    multiply_tile<Dot>(sum, buffers_.weights, kLanes, {values, 1, head_.dim}, steps);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        float* at = out + r * kLanes + v * F::width;
        F::store(at, first ? sum[r][v] : F::add(F::load(at), sum[r][v]));
      }
    }
  }

  void divide() {
    for (int v = 0; v < vectors; ++v) multiply_sums(v, F::div(F::splat(1.0f), total_[v]));
  }

  const AttentionHead& head_;
  const AttentionBuffers& buffers_;
  const std::int64_t first_query_;
  Vector start_[vectors], scale_[vectors];   // of scores: first summand, factor
  Vector offset_[vectors], total_[vectors];  // the negated shift; sums of weights
  Vector largest_[vectors], sum_[vectors];  // of the block
};

}  // namespace
}  // namespace bookend
