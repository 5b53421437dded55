#include <cstring>
#include <string>

#include "addon/errors.h"
#include "addon/handles.h"
#include "addon/programs.h"
#include "executor/executor.h"

namespace bookend {
namespace {

// A run and the promise it settles. Only the event loop touches the promise.
struct PendingRun : Run {
  explicit PendingRun(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred deferred;
};

Napi::Object log_of(Napi::Env env, const TaskLog& log) {
  const std::size_t loops = log.loops.size(), tasks = log.tasks.size();
  auto instructions = Napi::Int32Array::New(env, loops);
  auto loop_tasks = Napi::Int32Array::New(env, loops);
  auto loop_seconds = Napi::Float64Array::New(env, loops);
  for (std::size_t i = 0; i < loops; ++i) {
    instructions[i] = log.loops[i].owner;
    loop_tasks[i] = static_cast<std::int32_t>(log.loops[i].tasks);
    loop_seconds[i] = log.loops[i].seconds;
  }
  auto task_seconds = Napi::Float64Array::New(env, tasks);
  auto task_workers = Napi::Int32Array::New(env, tasks);
  for (std::size_t i = 0; i < tasks; ++i) {
    task_seconds[i] = log.tasks[i].seconds;
    task_workers[i] = log.tasks[i].worker;
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("instructions", instructions);
  result.Set("loopTasks", loop_tasks);
  result.Set("loopSeconds", loop_seconds);
  result.Set("taskSeconds", task_seconds);
  result.Set("taskWorkers", task_workers);
  result.Set("tasksLeftOut", static_cast<double>(log.tasks_left_out));
  return result;
}

Measure measure_argument(const Napi::Value& value) {
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (name == "nothing") return Measure::nothing;
  if (name == "instructions") return Measure::instructions;
  if (name == "tasks") return Measure::tasks;
  fail(value.Env(), "A run measures nothing, instructions or tasks.");
}

Napi::Value outputs_of(Napi::Env env, const Run& run) {
  Napi::Array outputs = Napi::Array::New(env, run.outputs.size());
  for (std::uint32_t i = 0; i < run.outputs.size(); ++i) {
    const Buffer& bytes = *run.outputs[i];
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes.size());
    if (bytes.size() != 0) std::memcpy(buffer.Data(), bytes.data(), bytes.size());
    outputs.Set(i, buffer);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("outputs", outputs);
  if (run.measure == Measure::nothing) return result;
  Napi::Array seconds = Napi::Array::New(env, run.seconds.size());
  for (std::uint32_t i = 0; i < run.seconds.size(); ++i) seconds.Set(i, run.seconds[i]);
  result.Set("seconds", seconds);
  if (run.measure == Measure::tasks) result.Set("log", log_of(env, run.log));
  return result;
}

void settle(Napi::Env env, const PendingRun& run) {
  switch (run.outcome) {
    case Outcome::done:
      return run.deferred.Resolve(outputs_of(env, run));
    case Outcome::aborted:
      return run.deferred.Reject(
          make_error(env, "The run was stopped before it finished.", "aborted").Value());
    case Outcome::out_of_memory: {
      const std::size_t bytes = run.program->arena_bytes + run.program->scratch_bytes;
      return run.deferred.Reject(
          make_error(env,
                     "The system has no " + std::to_string(bytes) +
                         " bytes left for activations; use a smaller image or batch.",
                     "insufficient-memory")
              .Value());
    }
  }
}

void settle_or_reject(Napi::Env env, const PendingRun& run) {
  try {
    settle(env, run);
  } catch (const Napi::Error& error) {
    run.deferred.Reject(error.Value());
  }
}

// The executor of one environment (the main thread or a worker) and the way back from its thread
// to the event loop, which is kept alive only while runs are pending.
class Runner {
 public:
  explicit Runner(Napi::Env env) : env_(env) {
    const napi_status status = napi_create_threadsafe_function(
        env, nullptr, nullptr, Napi::String::New(env, "bookend"), 0, 1, nullptr, nullptr, this,
        on_event_loop, &function_);
    if (status != napi_ok) fail(env, "Node gave no way back from the executor's thread.");
    napi_unref_threadsafe_function(env, function_);
    executor_ = std::make_unique<Executor>(on_done, this);
  }

  void submit(std::shared_ptr<PendingRun> run) {
    if (pending_++ == 0) napi_ref_threadsafe_function(env_, function_);
    executor_->submit(std::move(run));
  }

 private:
  // On the executor's thread.
  static void on_done(void* context, std::shared_ptr<Run> run) {
    auto* carried = new std::shared_ptr<PendingRun>(std::static_pointer_cast<PendingRun>(run));
    const napi_status status = napi_call_threadsafe_function(
        static_cast<Runner*>(context)->function_, carried, napi_tsfn_blocking);
    if (status != napi_ok) delete carried;  // the environment is going away, and its promises too
  }

  // On the event loop; `env` is null when the environment is going away.
  static void on_event_loop(napi_env env, napi_value, void* context, void* data) {
    const std::unique_ptr<std::shared_ptr<PendingRun>> run(
        static_cast<std::shared_ptr<PendingRun>*>(data));
    if (env == nullptr) return;
    auto* runner = static_cast<Runner*>(context);
    if (--runner->pending_ == 0) napi_unref_threadsafe_function(env, runner->function_);
    const Napi::HandleScope scope(env);
    try {
      settle_or_reject(env, **run);
    } catch (const Napi::Error&) {
      // A worker that is being terminated takes no result, and nobody waits for it any more.
    }
    (*run)->outputs.clear();  // `abort` keeps the run until the garbage collector comes by
  }

  Napi::Env env_;
  napi_threadsafe_function function_ = nullptr;
  std::unique_ptr<Executor> executor_;
  std::size_t pending_ = 0;
};

std::shared_ptr<const Buffer> copy_input(const Napi::Value& value, std::size_t bytes,
                                         std::uint32_t i) {
  const std::string what = "Input " + std::to_string(i);
  if (!value.IsTypedArray()) fail(value.Env(), what + " is not a typed array.");
  const auto array = value.As<Napi::TypedArray>();
  if (array.ByteLength() != bytes) {
    fail(value.Env(), what + " has " + std::to_string(array.ByteLength()) +
                          " bytes; the program takes " + std::to_string(bytes) + ".");
  }
  const std::shared_ptr<Buffer> copy = Buffer::allocate(bytes);
  if (!copy) {
    fail(value.Env(),
         "The system has no " + std::to_string(bytes) + " bytes left for a copy of " + what + ".",
         "insufficient-memory");
  }
  const auto* begin =
      static_cast<const std::byte*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  if (bytes != 0) std::memcpy(copy->data(), begin, bytes);
  return copy;
}

// The cleanup hook below deletes the runner, at the right moment.
void keep_runner(Napi::Env, Runner*) {}

}  // namespace

// The executor must be gone before Node takes down the thread-safe function: cleanup hooks run in
// reverse order of their registration, and this one comes after the function's own.
void start_executor(Napi::Env env) {
  auto* runner = new Runner(env);
  env.SetInstanceData<Runner, keep_runner>(runner);
  env.AddCleanupHook([runner] { delete runner; });
}

Napi::Value run_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto program = from_handle<const Program>(info[0]);
  const auto arena = from_handle<Arena>(info[1]);
  const std::vector<ArenaRange>& ranges = program->inputs;
  if (!info[2].IsArray() || info[2].As<Napi::Array>().Length() != ranges.size()) {
    fail(env, "The program takes " + std::to_string(ranges.size()) + " inputs in an array.");
  }
  std::vector<std::shared_ptr<const Buffer>> inputs;
  for (std::uint32_t i = 0; i < ranges.size(); ++i) {
    inputs.push_back(copy_input(info[2].As<Napi::Array>().Get(i), ranges[i].bytes, i));
  }
  const Measure measure = measure_argument(info[3]);
  // After everything that may throw: a promise that is never settled is never freed.
  auto run = std::make_shared<PendingRun>(env);
  run->program = program;
  run->arena = arena;
  run->inputs = std::move(inputs);
  run->measure = measure;
  Napi::Object result = Napi::Object::New(env);
  result.Set("promise", run->deferred.Promise());
  result.Set("abort", Napi::Function::New(
                          env, [run](const Napi::CallbackInfo&) { run->abort = true; }, "abort"));
  env.GetInstanceData<Runner>()->submit(std::move(run));
  return result;
}

Napi::Value create_arena_js(const Napi::CallbackInfo& info) {
  return make_handle<Arena>(info.Env(), std::make_shared<Arena>());
}

Napi::Value release_arena_js(const Napi::CallbackInfo& info) {
  if (!release_handle<Arena>(info[0])) fail(info.Env(), "Only an arena can be released.");
  return info.Env().Undefined();
}

Napi::Value release_program_js(const Napi::CallbackInfo& info) {
  if (!release_handle<const Program>(info[0])) fail(info.Env(), "Only a program can be released.");
  return info.Env().Undefined();
}

}  // namespace bookend
