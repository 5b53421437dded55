// One tile of queries against all keys of its head, after Dao et al., "FlashAttention", arXiv
// 2205.14135, with online softmax (Milakov and Gimelshein, arXiv 1805.02867). Everything is held
// transposed: `vectors` SIMD vectors of queries lie in the lanes, keys and values are broadcast. So
// maxima and sums over keys are plain vector operations, and neither keys nor head_dim are padded.
#pragma once

#include <cstdint>

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
  float log2_scale;  // scores are multiplied by it and are then exponents of 2
  bool causal;
};

// Buffers of one worker, for kLanes queries.
struct AttentionBuffers {
  float* queries;  // [depth][lanes] units
  float* scores;   // [kKeyBlock][lanes], then softmax weights in units
  float* sums;     // [dim][lanes]
};

template <int n>
struct Count {
  static constexpr int value = n;
};

// Calls body(Count<rows>{}) for 1 <= rows <= most.
template <int most, class Body>
BOOKEND_VERB void with_count(std::int64_t rows, const Body& body) {
  if constexpr (most > 1) {
    if (rows < most) return with_count<most - 1>(rows, body);
  }
  body(Count<most>{});
}

template <class Dot, int kRows, int vectors>
class AttentionTile {
 public:
  using F = typename Dot::F;
  using Vector = typename F::Vector;
  static constexpr int kLanes = vectors * F::width;
  // Scores of a block stay in L1 beside keys and values; a multiple of kRows and of the keys in a
  // unit.
  static constexpr std::int64_t kKeyBlock = 48;
  static_assert(kKeyBlock % kRows == 0 && kKeyBlock % Dot::kGroup == 0);

  // `first_query` counts from the first query of the head.
  AttentionTile(const AttentionHead& head, const AttentionBuffers& buffers,
                std::int64_t first_query)
      : head_(head), buffers_(buffers), first_query_(first_query) {}

  // Fills buffers.sums with softmax(scores) V, transposed.
  void run() {
    for (int v = 0; v < vectors; ++v) {
      largest_[v] = F::splat(-__builtin_inff());
      total_[v] = F::zero();
    }
    std::int64_t end = head_.key_count;
    if (head_.causal && end > first_query_ + kLanes) end = first_query_ + kLanes;
    for (std::int64_t begin = 0; begin < end; begin += kKeyBlock) {
      const std::int64_t size = end - begin < kKeyBlock ? end - begin : kKeyBlock;
      Vector largest[vectors], correction[vectors];
      for (int v = 0; v < vectors; ++v) largest[v] = largest_[v];
      score(begin, size, largest);
      if (head_.causal && begin + size > first_query_ + 1) hide_future(begin, size, largest);
      weigh(size, largest, correction);
      accumulate(begin, size, correction);
    }
    divide();
  }

 private:
  // The score of a key that is not to be seen: finite, so that a difference of two is.
  static constexpr float kHidden = -1e30f;

