#include "kernels/probe/probe.h"

#include <atomic>
#include <chrono>

#include "kernels/probe/probe_kernel.h"

namespace bookend {

#if defined(__x86_64__)
extern const Probe kProbeAmxBf16, kProbeAmxU8;
extern const Probe kProbeAvx512NativeBf16, kProbeAvx512VnniU8;
extern const Probe kProbeAvx512F32, kProbeAvx512Bf16, kProbeAvx512U8;
extern const Probe kProbeAvx2VnniU8;
extern const Probe kProbeAvx2F32, kProbeAvx2Bf16, kProbeAvx2U8;
#endif
extern const Probe kProbeScalarF32, kProbeScalarBf16;

namespace {

const Probe* const kProbes[] = {
#if defined(__x86_64__)
    &kProbeAmxBf16,
    &kProbeAmxU8,
    &kProbeAvx512NativeBf16,
    &kProbeAvx512VnniU8,
    &kProbeAvx512F32,
    &kProbeAvx512Bf16,
    &kProbeAvx512U8,
    &kProbeAvx2VnniU8,
    &kProbeAvx2F32,
    &kProbeAvx2Bf16,
    &kProbeAvx2U8,
#endif
    &kProbeScalarF32,
    &kProbeScalarBf16,
};

// Long against a look at the clock, short against the shortest useful probe.
constexpr std::int64_t kIterationsPerLook = 4000;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

double probe_flops(Isa limit, DType type, ThreadPool& pool, double seconds) {
  for (const Probe* probe : kProbes) {
    if (probe->isa > limit || probe->type != type) continue;
    if (isa_missing(probe->isa) != nullptr) continue;  // what is emulated has no ceiling
    std::atomic<std::int64_t> looks{0};
    std::atomic<float> sink{0.0f};
    const double start = seconds_now();
    pool.for_each(pool.size(), [&](std::int64_t, int) {
      while (seconds_now() - start < seconds) {
        sink.store(probe->burn(kIterationsPerLook), std::memory_order_relaxed);
        looks.fetch_add(1, std::memory_order_relaxed);
      }
    });
    const double iterations = static_cast<double>(looks.load()) * kIterationsPerLook;
    return iterations * probe->flops_per_iteration / (seconds_now() - start);
  }
  return 0.0;
}

}  // namespace bookend
