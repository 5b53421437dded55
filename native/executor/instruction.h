// One kernel call of a Program, with everything but the arena's address decided.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <type_traits>

#include "dispatch/kernel.h"

namespace bookend {

// Where an operand lies: `offset` bytes into the arena when `base` is null, else into a buffer that
// the Program keeps alive. `present` is false for an operand that the problem does without.
struct OperandRef {
  const std::byte* base = nullptr;
  std::size_t offset = 0;
  bool present = false;
};

class Instruction {
 public:
  // `refs` in the order of the pointers in Problem::Operands.
  template <class Problem, std::size_t N>
  static Instruction make(const Kernel<Problem>* kernel, const Problem& problem,
                          const std::array<OperandRef, N>& refs) {
    using Operands = typename Problem::Operands;
    static_assert(sizeof(Operands) == N * sizeof(void*), "one reference for every operand");
    static_assert(std::is_trivially_copyable_v<Operands>);
    struct State {
      const Kernel<Problem>* kernel;
      Problem problem;
      std::array<OperandRef, N> refs;
    };
    Instruction result;
    result.state_ = std::make_shared<const State>(State{kernel, problem, refs});
    result.name_ = kernel->name;
    result.isa_ = kernel->isa;
    result.scratch_bytes_ = [](const void* opaque, int threads) {
      const State& state = *static_cast<const State*>(opaque);
      return state.kernel->scratch_bytes(state.problem, threads);
    };
    result.run_ = [](const void* opaque, std::byte* arena, const RunContext& context) {
      const State& state = *static_cast<const State*>(opaque);
      std::array<const void*, N> pointers;
      for (std::size_t i = 0; i < N; ++i) pointers[i] = resolve(state.refs[i], arena);
      state.kernel->run(state.problem, std::bit_cast<Operands>(pointers), context);
    };
    return result;
  }

  const char* kernel_name() const { return name_; }
  Isa isa() const { return isa_; }
  std::size_t scratch_bytes(int threads) const { return scratch_bytes_(state_.get(), threads); }
  void run(std::byte* arena, const RunContext& context) const {
    run_(state_.get(), arena, context);
  }

 private:
  static const void* resolve(const OperandRef& ref, std::byte* arena) {
    if (!ref.present) return nullptr;
    return (ref.base != nullptr ? ref.base : arena) + ref.offset;
  }

  std::shared_ptr<const void> state_;
  const char* name_ = nullptr;
  Isa isa_ = Isa::scalar;
  std::size_t (*scratch_bytes_)(const void*, int) = nullptr;
  void (*run_)(const void*, std::byte*, const RunContext&) = nullptr;
};

}  // namespace bookend
