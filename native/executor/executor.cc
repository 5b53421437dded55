#include "executor/executor.h"

#include <utility>

namespace bookend {

Executor::Executor(Done done, void* context) : done_(done), context_(context) {
  thread_ = std::thread([this] { work(); });
}

Executor::~Executor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    for (const auto& run : queue_) run->abort = true;
    if (current_) current_->abort = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Executor::submit(std::shared_ptr<Run> run) {
  {
    std::lock_guard lock(mutex_);
    if (stop_) run->abort = true;
    queue_.push_back(std::move(run));
  }
  changed_.notify_one();
}

void Executor::work() {
  for (;;) {
    std::shared_ptr<Run> run;
    {
      std::unique_lock lock(mutex_);
      current_.reset();
      changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      run = current_ = std::move(queue_.front());
      queue_.pop_front();
    }
    execute(*run, pool(*run->program));
    done_(context_, std::move(run));
  }
}

ThreadPool& Executor::pool(const Program& program) {
  const bool fits = pool_ != nullptr && pool_threads_ == program.threads &&
                    pool_simulated_ == program.simulate_threads;
  if (!fits) {
    pool_.reset();
    pool_ = std::make_unique<ThreadPool>(program.threads, program.simulate_threads);
    pool_threads_ = program.threads;
    pool_simulated_ = program.simulate_threads;
  }
  return *pool_;
}

}  // namespace bookend
