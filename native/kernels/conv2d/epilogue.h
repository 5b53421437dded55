// What follows the sums of a tile: scale of integer sums, bias, time-embedding row, activation,
// residual, scale, store.
#pragma once

#include "kernels/conv2d/conv2d.h"
#include "simd/float_math.h"

namespace bookend {
namespace {

// x Phi(x), off by less than 2^-16 |x|: under what quantized inputs are off by anyhow, and at a third
// of gelu's cost, which would be half of a short product's. Phi(t) - 1/2 = t p(t^2) with a minimax fit
// on |t| <= 4.2, beyond which Phi is 0 or 1 to that error.
template <class F>
[[gnu::always_inline]] inline typename F::Vector coarse_gelu(typename F::Vector x) {
  constexpr float kHalfErf[] = {0.3989074230f,     -0.06636036187f,   0.009830122814f,
                                -0.001114145038f,  9.457377746e-5f,   -5.760696240e-6f,
                                2.343625454e-7f,   -5.633146394e-9f,  5.997821684e-11f};
  const auto t = F::min(F::splat(4.2f), F::max(F::splat(-4.2f), x));
  const auto odd = polynomial<F>(F::mul(t, t), kHalfErf);
  return F::mul(x, F::fma(t, odd, F::splat(0.5f)));
}

// A tile of finished sums and where it goes.
template <class Sum>
struct TileOutput {
  const Sum* sums;           // rows x sums_stride
  const Sum* skip_sums;      // of the second source, where its sums are apart; else nullptr
  std::int64_t sums_stride;
  std::int64_t gate_offset;  // geglu: from a value's sum to its gate's
  std::int64_t first_row;    // of the output
  std::int64_t rows;
  std::int64_t first_column;
  std::int64_t columns;
  const float* multipliers[2];  // [out_channels] for each source of integer sums
};

// Stands for an absent bias: adding zeros costs less than asking. As long as a panel is wide.
constexpr float kNoBias[64] = {};

// What makes real numbers of sums before the activation: those of the values, or of geglu's gates.
template <class Sum>
struct Terms {
  const Sum *sums, *skip_sums;                // of the first row
  const float *multiplier, *skip_multiplier;  // of integer sums
  const float *bias, *row_bias;
};

// Columns [c, c + F::width) of the rows, or only the first `count` of them unless `whole`.
template <class F, bool whole>
struct Columns {
  std::int64_t c;
  int count;

  template <class T>
  [[gnu::always_inline]] inline typename F::Vector load(const T* row) const {
    return whole ? F::load(row + c) : F::load_part(row + c, count);
  }
  template <class T>
  [[gnu::always_inline]] inline void store(T* row, typename F::Vector x) const {
    if constexpr (whole) {
      F::store(row + c, x);
    } else {
      F::store_part(row + c, x, count);
    }
  }
};

// The part of Terms that is the same in all rows.
template <class F, class Sum>
struct ColumnTerms;

template <class F>
struct ColumnTerms<F, float> {
  typename F::Vector bias;

  template <bool whole>
  [[gnu::always_inline]] inline ColumnTerms(const Terms<float>& terms,
                                            const Columns<F, whole>& columns)
      : bias(F::add(columns.load(terms.bias), columns.load(terms.row_bias))) {}
  [[gnu::always_inline]] inline typename F::Vector real(const Terms<float>& terms,
                                                        std::int64_t at) const {
    return F::add(F::load(terms.sums + at), bias);
  }
  BOOKEND_VERB typename F::Vector gelu(typename F::Vector x) { return bookend::gelu<F>(x); }
};

template <class F>
struct ColumnTerms<F, std::int32_t> {
  typename F::Vector bias, multiplier, skip_multiplier;

