// Loops over a row in steps of one vector, written once for whole vectors and the tail: the body is
// called as body(index, lanes), and loads and stores through `lanes`.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/types.h"
#include "simd/float_verbs_scalar.h"

namespace bookend {
namespace {

template <class F>
struct AllLanes {
  static constexpr int count = F::width;
  template <class T>
  BOOKEND_VERB typename F::Vector load(const T* p) {
    return F::load(p);
  }
  template <class T>
  BOOKEND_VERB void store(T* p, typename F::Vector x) {
    F::store(p, x);
  }
  BOOKEND_VERB typename F::Vector keep(typename F::Vector x, typename F::Vector) { return x; }
};

template <class F>
struct SomeLanes {
  int count;
  template <class T>
  [[gnu::always_inline]] inline typename F::Vector load(const T* p) const {
    return F::load_part(p, count);
  }
  template <class T>
  [[gnu::always_inline]] inline void store(T* p, typename F::Vector x) const {
    F::store_part(p, x, count);
  }
  // x in these lanes, `other` in the rest.
  [[gnu::always_inline]] inline typename F::Vector keep(typename F::Vector x,
                                                        typename F::Vector other) const {
    return F::keep(x, count, other);
  }
};

template <class F, class Body>
BOOKEND_VERB void for_lanes(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + F::width <= count; i += F::width) body(i, AllLanes<F>{});
  if (i < count) body(i, SomeLanes<F>{static_cast<int>(count - i)});
}

// Element `index` onwards of an array whose type is known only when the Program is made. The switch
// is invariant in any loop around it.
template <class F, class Lanes>
BOOKEND_VERB typename F::Vector load_as(DType type, const void* p, std::int64_t index,
                                        const Lanes& lanes) {
  switch (type) {
    case DType::bf16:
      return lanes.load(static_cast<const Bf16*>(p) + index);
    case DType::f16:
      return lanes.load(static_cast<const F16*>(p) + index);
    case DType::s32:
      return lanes.load(static_cast<const std::int32_t*>(p) + index);
    default:
      return lanes.load(static_cast<const float*>(p) + index);
  }
}

template <class F, class Lanes>
BOOKEND_VERB void store_as(DType type, void* p, std::int64_t index, typename F::Vector x,
                           const Lanes& lanes) {
  switch (type) {
    case DType::bf16:
      return lanes.store(static_cast<Bf16*>(p) + index, x);
    case DType::f16:
      return lanes.store(static_cast<F16*>(p) + index, x);
    default:
      return lanes.store(static_cast<float*>(p) + index, x);
  }
}

constexpr bool is_float(DType type) {
  return type == DType::f32 || type == DType::bf16 || type == DType::f16;
}

constexpr bool is_f32_or_bf16(DType type) { return type == DType::f32 || type == DType::bf16; }

// Calls body(static_cast<T*>(nullptr)) for the storage type T of `type`, f32 or bf16.
template <class Body>
BOOKEND_VERB void with_type(DType type, const Body& body) {
  if (type == DType::bf16) {
    body(static_cast<Bf16*>(nullptr));
  } else {
    body(static_cast<float*>(nullptr));
  }
}

// The same for a result of type f32, bf16 or u8.
template <class Body>
BOOKEND_VERB void with_result_type(DType type, const Body& body) {
  if (type == DType::u8) {
    body(static_cast<std::uint8_t*>(nullptr));
  } else {
    with_type(type, body);
  }
}

// From real numbers to the codes of a u8 result: code = x * inverse + zero, rounded and saturated by
// the store. Results of other types have inverse 1 and zero 0, and are left alone.
template <class F>
struct Quantizer {
  typename F::Vector inverse, zero;

  BOOKEND_VERB Quantizer of(float scale, float zero) {
    return {F::splat(1.0f / scale), F::splat(zero)};
  }
  template <class T>
  [[gnu::always_inline]] inline typename F::Vector apply(T*, typename F::Vector x) const {
    if constexpr (std::is_same_v<T, std::uint8_t>) return F::fma(x, inverse, zero);
    return x;
  }
};

}  // namespace
}  // namespace bookend
