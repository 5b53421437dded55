#include "kernels/probe/probe_kernel.h"
#include "simd/dot_verbs_amx.h"

namespace bookend {
namespace {

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
    tiles.dot_bf16<0, 4, 6>();
    tiles.dot_bf16<1, 5, 6>();
    tiles.dot_bf16<2, 4, 7>();
    tiles.dot_bf16<3, 5, 7>();
  }
  tiles.store<0>(sums, 64);
  tiles.end();
  return sums[0];
}

}  // namespace

extern constinit const Probe kProbeAmxBf16 = {Isa::amx, DType::bf16, 4 * 2.0 * 16 * 16 * 32,
                                              burn_tiles};

}  // namespace bookend
