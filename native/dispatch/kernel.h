// What a kernel is to the rest of the engine: one row of its op's table.
#pragma once

#include <cstddef>

#include "base/thread_pool.h"
#include "dispatch/isa.h"

namespace bookend {

struct RunContext {
  ThreadPool& pool;
  std::byte* scratch;  // scratch_bytes of the running kernel, 64-byte aligned, contents undefined
};

// `Problem` holds everything fixed when a Program is made (shapes, types, epilogue) and names its
// `Operands`: the pointers of one call. Kernels never allocate, throw or print.
template <class Problem>
struct Kernel {
  const char* name;                          // "conv2d.avx512.f32"
  Isa isa;
  const char* (*refuse)(const Problem&);     // nullptr: it can; else why it cannot
  std::size_t (*scratch_bytes)(const Problem&, int threads);
  void (*run)(const Problem&, const typename Problem::Operands&, const RunContext&);
};

// The outcome of a choice: a kernel, or the reason of the last candidate that refused.
template <class K>
struct Selection {
  const K* kernel;
  const char* reason;
};

// First row of a table, ordered from best to worst, whose set is at most `limit` and offered here,
// and which accepts `problem`. `amx` rows also stand for their emulation: with `limit` = amx they are taken wherever
// the caller has allowed it, so the caller must have checked isa_missing(limit) or mean to emulate.
template <class K, class Problem>
Selection<K> select(const K* const* table, std::size_t rows, const Problem& problem, Isa limit) {
  Selection<K> result{nullptr, "no kernel is registered for this instruction set"};
  for (std::size_t i = 0; i < rows; ++i) {
    if (table[i]->isa > limit) continue;
    if (table[i]->isa != Isa::amx && isa_missing(table[i]->isa) != nullptr) continue;
    const char* reason = table[i]->refuse(problem);
    if (reason == nullptr) return {table[i], nullptr};
    result.reason = reason;
  }
  return result;
}

}  // namespace bookend
