// A Program is immutable: instructions in order, the size of their arena, and where a run's inputs
// and outputs lie in it. Runs of one Executor may share an Arena, since they never overlap.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/task_log.h"
#include "base/thread_pool.h"
#include "executor/buffer.h"
#include "executor/instruction.h"

namespace bookend {

struct ArenaRange {
  std::size_t offset;
  std::size_t bytes;
};

struct Program {
  std::vector<Instruction> instructions;
  std::vector<std::shared_ptr<const Buffer>> weights;  // kept alive for the instructions
  std::vector<ArenaRange> inputs, outputs;
  std::size_t arena_bytes = 0;
  std::size_t scratch_bytes = 0;  // the most that any instruction needs
  int threads = 1;
  bool simulate_threads = false;  // one thread does the work of all of them
};

// Memory for one run at a time; it grows to what the largest of its Programs needs.
class Arena {
 public:
  // False when the system has no memory left. Contents are lost where it grows.
  bool reserve(std::size_t bytes);
  std::byte* data() { return buffer_ ? buffer_->data() : nullptr; }
  std::size_t size() const { return buffer_ ? buffer_->size() : 0; }

 private:
  std::shared_ptr<Buffer> buffer_;
};

// What a run takes down: the time of each instruction, or that and of each task of its loops.
enum class Measure { nothing, instructions, tasks };

enum class Outcome { done, aborted, out_of_memory };

// One call of a Program. Inputs are copies made when the run was asked for, freed once they are in
// the arena; outputs are filled in where the outcome is `done`.
struct Run {
  std::shared_ptr<const Program> program;
  std::shared_ptr<Arena> arena;
  std::vector<std::shared_ptr<const Buffer>> inputs, outputs;
  Measure measure = Measure::nothing;
  std::vector<double> seconds;  // per instruction, where that is measured
  TaskLog log;                  // whose owners are the instructions, where tasks are measured
  std::atomic<bool> abort{false};
  Outcome outcome = Outcome::done;
};

// Runs on the calling thread and `pool`, and looks at `run.abort` between instructions.
void execute(Run& run, ThreadPool& pool);

}  // namespace bookend
