// The probe's loop over the verbs of the register micro-kernel.
#pragma once

#include <cstdint>

#include "base/types.h"
#include "dispatch/isa.h"

namespace bookend {

struct Probe {
  Isa isa;
  DType type;
  double flops_per_iteration;
  // Runs `iterations`; the result only keeps the compiler from leaving the work out.
  float (*burn)(std::int64_t iterations);
};

namespace {

// As many independent sums as the micro-kernel has, so that latency is hidden as well as it can be.
template <class Verbs>
float burn(std::int64_t iterations) {
  constexpr int kSums = Verbs::kRows * Verbs::kVectors;
  constexpr int kElements = Verbs::kWidth * Verbs::kPack;
  static volatile float seed = 1.0f;
  typename Verbs::Element elements[kElements] = {};
  typename Verbs::Sum lanes[Verbs::kWidth];
  typename Verbs::Vector sums[kSums];
#pragma GCC unroll 32
  for (int i = 0; i < kSums; ++i) {
    for (int lane = 0; lane < Verbs::kWidth; ++lane) {
      lanes[lane] = static_cast<typename Verbs::Sum>(seed) + i;
    }
    sums[i] = Verbs::load(lanes);
  }
  // Behind a barrier, so that the zeros are unknown to the compiler.
  const typename Verbs::Element* hidden = elements;
  asm volatile("" : "+r"(hidden) : : "memory");
  const auto w = Verbs::template weights<0>(hidden);
  const auto a = Verbs::template broadcast<0>(hidden);
  for (std::int64_t i = 0; i < iterations; ++i) {
#pragma GCC unroll 32
    for (int s = 0; s < kSums; ++s) sums[s] = Verbs::dot(sums[s], w, a);
  }
  float total = 0.0f;
  for (int i = 0; i < kSums; ++i) {
    Verbs::store(lanes, sums[i]);
    total += static_cast<float>(lanes[0]);
  }
  return total;
}

template <class Verbs>
constexpr Probe make_probe(Isa isa, DType type) {
  constexpr int kDepths = Verbs::kPack / Verbs::kHalves;
  return {isa, type, 2.0 * Verbs::kRows * Verbs::kVectors * Verbs::kWidth * kDepths, burn<Verbs>};
}

}  // namespace
}  // namespace bookend