  template <int rows>
  BOOKEND_VERB void clear(Vector (&sum)[rows][vectors]) {
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = F::zero();
    }
  }

  // sum[r][v] += lanes[step][v] * broadcast[r * row_stride + step * step_stride] over all steps.
  template <int rows>
  BOOKEND_VERB void multiply(Vector (&sum)[rows][vectors], const float* lanes,
                             const float* broadcast, std::int64_t row_stride,
                             std::int64_t step_stride, std::int64_t steps) {
    for (std::int64_t step = 0; step < steps; ++step) {
      Vector a[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) a[v] = F::hold(F::load(lanes + v * F::width));
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) {
        const Vector b = F::splat(broadcast[r * row_stride]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[r][v] = Dot::multiply_add(sum[r][v], a[v], b);
      }
      lanes += kLanes;
      broadcast += step_stride;
    }
  }

  // scores[key][query] = k . q for one block of keys; raises `largest` to them.
  void score(std::int64_t begin, std::int64_t size, Vector (&largest)[vectors]) {
    for (std::int64_t key = 0; key < size; key += kRows) {
      with_count<kRows>(size - key, [&](auto count) {
        score_rows<decltype(count)::value>(head_.keys + (begin + key) * head_.depth,
                                           buffers_.scores + key * kLanes, largest);
      });
    }
  }

  // A function of its own, like add_rows: its sums need all the registers there are.
  template <int rows>
  [[gnu::noinline]] void score_rows(const float* keys, float* out, Vector (&largest)[vectors]) {
    Vector sum[rows][vectors];
    clear(sum);
    multiply<rows>(sum, buffers_.queries, keys, head_.depth, 1, head_.depth);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        F::store(out + r * kLanes + v * F::width, sum[r][v]);
        largest[v] = F::max(largest[v], sum[r][v]);
      }
    }
  }

  // Key k is hidden from queries before k. What is hidden must not count among the largest either.
  void hide_future(std::int64_t begin, std::int64_t size, Vector (&largest)[vectors]) {
    float index[kLanes];
    for (int i = 0; i < kLanes; ++i) index[i] = static_cast<float>(first_query_ + i);
    for (int v = 0; v < vectors; ++v) largest[v] = largest_[v];
    for (std::int64_t key = 0; key < size; ++key) {
      float* row = buffers_.scores + key * kLanes;
      const Vector now = F::splat(static_cast<float>(begin + key));
      for (int v = 0; v < vectors; ++v) {
        const int lane = v * F::width;
        const Vector score = F::select_less(F::load(index + lane), now, F::splat(kHidden),
                                            F::load(row + lane));
        F::store(row + lane, score);
        largest[v] = F::max(largest[v], score);
      }
    }
  }

  // Completes the last unit of an odd number of keys.
  void hide_key(std::int64_t key) {
    for (int v = 0; v < vectors; ++v) {
      F::store(buffers_.scores + key * kLanes + v * F::width, F::splat(kHidden));
    }
  }

  // Turns the block's scores into unnormalised weights 2^(score - largest), in place, and says by
  // what the sums so far must be multiplied, since `largest` may have grown.
  void weigh(std::int64_t size, const Vector (&largest)[vectors], Vector (&correction)[vectors]) {
    const Vector scale = F::splat(head_.log2_scale);
    Vector offset[vectors], sum[vectors];
    for (int v = 0; v < vectors; ++v) {
      correction[v] = Dot::exp2(F::mul(F::sub(largest_[v], largest[v]), scale));
      offset[v] = F::sub(F::zero(), F::mul(largest[v], scale));
      largest_[v] = largest[v];
      sum[v] = F::zero();
    }
    if (size % Dot::kGroup != 0) hide_key(size);
    for (std::int64_t key = 0; key < size; key += Dot::kGroup) {
      float* row = buffers_.scores + key * kLanes;
      float* out = buffers_.scores + key / Dot::kGroup * kLanes;
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        Vector weights[Dot::kGroup];
#pragma GCC unroll 2
        for (int g = 0; g < Dot::kGroup; ++g) {
          const Vector x = F::load(row + g * kLanes + v * F::width);
          weights[g] = Dot::exp2(F::fma(x, scale, offset[v]));
          sum[v] = F::add(sum[v], weights[g]);
        }
        F::store(out + v * F::width, Dot::pack_weights(weights));
      }
    }
    for (int v = 0; v < vectors; ++v) total_[v] = F::fma(total_[v], correction[v], sum[v]);
  }

  // sums[d][query] = sums * correction + weights . values for one block of keys.
  void accumulate(std::int64_t begin, std::int64_t size, const Vector (&correction)[vectors]) {
    const float* values = head_.values + begin / Dot::kGroup * head_.dim;
    const std::int64_t steps = (size + Dot::kGroup - 1) / Dot::kGroup;
    for (std::int64_t d = 0; d < head_.dim; d += kRows) {
      with_count<kRows>(head_.dim - d, [&](auto count) {
        add_rows<decltype(count)::value>(values + d, steps, buffers_.sums + d * kLanes, correction,
                                         begin == 0);
      });
    }
  }

  // A block is summed on its own before it is added, which keeps the rounding of long sums small.
  template <int rows>
  [[gnu::noinline]] void add_rows(const float* values, std::int64_t steps, float* out,
                                  const Vector (&correction)[vectors], bool first) {
    Vector sum[rows][vectors];
    clear(sum);
    multiply<rows>(sum, buffers_.scores, values, 1, head_.dim, steps);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        float* at = out + r * kLanes + v * F::width;
        F::store(at, first ? sum[r][v] : F::fma(F::load(at), correction[v], sum[r][v]));
      }
    }
  }

  void divide() {
    for (int v = 0; v < vectors; ++v) total_[v] = F::div(F::splat(1.0f), total_[v]);
    for (std::int64_t d = 0; d < head_.dim; ++d) {
      for (int v = 0; v < vectors; ++v) {
        float* sum = buffers_.sums + d * kLanes + v * F::width;
        F::store(sum, F::mul(F::load(sum), total_[v]));
      }
    }
  }

  const AttentionHead& head_;
  const AttentionBuffers& buffers_;
  const std::int64_t first_query_;
  Vector largest_[vectors], total_[vectors];
};

}  // namespace
}  // namespace bookend
