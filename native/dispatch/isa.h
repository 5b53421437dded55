// Which instruction sets this machine offers and which one runs.
#pragma once

#include <cstdint>

namespace bookend {

// From least to most preferred. A kernel runs only where its own set is supported: one set does not
// always contain those before it, since AVX-VNNI is younger than AVX-512.
enum class Isa : std::uint8_t {
  scalar,
  avx2,
  avx2_vnni,    // u8 x s8 products in 32-byte vectors
  avx512,
  avx512_vnni,  // the same in 64-byte vectors
  avx512_vnni_bf16,
  amx,
};

constexpr int kIsaCount = 7;

const char* isa_name(Isa isa);

// Returns false for a name that is none of Isa's.
bool parse_isa(const char* name, Isa* isa);

// nullptr when the CPU and the operating system offer `isa`; else one phrase that says what lacks.
// AMX counts as offered only after the kernel has granted this process its tile registers.
const char* isa_missing(Isa isa);

// The most preferred set offered here.
Isa best_isa();

}  // namespace bookend
