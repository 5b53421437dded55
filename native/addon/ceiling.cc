#include "addon/ceiling.h"

#include <string>

#include "addon/errors.h"
#include "addon/isa_argument.h"
#include "base/thread_pool.h"
#include "kernels/probe/probe.h"

namespace bookend {
namespace {

class CeilingWorker : public Napi::AsyncWorker {
 public:
  CeilingWorker(Napi::Env env, Isa isa, DType type, int threads, double seconds)
      : Napi::AsyncWorker(env),
        deferred_(env),
        isa_(isa),
        type_(type),
        threads_(threads),
        seconds_(seconds) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    ThreadPool pool(threads_);
    flops_ = probe_flops(isa_, type_, pool, seconds_);
  }
  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), flops_)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  Isa isa_;
  DType type_;
  int threads_;
  double seconds_;
  double flops_ = 0;
};

constexpr int kMostThreads = 256;
constexpr double kMostSeconds = 60;

}  // namespace

Napi::Value measure_ceiling_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Isa isa = isa_argument(info[0]);
  const std::string type = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  const bool known = type == "f32" || type == "bf16" || type == "u8";
  if (!known) fail(env, "measureCeiling takes f32, bf16 or u8");
  if (!info[2].IsNumber() || !info[3].IsNumber()) fail(env, "measureCeiling takes two numbers");
  const int threads = info[2].As<Napi::Number>().Int32Value();
  const double seconds = info[3].As<Napi::Number>().DoubleValue();
  if (threads < 1 || threads > kMostThreads || !(seconds > 0 && seconds <= kMostSeconds)) {
    fail(env, "measureCeiling takes 1 to 256 threads and up to 60 seconds");
  }
  const DType dtype = type == "f32" ? DType::f32 : type == "bf16" ? DType::bf16 : DType::u8;
  auto* worker = new CeilingWorker(env, isa, dtype, threads, seconds);
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace bookend
