// One fixed pool for every kernel. The caller is worker 0, so a pool of n threads owns n - 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace bookend {

struct TaskLog;

// A loop is closed as soon as no task is left to claim. Workers that were asleep, or whose core was
// busy with another program, find it closed and are not waited for: on an oversubscribed machine a
// loop costs no more than running it alone.
class ThreadPool {
 public:
  // Threads that the system refuses to start are done without: the others claim their tasks.
  //
  // A simulated pool starts none: its caller does the work of one worker after the other, each of
  // which gets every size()-th task. So kernels plan for `threads`, no core disturbs another, and a
  // task finds in the caches what the task before it of the same worker has left there.
  explicit ThreadPool(int threads, bool simulated = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Where the loops to come are logged, or nullptr: nowhere, which costs a loop one comparison.
  void log_to(TaskLog* log) { log_ = log; }

  // Calls body(task, worker) for every task in [0, tasks), 0 <= worker < size(), and returns when
  // all are done. Workers claim tasks in ascending order as they come free. Results may depend on
  // the task alone, never on the worker. One loop at a time; a body must not start another.
  template <class Body>
  void for_each(std::int64_t tasks, const Body& body) {
    run(tasks,
        [](const void* context, std::int64_t task, int worker) {
          (*static_cast<const Body*>(context))(task, worker);
        },
        &body);
  }

 private:
  using Task = void (*)(const void*, std::int64_t, int);
  // Not templates, so that no code of the standard library is compiled with a kernel's ISA flags.
  void run(std::int64_t tasks, Task task, const void* context);
  void run_logged(std::int64_t tasks, Task task, const void* context);
  void run_loop(std::int64_t tasks, Task task, const void* context);
  void claim(int worker);
  void work(int worker);
  void wait_until_left();

  int size_;
  bool simulated_;
  TaskLog* log_ = nullptr;
  std::vector<std::thread> workers_;
  // The loop that the gate is open for; written only while it is closed and empty.
  Task task_ = nullptr;
  const void* context_ = nullptr;
  std::int64_t tasks_ = 0;
  alignas(64) std::atomic<std::int64_t> next_{0};
  // Number of the loop, whether it may be entered, and how many workers are inside.
  alignas(64) std::atomic<std::uint32_t> gate_{0};
  std::atomic<bool> stop_{false};
};

}  // namespace bookend
