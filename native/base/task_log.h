// What the loops of a thread pool took, task by task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bookend {

struct TaskLog {
  struct Task {
    double seconds = 0;
    std::int32_t worker = 0;
  };
  struct Loop {
    std::int32_t owner;
    std::int64_t tasks;
    double seconds;  // from its start until all of its tasks were done
  };
  // Loops whose tasks would be more than this in all, 64 MiB of them, are counted and not logged.
  static constexpr std::int64_t kMostTasks = std::int64_t{1} << 22;

  std::int32_t owner = 0;  // of the loops to come, in the numbers of whoever reads the log
  std::vector<Loop> loops;
  std::vector<Task> tasks;  // of all loops, one after the other, in the order of their numbers
  std::int64_t tasks_left_out = 0;
};

}  // namespace bookend
