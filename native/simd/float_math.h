// Elementary functions over the float verbs F: exp, sigmoid, tanh and the activations. Call them as
// exp<F>(x). Unless said otherwise errors are a few units in the last place of f32 over the whole
// range, NaN gives NaN and infinities give their limits.
#pragma once

#include "base/types.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

// Horner's scheme: c[0] + c[1] x + ... + c[n - 1] x^(n - 1).
template <class F, int n>
BOOKEND_VERB typename F::Vector polynomial(typename F::Vector x, const float (&c)[n]) {
  typename F::Vector sum = F::splat(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; --i) sum = F::fma(sum, x, F::splat(c[i]));
  return sum;
}

// e^x = 2^n e^r with n = round(x / ln 2); the polynomial is the minimax fit of e^r in relative
// error (1.9e-9) on |r| <= ln(2) / 2, ln 2 being subtracted in two parts after Cody and Waite.
// Denormal results are produced, up to a double rounding.
template <class F>
BOOKEND_VERB typename F::Vector exp(typename F::Vector x) {
  constexpr float kExp[] = {1.0f,          1.0f,          0.4999999106f,  0.1666641980f,
                            0.04166823253f, 0.008374898694f, 0.001383674214f};
  const auto clamped = F::min(F::splat(89.0f), F::max(F::splat(-104.0f), x));
  const auto n = F::round(F::mul(clamped, F::splat(1.44269504f)));
  auto r = F::fnma(n, F::splat(0.693359375f), clamped);
  r = F::fnma(n, F::splat(-2.12194440e-4f), r);
  return F::scale_by_power(polynomial<F>(r, kExp), n);
}

// 2^x likewise, for x below 128; below 2^-126 zero or denormal.
template <class F>
BOOKEND_VERB typename F::Vector exp2(typename F::Vector x) {
  constexpr float kExp2[] = {1.0f,           0.6931471825f,   0.2402264625f,  0.05550328642f,
                             0.009618489072f, 0.001339993090f, 0.0001534581243f};
  const auto clamped = F::max(F::splat(-150.0f), x);
  const auto n = F::round(clamped);
  return F::scale_by_power(polynomial<F>(F::sub(clamped, n), kExp2), n);
}

template <class F>
BOOKEND_VERB typename F::Vector sigmoid(typename F::Vector x) {
  return F::div(F::splat(1.0f), F::add(F::splat(1.0f), exp<F>(F::sub(F::zero(), x))));
}

template <class F>
BOOKEND_VERB typename F::Vector silu(typename F::Vector x) {
  return F::div(x, F::add(F::splat(1.0f), exp<F>(F::sub(F::zero(), x))));
}

// x sigmoid(1.702 x), of Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415.
template <class F>
BOOKEND_VERB typename F::Vector quick_gelu(typename F::Vector x) {
  return F::div(x, F::add(F::splat(1.0f), exp<F>(F::mul(F::splat(-1.702f), x))));
}

// max(0, x); NaN stays NaN, since F::max returns its second operand then.
template <class F>
BOOKEND_VERB typename F::Vector relu(typename F::Vector x) {
  return F::max(F::zero(), x);
}

// Phi(-a), the tail of the normal distribution, for 0 <= a <= 14.5: exp(-a^2 / 2) g(t) with t
// = 1 / (1 + 0.35 a), the form of Abramowitz and Stegun, "Handbook of Mathematical Functions",
// 26.2.17; g is a minimax fit of degree 9 in relative error (2.8e-8). The rounding error of a^2 is
// carried into the result.
template <class F>
BOOKEND_VERB typename F::Vector normal_tail(typename F::Vector a) {
  constexpr float kTail[] = {-1.4546320699e-6f, 0.1396535933f,   0.1395615190f,  0.1213858351f,
                             0.1005917788f,     -0.01319765951f, 0.1464026719f,  -0.2455391437f,
                             0.1394082010f,     -0.02826536261f};
  const auto t = F::div(F::splat(1.0f), F::fma(F::splat(0.35f), a, F::splat(1.0f)));
  const auto square = F::mul(a, a);
  const auto lost = F::fma(a, a, F::sub(F::zero(), square));
  const auto decay = exp<F>(F::mul(F::splat(-0.5f), square));
  const auto corrected = F::fnma(F::mul(F::splat(0.5f), lost), decay, decay);
  return F::mul(corrected, polynomial<F>(t, kTail));
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|), which cancels nowhere; beyond 14.5 the product is below the
// smallest float.
template <class F>
BOOKEND_VERB typename F::Vector gelu(typename F::Vector x) {
  const auto a = F::min(F::splat(14.5f), F::abs(x));
  return F::fnma(a, normal_tail<F>(a), F::max(F::zero(), x));
}

// The Taylor series to x^13 below 0.5, where it ends at 1e-9 of the sum; beyond, 1 - 2 Phi(-sqrt(2)
// |x|) with the sign of x.
template <class F>
BOOKEND_VERB typename F::Vector erf(typename F::Vector x) {
  constexpr float kErf[] = {1.12837917f,      -0.376126389f,     0.112837917f,    -0.0268661706f,
                            0.00522397762f, -0.000854832702f, 0.000120553329f};
  const auto small = F::mul(x, polynomial<F>(F::mul(x, x), kErf));
  const auto a = F::min(F::splat(14.5f), F::mul(F::splat(1.41421356f), F::abs(x)));
  const auto large = F::fnma(F::splat(2.0f), normal_tail<F>(a), F::splat(1.0f));
  const auto signed_large =
      F::select_less(x, F::zero(), F::sub(F::zero(), large), large);
  return F::select_less(F::abs(x), F::splat(0.5f), small, signed_large);
}

// x / 2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): arXiv 1606.08415.
template <class F>
BOOKEND_VERB typename F::Vector gelu_tanh(typename F::Vector x) {
  const auto inner = F::fma(F::mul(F::splat(0.044715f), x), F::mul(x, x), x);
  const auto u = F::mul(F::splat(-1.5957691216f), inner);
  return F::div(x, F::add(F::splat(1.0f), exp<F>(u)));
}

// Odd polynomial of Cephes' tanhf (Moshier, netlib) below 0.625, else 1 - 2 / (e^2x + 1).
template <class F>
BOOKEND_VERB typename F::Vector tanh(typename F::Vector x) {
  constexpr float kTanh[] = {-3.33332819422e-1f, 1.33314422036e-1f, -5.37397155531e-2f,
                             2.06390887954e-2f, -5.70498872745e-3f};
  const auto square = F::mul(x, x);
  const auto small = F::fma(F::mul(polynomial<F>(square, kTanh), square), x, x);
  const auto grown = F::add(exp<F>(F::add(x, x)), F::splat(1.0f));
  const auto large = F::sub(F::splat(1.0f), F::div(F::splat(2.0f), grown));
  return F::select_less(F::abs(x), F::splat(0.625f), small, large);
}

// The pointwise part of an epilogue; geglu is the caller's, since it pairs columns.
template <class F, Activation activation>
BOOKEND_VERB typename F::Vector activate(typename F::Vector x) {
  if constexpr (activation == Activation::silu) return silu<F>(x);
  if constexpr (activation == Activation::gelu) return gelu<F>(x);
  if constexpr (activation == Activation::gelu_tanh) return gelu_tanh<F>(x);
  if constexpr (activation == Activation::quick_gelu) return quick_gelu<F>(x);
  if constexpr (activation == Activation::relu) return relu<F>(x);
  return x;
}

}  // namespace
}  // namespace bookend
