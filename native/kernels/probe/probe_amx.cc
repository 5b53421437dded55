#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_amx.h"

namespace bookend {
namespace {

// Products of one instruction, on tiles 0 to 3.
struct Bf16Products {
  template <int sums, int a, int b>
  static void dot(HardwareTiles& tiles) {
    tiles.dot_bf16<sums, a, b>();
  }
};
struct U8Products {
  template <int sums, int a, int b>
  static void dot(HardwareTiles& tiles) {
    tiles.dot_u8s8<sums, a, b>();
  }
};

template <class Products>
float burn_tiles(std::int64_t iterations) {
  const float zeros[16 * 16] = {};
  float sums[16 * 16];
  HardwareTiles tiles;
  tiles.begin();
  tiles.load<4>(zeros, 64);
  tiles.load<5>(zeros, 64);
  tiles.load<6>(zeros, 64);
  tiles.load<7>(zeros, 64);
  tiles.zero<0>();
  tiles.zero<1>();
  tiles.zero<2>();
  tiles.zero<3>();
  for (std::int64_t i = 0; i < iterations; ++i) {
    Products::template dot<0, 4, 6>(tiles);
    Products::template dot<1, 5, 6>(tiles);
    Products::template dot<2, 4, 7>(tiles);
    Products::template dot<3, 5, 7>(tiles);
  }
  tiles.store<0>(sums, 64);
  tiles.end();
  return sums[0];
}

}  // namespace

extern constinit const Probe kProbeAmxBf16 = {Isa::amx, DType::bf16, 4 * 2.0 * 16 * 16 * 32,
                                              burn_tiles<Bf16Products>};
extern constinit const Probe kProbeAmxU8 = {Isa::amx, DType::u8, 4 * 2.0 * 16 * 16 * 64,
                                            burn_tiles<U8Products>};

}  // namespace bookend
