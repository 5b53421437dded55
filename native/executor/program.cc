#include "executor/program.h"

#include <chrono>
#include <cstring>

namespace bookend {
namespace {

using Clock = std::chrono::steady_clock;

std::size_t aligned(std::size_t bytes) {
  return (bytes + Buffer::kAlignment - 1) / Buffer::kAlignment * Buffer::kAlignment;
}

// False when the system has no memory left.
bool copy_outputs(Run& run, const std::byte* arena) {
  for (const ArenaRange& range : run.program->outputs) {
    const std::shared_ptr<Buffer> output = Buffer::allocate(range.bytes);
    if (!output) return false;
    if (range.bytes != 0) std::memcpy(output->data(), arena + range.offset, range.bytes);
    run.outputs.push_back(output);
  }
  return true;
}

Outcome run_instructions(Run& run, std::byte* arena, const RunContext& context) {
  const auto& instructions = run.program->instructions;
  const bool measured = run.measure != Measure::nothing;
  if (measured) run.seconds.assign(instructions.size(), 0.0);
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    if (run.abort.load(std::memory_order_relaxed)) return Outcome::aborted;
    if (!measured) {
      instructions[i].run(arena, context);
      continue;
    }
    run.log.owner = static_cast<std::int32_t>(i);
    const Clock::time_point begin = Clock::now();
    instructions[i].run(arena, context);
    run.seconds[i] = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return Outcome::done;
}

}  // namespace

bool Arena::reserve(std::size_t bytes) {
  if (bytes <= size()) return true;
  buffer_.reset();  // first, so that the old and the new are never there together
  buffer_ = Buffer::allocate(bytes);
  return buffer_ != nullptr;
}

void execute(Run& run, ThreadPool& pool) {
  const Program& program = *run.program;
  if (run.abort.load(std::memory_order_relaxed)) {
    run.outcome = Outcome::aborted;
    return;
  }
  const std::size_t scratch_offset = aligned(program.arena_bytes);
  if (!run.arena->reserve(scratch_offset + program.scratch_bytes)) {
    run.outcome = Outcome::out_of_memory;
    return;
  }
  std::byte* arena = run.arena->data();
  for (std::size_t i = 0; i < program.inputs.size(); ++i) {
    const auto [offset, bytes] = program.inputs[i];
    if (bytes != 0) std::memcpy(arena + offset, run.inputs[i]->data(), bytes);
  }
  run.inputs.clear();
  pool.log_to(run.measure == Measure::tasks ? &run.log : nullptr);
  run.outcome = run_instructions(run, arena, RunContext{pool, arena + scratch_offset});
  pool.log_to(nullptr);
  if (run.outcome == Outcome::done && !copy_outputs(run, arena)) {
    run.outcome = Outcome::out_of_memory;
  }
}

}  // namespace bookend
