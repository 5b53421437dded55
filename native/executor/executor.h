// One thread that runs Programs in the order in which they were asked for.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/thread_pool.h"
#include "executor/program.h"

namespace bookend {

class Executor {
 public:
  // Called on the executor's thread after each run, whatever its outcome.
  using Done = void (*)(void* context, std::shared_ptr<Run> run);

  Executor(Done done, void* context);
  // Aborts what is left, reports it as aborted, and waits for the thread.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void submit(std::shared_ptr<Run> run);

 private:
  void work();
  ThreadPool& pool(const Program& program);

  Done done_;
  void* context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Run>> queue_;
  std::shared_ptr<Run> current_;
  bool stop_ = false;
  std::unique_ptr<ThreadPool> pool_;  // of the last run; a run on other threads replaces it
  int pool_threads_ = 0;  // asked for: the system may have granted fewer
  bool pool_simulated_ = false;
  std::thread thread_;
};

}  // namespace bookend
