#include "base/thread_pool.h"

#include <chrono>
#include <system_error>

#include "base/task_log.h"

namespace bookend {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Spinning bridges the gap between two instructions of a Program (microseconds); past that a worker
// sleeps, so that an idle pool costs nothing.
constexpr int kSpins = 4000;

// The fields of the gate. A worker that slept through exactly 2^20 loops takes the next one for the
// last it saw and leaves it to the others, which is harmless.
constexpr std::uint32_t kInside = 0x7ff;
constexpr std::uint32_t kOpen = 0x800;
constexpr std::uint32_t kOneLoop = 0x1000;

constexpr std::uint32_t loop_of(std::uint32_t gate) { return gate & ~(kOneLoop - 1); }

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads, bool simulated)
    : size_(threads < 1 ? 1 : threads), simulated_(simulated) {
  if (simulated_) return;
  workers_.reserve(static_cast<std::size_t>(size_ - 1));
  try {
    for (int worker = 1; worker < size_; ++worker) {
      workers_.emplace_back([this, worker] { work(worker); });
    }
  } catch (const std::system_error&) {
    // A limit on threads or on memory for their stacks.
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  gate_.fetch_add(kOneLoop, std::memory_order_release);
  gate_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(std::int64_t tasks, Task task, const void* context) {
  if (log_ == nullptr) return run_loop(tasks, task, context);
  run_logged(tasks, task, context);
}

void ThreadPool::run_logged(std::int64_t tasks, Task task, const void* context) {
  const auto logged = static_cast<std::int64_t>(log_->tasks.size());
  if (tasks > TaskLog::kMostTasks - logged) {
    log_->tasks_left_out += tasks;
    return run_loop(tasks, task, context);
  }
  log_->tasks.resize(static_cast<std::size_t>(logged + tasks));
  struct Timed {
    Task task;
    const void* context;
    TaskLog::Task* log;
  };
  const Timed timed{task, context, log_->tasks.data() + logged};
  const Clock::time_point begin = Clock::now();
  run_loop(
      tasks,
      [](const void* opaque, std::int64_t i, int worker) {
        const Timed& timed = *static_cast<const Timed*>(opaque);
        const Clock::time_point begin = Clock::now();
        timed.task(timed.context, i, worker);
        timed.log[i] = {seconds_since(begin), worker};
      },
      &timed);
  log_->loops.push_back({log_->owner, tasks, seconds_since(begin)});
}

void ThreadPool::run_loop(std::int64_t tasks, Task task, const void* context) {
  if (size_ == 1 || tasks <= 1) {
    for (std::int64_t i = 0; i < tasks; ++i) task(context, i, 0);
    return;
  }
  if (simulated_) {
    for (int worker = 0; worker < size_; ++worker) {
      for (std::int64_t i = worker; i < tasks; i += size_) task(context, i, worker);
    }
    return;
  }
  task_ = task;
  context_ = context;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  gate_.fetch_add(kOneLoop | kOpen, std::memory_order_release);
  gate_.notify_all();
  claim(0);
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  wait_until_left();
}

void ThreadPool::claim(int worker) {
  for (;;) {
    const std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
    if (i >= tasks_) return;
    task_(context_, i, worker);
  }
}

void ThreadPool::wait_until_left() {
  for (int spin = 0;; ++spin) {
    const std::uint32_t gate = gate_.load(std::memory_order_acquire);
    if ((gate & kInside) == 0) return;
    if (spin < kSpins) {
      relax();
    } else {
      gate_.wait(gate, std::memory_order_acquire);
    }
  }
}

void ThreadPool::work(int worker) {
  std::uint32_t seen = 0;
  for (int spin = 0;; ++spin) {
    std::uint32_t gate = gate_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    if ((gate & kOpen) == 0 || loop_of(gate) == seen) {
      if (spin < kSpins) {
        relax();
      } else {
        gate_.wait(gate, std::memory_order_acquire);
      }
      continue;
    }
    if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) continue;
    seen = loop_of(gate);
    claim(worker);
    const std::uint32_t before = gate_.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & (kInside | kOpen)) == 1) gate_.notify_all();
    spin = 0;
  }
}

}  // namespace bookend
