// Verbs of the register micro-kernel (kernels/conv2d/micro_kernel.h), portable: GCC and Clang lower
// the vector extension to whatever the target's baseline offers.
//
// A dot-verbs type says how one step of the inner loop works. Weights come as `kWidth` columns by
// `kPack` consecutive depths; `broadcast` repeats `kPack` depths of one row for all columns. Where
// a set has no instruction that sums kPack products, a step takes `kHalves` passes, each of which
// widens one half of the depths (of bytes, the even or the odd ones). Floating sums `start` at zero,
// integer ones (u8 x s8 in s32, exact) at an offset per column.
#pragma once

#include <cstdint>
#include <cstring>

namespace bookend {

struct ScalarF32Dot {
  using Element = float;
  using Sum = float;
  using Vector = float __attribute__((vector_size(16)));
  static constexpr int kWidth = 4, kPack = 1, kHalves = 1;
  static constexpr int kRows = 4, kVectors = 2;

  static Vector start(const std::int32_t*) { return zero(); }
  static Vector zero() { return Vector{}; }
  static Vector load(const float* p) {
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(float* p, Vector v) { std::memcpy(p, &v, sizeof v); }
  template <int half>
  static Vector weights(const Element* p) {
    return load(p);
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    return Vector{*p, *p, *p, *p};
  }
  // Like broadcast, where only the first `count` < kPack depths exist: the others read as zero.
  template <int half>
  static Vector broadcast_tail(const Element* p, int) {
    return broadcast<half>(p);
  }
  static Vector dot(Vector sum, Vector w, Vector a) { return sum + w * a; }
};

struct ScalarBf16Dot {
  using Element = std::uint16_t;
  using Sum = float;
  using Vector = ScalarF32Dot::Vector;
  using Bits = std::uint32_t __attribute__((vector_size(16)));
  static constexpr int kWidth = 4, kPack = 2, kHalves = 2;
  static constexpr int kRows = 4, kVectors = 2;

  static Vector start(const std::int32_t*) { return zero(); }
  static Vector zero() { return Vector{}; }
  static Vector load(const float* p) { return ScalarF32Dot::load(p); }
  static void store(float* p, Vector v) { ScalarF32Dot::store(p, v); }
  template <int half>
  static Vector weights(const Element* p) {
    Bits pairs;
    std::memcpy(&pairs, p, sizeof pairs);
    const Bits bits = half == 0 ? pairs << 16 : pairs & 0xffff0000u;
    Vector v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  template <int half>
  static Vector broadcast(const Element* p) {
    const std::uint32_t bits = static_cast<std::uint32_t>(p[half]) << 16;
    float a;
    std::memcpy(&a, &bits, sizeof a);
    return Vector{a, a, a, a};
  }
  template <int half>
  static Vector broadcast_tail(const Element* p, int) {
    return half == 0 ? broadcast<0>(p) : zero();
  }
  static Vector dot(Vector sum, Vector w, Vector a) { return sum + w * a; }
};

struct ScalarU8Dot {
  using Element = std::uint8_t;
  using Sum = std::int32_t;
  using Vector = std::uint32_t __attribute__((vector_size(16)));
  using Signed = std::int32_t __attribute__((vector_size(16)));
  using Halves = std::int16_t __attribute__((vector_size(16)));
  static constexpr int kWidth = 4, kPack = 4, kHalves = 2;
  static constexpr int kRows = 4, kVectors = 2;

  static Vector start(const std::int32_t* offsets) { return load(offsets); }
  static Vector load(const Sum* p) {
    Vector v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(Sum* p, Vector v) { std::memcpy(p, &v, sizeof v); }
  template <int half>
  static Halves weights(const Element* p) {
    Halves pairs;
    std::memcpy(&pairs, p, sizeof pairs);
    return (half == 0 ? pairs << 8 : pairs) >> 8;
  }
  template <int half>
  static Halves broadcast(const Element* p) {
    return widen(p[half], p[half + 2]);
  }
  template <int half>
  static Halves broadcast_tail(const Element* p, int count) {
    return widen(half < count ? p[half] : 0, half + 2 < count ? p[half + 2] : 0);
  }
  // A product of a u8 and an s8 fits in 16 bits.
  static Vector dot(Vector sum, Halves w, Halves a) {
    const Halves products = w * a;
    Signed pairs;
    std::memcpy(&pairs, &products, sizeof pairs);
    return sum + __builtin_convertvector(((pairs << 16) >> 16) + (pairs >> 16), Vector);
  }

 private:
  static Halves widen(int low, int high) {
    const auto l = static_cast<std::int16_t>(low), h = static_cast<std::int16_t>(high);
    return Halves{l, h, l, h, l, h, l, h};
  }
};

}  // namespace bookend
