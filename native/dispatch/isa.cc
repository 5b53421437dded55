#include "dispatch/isa.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace bookend {
namespace {

constexpr const char* kNames[kIsaCount] = {"scalar",      "avx2",             "avx2_vnni", "avx512",
                                           "avx512_vnni", "avx512_vnni_bf16", "amx"};

#if defined(__x86_64__)
// Half-precision conversions, which came before AVX2 but which a virtual machine may hide. Clang
// learned to ask __builtin_cpu_supports for them late.
bool cpu_has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

// VNNI instructions of AVX2's length, which GCC 12's __builtin_cpu_supports does not know either.
bool cpu_has_avx_vnni() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

// Sapphire Rapids: the bits of CPUID leaf 7 that GCC 12's __builtin_cpu_supports does not know.
bool cpu_has_amx() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  return (d & kAmxBf16) && (d & kAmxTile) && (d & kAmxInt8);
}

// Linux keeps the 8 KiB of tile registers off until a process asks (arch_prctl(2), since 5.16); no
// other system that Bookend is built for runs on CPUs with tiles.
bool request_tile_permission() {
#if defined(__linux__)
  constexpr long kArchReqXcompPerm = 0x1023, kXfeatureTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0;
#else
  return false;
#endif
}

const char* missing(Isa isa) {
  __builtin_cpu_init();
  if (isa == Isa::scalar) return nullptr;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !cpu_has_f16c()) {
    return "the CPU has no AVX2 with FMA and F16C";
  }
  if (isa == Isa::avx2) return nullptr;
  if (isa == Isa::avx2_vnni) return cpu_has_avx_vnni() ? nullptr : "the CPU has no AVX-VNNI";
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return "the CPU has no AVX-512 (F, BW, VL, DQ)";
  }
  if (isa == Isa::avx512) return nullptr;
  if (!__builtin_cpu_supports("avx512vnni")) return "the CPU has no AVX-512 VNNI";
  if (isa == Isa::avx512_vnni) return nullptr;
  if (!__builtin_cpu_supports("avx512bf16")) return "the CPU has no AVX-512 BF16";
  if (isa == Isa::avx512_vnni_bf16) return nullptr;
  if (!cpu_has_amx()) return "the CPU has no AMX tiles";
  if (!request_tile_permission()) return "the operating system does not grant AMX tiles";
  return nullptr;
}
#else
const char* missing(Isa isa) {
  return isa == Isa::scalar ? nullptr : "the CPU is not x86-64";
}
#endif

struct Detected {
  const char* reasons[kIsaCount];
  Detected() {
    for (int i = 0; i < kIsaCount; ++i) reasons[i] = missing(static_cast<Isa>(i));
  }
};

const Detected& detected() {
  static const Detected result;
  return result;
}

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

bool parse_isa(const char* name, Isa* isa) {
  for (int i = 0; i < kIsaCount; ++i) {
    if (std::strcmp(name, kNames[i]) == 0) {
      *isa = static_cast<Isa>(i);
      return true;
    }
  }
  return false;
}

const char* isa_missing(Isa isa) { return detected().reasons[static_cast<int>(isa)]; }

Isa best_isa() {
  for (int i = kIsaCount - 1; i > 0; --i) {
    if (detected().reasons[i] == nullptr) return static_cast<Isa>(i);
  }
  return Isa::scalar;
}

}  // namespace bookend