  template <bool whole>
  [[gnu::always_inline]] inline ColumnTerms(const Terms<std::int32_t>& terms,
                                            const Columns<F, whole>& columns)
      : bias(F::add(columns.load(terms.bias), columns.load(terms.row_bias))),
        multiplier(columns.load(terms.multiplier)),
        skip_multiplier(terms.skip_sums != nullptr ? columns.load(terms.skip_multiplier)
                                                   : F::zero()) {}
  [[gnu::always_inline]] inline typename F::Vector real(const Terms<std::int32_t>& terms,
                                                        std::int64_t at) const {
    auto x = bias;
    if (terms.skip_sums != nullptr) x = F::fma(F::load(terms.skip_sums + at), skip_multiplier, x);
    return F::fma(F::load(terms.sums + at), multiplier, x);
  }
  BOOKEND_VERB typename F::Vector gelu(typename F::Vector x) { return coarse_gelu<F>(x); }
};

// Consecutive rows with the same row_bias, and where they go; a pointer is nullptr where the problem does
// without it.
template <class Output, class Sum>
struct Rows {
  std::int64_t count;
  std::int64_t sums_stride, out_stride;
  Terms<Sum> values, gates;
  const Output* residual;
  Output* out;
  std::uint8_t* quantized;
};

template <class F>
struct Scales {
  typename F::Vector output, quantize, zero;
};

// Column by column, since what the rows share stays in registers then.
template <class F, class Output, Activation activation, class Sum, bool whole>
[[gnu::always_inline]] inline void finish_columns(const Rows<Output, Sum>& rows,
                                                  const Scales<F>& scales,
                                                  const Columns<F, whole>& columns) {
  constexpr bool paired = activation == Activation::geglu;
  const ColumnTerms<F, Sum> values(rows.values, columns);
  const ColumnTerms<F, Sum> gates(paired ? rows.gates : rows.values, columns);
  for (std::int64_t r = 0; r < rows.count; ++r) {
    const std::int64_t at = r * rows.sums_stride + columns.c, to = r * rows.out_stride;
    auto x = values.real(rows.values, at);
    if constexpr (paired) {
      x = F::mul(x, gates.gelu(gates.real(rows.gates, at)));
    } else if constexpr (activation == Activation::gelu) {
      x = values.gelu(x);
    } else {
      x = activate<F, activation>(x);
    }
    if (rows.residual != nullptr) x = F::add(x, columns.load(rows.residual + to));
    x = F::mul(x, scales.output);
    if (rows.out != nullptr) columns.store(rows.out + to, x);
    if (rows.quantized != nullptr) {
      columns.store(rows.quantized + to, F::fma(x, scales.quantize, scales.zero));
    }
  }
}

// Terms of rows `r` onwards.
template <class Sum>
[[gnu::always_inline]] inline Terms<Sum> value_terms(const Conv2dProblem& problem,
                                                     const Conv2dOperands& operands,
                                                     const TileOutput<Sum>& tile, std::int64_t r,
                                                     std::int64_t image) {
  const std::int64_t at = r * tile.sums_stride, column = tile.first_column;
  Terms<Sum> terms{tile.sums + at, nullptr, nullptr, nullptr, kNoBias, kNoBias};
  if (tile.multipliers[0] != nullptr) terms.multiplier = tile.multipliers[0] + column;
  if (tile.skip_sums != nullptr) {
    terms.skip_sums = tile.skip_sums + at;
    terms.skip_multiplier = tile.multipliers[1] + column;
  }
  if (problem.has_bias) terms.bias = operands.bias + column;
  if (problem.has_row_bias) {
    terms.row_bias = operands.row_bias + image * problem.out_channels + column;
  }
  return terms;
}

template <class Sum>
[[gnu::always_inline]] inline Terms<Sum> gate_terms(const Conv2dProblem& problem,
                                                    const TileOutput<Sum>& tile, Terms<Sum> terms) {
  const std::int64_t channels = problem.out_columns();
  terms.sums += tile.gate_offset;
  if (terms.multiplier != nullptr) terms.multiplier += channels;
  if (terms.skip_sums != nullptr) {
    terms.skip_sums += tile.gate_offset;
    terms.skip_multiplier += channels;
  }
  if (problem.has_bias) terms.bias += channels;
  if (problem.has_row_bias) terms.row_bias += channels;
  return terms;
}

template <class F, class Output, Activation activation, class Sum>
void finish_tile(const Conv2dProblem& problem, const Conv2dOperands& operands,
                 const TileOutput<Sum>& tile) {
  const Scales<F> scales{F::splat(problem.output_scale), F::splat(1.0f / problem.quantize_scale),
                         F::splat(problem.quantize_zero)};
  const std::int64_t pixels = problem.out_height * problem.out_width;
  const std::int64_t whole = tile.columns / F::width * F::width;
  const int rest = static_cast<int>(tile.columns - whole);
  for (std::int64_t r = 0; r < tile.rows;) {
    const std::int64_t first = tile.first_row + r;
    Rows<Output, Sum> rows{};
    rows.count = tile.rows - r;
    std::int64_t image = 0;  // matters to row_bias alone
    if (problem.has_row_bias) {
      image = first / pixels;
      const std::int64_t rest_of_image = (image + 1) * pixels - first;
      if (rest_of_image < rows.count) rows.count = rest_of_image;
    }
    rows.sums_stride = tile.sums_stride;
    rows.out_stride = problem.out_columns();
    rows.values = value_terms(problem, operands, tile, r, image);
    rows.gates = gate_terms(problem, tile, rows.values);
    const std::int64_t at = first * rows.out_stride + tile.first_column;
    if (problem.has_residual) rows.residual = static_cast<const Output*>(operands.residual) + at;
    if (problem.store != Store::quantized) rows.out = static_cast<Output*>(operands.out) + at;
    if (problem.store != Store::floating) rows.quantized = operands.quantized + at;
    for (std::int64_t c = 0; c < whole; c += F::width) {
      finish_columns<F, Output, activation>(rows, scales, Columns<F, true>{c, F::width});
    }
    if (rest != 0) {
      finish_columns<F, Output, activation>(rows, scales, Columns<F, false>{whole, rest});
    }
    r += rows.count;
  }
}

template <class Sum>
using FinishTile = void (*)(const Conv2dProblem&, const Conv2dOperands&, const TileOutput<Sum>&);

template <class F, class Output, class Sum>
FinishTile<Sum> select_finish_as(Activation activation) {
  switch (activation) {
    case Activation::none:
      return finish_tile<F, Output, Activation::none, Sum>;
    case Activation::silu:
      return finish_tile<F, Output, Activation::silu, Sum>;
    case Activation::gelu:
      return finish_tile<F, Output, Activation::gelu, Sum>;
    case Activation::gelu_tanh:
      return finish_tile<F, Output, Activation::gelu_tanh, Sum>;
    case Activation::quick_gelu:
      return finish_tile<F, Output, Activation::quick_gelu, Sum>;
    case Activation::relu:
      return finish_tile<F, Output, Activation::relu, Sum>;
    case Activation::geglu:
      return finish_tile<F, Output, Activation::geglu, Sum>;
  }
  __builtin_unreachable();
}

template <class F, class Sum>
FinishTile<Sum> select_finish(const Conv2dProblem& problem) {
  return problem.output == DType::f32 ? select_finish_as<F, float, Sum>(problem.activation)
                                      : select_finish_as<F, Bf16, Sum>(problem.activation);
}

}  // namespace
}  // namespace bookend
