// One block of queries against all keys of its head: the backward pass of Dao et al.,
// "FlashAttention", arXiv 2205.14135, appendix B.2. Keys lie in the lanes, so that scores, the
// gradients of probabilities, dK and dV are sums over lanes that nobody has to add up, and queries
// are broadcast; only dQ has its channels in the lanes. Softmax weights of the block are computed
// once, for their sums, and kept until the second pass over the keys.
#pragma once

#include <cstdint>

#include "kernels/attention/tile_product.h"
#include "simd/lanes.h"

namespace bookend {
namespace {

// A head, packed. Units are described in float_dot.h; a tile is kLanes keys, those of the last that
// do not exist being zero.
struct PackedHead {
  const float* keys;      // [tile][depth][lanes] units of a key's successive channels
  const float* values;    // the same of values
  const float* key_rows;  // [keys / group][dim_lanes] units of successive keys
  float* key_sums;        // dK: [tile][dim_rows][lanes]
  float* value_sums;      // dV: [tile][dim_rows][lanes]
};

// Sizes of a head: head_dim in units, in whole rows of a tile and in whole vectors.
struct HeadShape {
  std::int64_t keys, depth, dim_rows, dim_lanes;
  bool causal;
};

// Buffers of one worker, for a block of queries; rows beyond its queries are zero.
struct BlockBuffers {
  float* queries;        // [row][depth] units of successive channels
  float* gradients;      // [row][depth], of dO
  float* query_rows;     // [dim_rows / kRows][row / group][kRows] units of successive queries
  float* gradient_rows;  // the same of dO
  float* weights;        // [tile][row][lanes]
  float* probabilities;  // [row / group][lanes] units of successive queries, of one tile
  float* scores;         // [row / group][lanes], of dS
  float* score_rows;     // [row][lanes / group] units of successive keys, of dS
  float* query_sums;     // dQ: [row][dim_lanes]
  float* largest;        // [row][F::width]: of the scores
  float* total;          // [row][F::width]: sums of weights
  float* offset;         // [row]: added to exponents of 2
  float* inverse;        // [row]: 1 / sum of weights, 0 beyond the queries
  float* shift;          // [row]: sum(dO O)
  float* row;            // [dim_rows], to pack with
};

template <class Dot, int kRows, int kVectors>
class GradientBlock {
 public:
  using F = typename Dot::F;
  using Vector = typename F::Vector;
  static constexpr int kLanes = kVectors * F::width;
  static_assert(kRows % Dot::kGroup == 0 && kLanes % Dot::kGroup == 0);

  // `rows` of the buffers, a multiple of kRows, hold queries from `first_query` of the head on, of
  // which `queries` exist. Scores times `scale` are exponents of 2.
  GradientBlock(const HeadShape& shape, const PackedHead& head, const BlockBuffers& buffers,
                std::int64_t first_query, std::int64_t queries, std::int64_t rows, float scale)
      : shape_(shape), head_(head), buffers_(buffers), first_query_(first_query),
        queries_(queries), rows_(rows), scale_(scale) {}

  // How many tiles of keys queries before `end` see.
  static std::int64_t visible_tiles(const HeadShape& shape, std::int64_t end) {
    const std::int64_t keys = shape.causal && end < shape.keys ? end : shape.keys;
    return (keys + kLanes - 1) / kLanes;
  }

  // Fills buffers.query_sums, and adds to the sums of keys and values; those of tiles from
  // `untouched` on are set instead.
  void run(std::int64_t untouched) {
    const std::int64_t tiles = visible_tiles(shape_, first_query_ + queries_);
    for (std::int64_t r = 0; r < rows_; ++r) buffers_.offset[r] = 0.0f;
    weigh_all(tiles);
    if (out_of_range()) {
      for (std::int64_t r = 0; r < rows_; ++r) {
        buffers_.offset[r] = -scale_ * F::reduce_max(F::load(buffers_.largest + r * F::width));
      }
      weigh_all(tiles);
    }
    for (std::int64_t r = 0; r < rows_; ++r) {
      const float total = F::reduce_add(F::load(buffers_.total + r * F::width));
      buffers_.inverse[r] = r < queries_ ? 1.0f / total : 0.0f;
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      with_count<kVectors>(vectors_of(tile), [&](auto count) {
        constexpr int vectors = decltype(count)::value;
        differentiate<vectors>(tile);
        add_keys<vectors>(tile, tile >= untouched);
      });
      add_queries(tile);
    }
  }

 private:
  // The score of a key that is not to be seen: its weight is zero, and no product of it infinite.
  static constexpr float kHidden = -1e30f;
  // Exponents of 2 that need no offset, as in forward attention.
  static constexpr float kRange = 64.0f;

  std::int64_t vectors_of(std::int64_t tile) const {
    const std::int64_t left = shape_.keys - tile * kLanes;
    return left < kLanes ? (left + F::width - 1) / F::width : kVectors;
  }

  void weigh_all(std::int64_t tiles) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      F::store(buffers_.largest + r * F::width, F::splat(-__builtin_inff()));
      F::store(buffers_.total + r * F::width, F::zero());
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      with_count<kVectors>(vectors_of(tile),
                           [&](auto count) { weigh<decltype(count)::value>(tile); });
    }
  }

  bool out_of_range() const {
    for (std::int64_t r = 0; r < queries_; ++r) {
      const float exponent = scale_ * F::reduce_max(F::load(buffers_.largest + r * F::width));
      if (exponent > kRange || exponent < -kRange) return true;
    }
    return false;
  }

  // Weights 2^(scale * score + offset) of one tile, their sums and the largest scores.
  template <int vectors>
  [[gnu::noinline]] void weigh(std::int64_t tile) {
    constexpr int lanes = vectors * F::width;
    const float* keys = head_.keys + tile * shape_.depth * kLanes;
    const std::int64_t first_key = tile * kLanes;
    const bool hides = first_key + lanes > (shape_.causal ? first_query_ + 1 : shape_.keys);
    float* out = buffers_.weights + tile * rows_ * kLanes;
    for (std::int64_t row = 0; row < rows_; row += kRows, out += kRows * lanes) {
      Vector sum[kRows][vectors];
      clear_tile<F>(sum);
      const Broadcast queries{buffers_.queries + row * shape_.depth, shape_.depth, 1};
      multiply_tile<Dot>(sum, keys, lanes, queries, shape_.depth);
      if (hides) hide(sum, first_key, row);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        float* const largest_at = buffers_.largest + (row + r) * F::width;
        float* const total_at = buffers_.total + (row + r) * F::width;
        const Vector scale = F::splat(scale_), offset = F::splat(buffers_.offset[row + r]);
        Vector largest = F::load(largest_at), total = F::load(total_at);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          largest = F::max(largest, sum[r][v]);
          const Vector weight = Dot::exp2(F::fma(sum[r][v], scale, offset));
          total = F::add(total, weight);
          F::store(out + r * lanes + v * F::width, weight);
        }
        F::store(largest_at, largest);
        F::store(total_at, total);
      }
    }
  }

  // Hides keys beyond the last, and in the causal form beyond the query.
  template <int vectors>
  void hide(Vector (&sum)[kRows][vectors], std::int64_t first_key, std::int64_t row) {
    float index[kLanes];
    for (int i = 0; i < kLanes; ++i) index[i] = static_cast<float>(first_key + i);
    for (int r = 0; r < kRows; ++r) {
      std::int64_t last = shape_.keys - 1;
      if (shape_.causal && first_query_ + row + r < last) last = first_query_ + row + r;
      for (int v = 0; v < vectors; ++v) {
        sum[r][v] = F::select_less(F::splat(static_cast<float>(last)),
                                   F::load(index + v * F::width), F::splat(kHidden), sum[r][v]);
      }
    }
  }

  // P and dS = P (dO V^T - shift) of one tile.
  template <int vectors>
  [[gnu::noinline]] void differentiate(std::int64_t tile) {
    constexpr int lanes = vectors * F::width;
    constexpr int kUnits = kRows / Dot::kGroup;
    const float* values = head_.values + tile * shape_.depth * kLanes;
    const float* weights = buffers_.weights + tile * rows_ * kLanes;
    float *probabilities = buffers_.probabilities, *scores = buffers_.scores;
    for (std::int64_t row = 0; row < rows_; row += kRows) {
      Vector sum[kRows][vectors];
      clear_tile<F>(sum);
      const Broadcast gradients{buffers_.gradients + row * shape_.depth, shape_.depth, 1};
      multiply_tile<Dot>(sum, values, lanes, gradients, shape_.depth);
#pragma GCC unroll 8
      for (int unit = 0; unit < kUnits; ++unit) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          Vector p[Dot::kGroup], s[Dot::kGroup];
#pragma GCC unroll 2
          for (int g = 0; g < Dot::kGroup; ++g) {
            const std::int64_t r = row + unit * Dot::kGroup + g;
            p[g] = F::mul(F::load(weights + r * lanes + v * F::width),
                          F::splat(buffers_.inverse[r]));
            const Vector centred =
                F::sub(sum[unit * Dot::kGroup + g][v], F::splat(buffers_.shift[r]));
            s[g] = F::mul(p[g], centred);
            store_score_row<lanes>(r, v, s[g]);
          }
          F::store(probabilities + unit * lanes + v * F::width, Dot::pack_weights(p));
          F::store(scores + unit * lanes + v * F::width, Dot::pack_weights(s));
        }
      }
      probabilities += kUnits * lanes;
      scores += kUnits * lanes;
    }
  }

  // Where a unit is one number, scores and score_rows are the same.
  template <int lanes>
  [[gnu::always_inline]] inline void store_score_row(std::int64_t row, int v, Vector x) {
    if constexpr (Dot::kGroup == 2) {
      F::store(reinterpret_cast<Bf16*>(buffers_.score_rows) + row * lanes + v * F::width, x);
    }
  }

  // dV += P^T dO and dK += dS^T Q of one tile.
  template <int vectors>
  void add_keys(std::int64_t tile, bool first) {
    constexpr int lanes = vectors * F::width;
    const std::int64_t at = tile * shape_.dim_rows * kLanes, steps = rows_ / Dot::kGroup;
    const Broadcast gradients{buffers_.gradient_rows, 1, kRows};
    const std::int64_t strip = steps * kRows;
    const Product of_values{buffers_.probabilities, lanes, gradients, steps, strip};
    add<vectors>(of_values, shape_.dim_rows, head_.value_sums + at, lanes, first);
    const Broadcast queries{buffers_.query_rows, 1, kRows};
    const Product of_keys{buffers_.scores, lanes, queries, steps, strip};
    add<vectors>(of_keys, shape_.dim_rows, head_.key_sums + at, lanes, first);
  }

  // dQ += dS K over one tile: its channels in the fewest, evenly wide strips.
  void add_queries(std::int64_t tile) {
    const std::int64_t steps = vectors_of(tile) * F::width / Dot::kGroup;
    const float* keys = head_.key_rows + tile * (kLanes / Dot::kGroup) * shape_.dim_lanes;
    const Broadcast scores{buffers_.score_rows, steps, 1};
    std::int64_t left = shape_.dim_lanes / F::width;
    for (std::int64_t at = 0; left > 0;) {
      const std::int64_t strips = (left + kVectors - 1) / kVectors;
      const std::int64_t wide = (left + strips - 1) / strips;
      const Product product{keys + at, shape_.dim_lanes, scores, steps, kRows * steps};
      with_count<kVectors>(wide, [&](auto count) {
        add<decltype(count)::value>(product, rows_, buffers_.query_sums + at, shape_.dim_lanes,
                                    tile == 0);
      });
      at += wide * F::width;
      left -= wide;
    }
  }

  struct Product {
    const float* lanes;
    std::int64_t lane_stride;
    Broadcast factor;
    std::int64_t steps;
    std::int64_t next;  // from the factor of one kRows rows to the next
  };

  // out[r][v] += product, over all rows. A tile is summed on its own before it is added, which keeps
  // the rounding of long sums small.
  template <int vectors>
  [[gnu::noinline]] static void add(const Product& product, std::int64_t rows, float* out,
                                    std::int64_t out_stride, bool first) {
    Broadcast factor = product.factor;
    for (std::int64_t row = 0; row < rows; row += kRows) {
      Vector sum[kRows][vectors];
      clear_tile<F>(sum);
      multiply_tile<Dot>(sum, product.lanes, product.lane_stride, factor, product.steps);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
          float* at = out + (row + r) * out_stride + v * F::width;
          F::store(at, first ? sum[r][v] : F::add(F::load(at), sum[r][v]));
        }
      }
      factor.first += product.next;
    }
  }

  const HeadShape& shape_;
  const PackedHead& head_;
  const BlockBuffers& buffers_;
  const std::int64_t first_query_, queries_, rows_;
  const float scale_;
};

}  // namespace
}  // namespace bookend
