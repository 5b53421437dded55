#include "addon/weights.h"

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "addon/decode.h"
#include "addon/errors.h"
#include "addon/handles.h"
#include "addon/isa_argument.h"
#include "executor/convert.h"
#include "executor/file_region.h"

namespace bookend {
namespace {

struct Problem {
  const char* code;
  std::string text;
};

Problem no_memory(std::size_t bytes) {
  return {"insufficient-memory",
          "the system has no " + std::to_string(bytes) + " bytes left for it"};
}

// Elements of one stored tensor: a copy of a JavaScript array, whose memory may be detached while a
// worker reads, or a region of a file, read when the worker gets to it. Here they are aligned to
// their type, wherever they lay.
class Source {
 public:
  // `dtype` as it was read and checked: a getter may give another one the next time.
  Source(const Fields& fields, DType dtype, std::size_t count)
      : dtype_(dtype), bytes_(count * byte_size(dtype)) {
    if (fields.has("data")) {
      copy_array(fields);
    } else {
      path_ = fields.text("path");
      constexpr auto kMost = std::int64_t{1} << 53;
      offset_ = static_cast<std::size_t>(fields.integer("byteOffset", 0, kMost));
      expect(fields, "byteLength",
             static_cast<std::size_t>(fields.integer("byteLength", 0, kMost)));
    }
  }

  DType dtype() const { return dtype_; }

  // Must be called before data().
  std::optional<Problem> read() {
    if (memory_) return std::nullopt;
    memory_ = Buffer::allocate(bytes_);
    if (!memory_) return no_memory(bytes_);
    std::string problem = read_region(path_, offset_, bytes_, memory_->data());
    if (problem.empty()) return std::nullopt;
    return Problem{"io", std::move(problem)};
  }

  const std::byte* data() const { return memory_->data(); }

 private:
  void copy_array(const Fields& fields) {
    const Napi::Value value = fields.get("data");
    if (!value.IsTypedArray()) fields.reject("data", "is not a typed array");
    const auto array = value.As<Napi::TypedArray>();
    expect(fields, "data", array.ByteLength());
    memory_ = Buffer::allocate(bytes_);
    if (!memory_) {
      const Problem problem = no_memory(bytes_);
      fail(fields.env(), fields.what() + ": " + problem.text + ".", problem.code);
    }
    const auto* begin =
        static_cast<const std::byte*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    std::memcpy(memory_->data(), begin, bytes_);
  }

  void expect(const Fields& fields, const char* name, std::size_t found) const {
    if (found == bytes_) return;
    fields.reject(name, "has " + std::to_string(found) + " bytes; expected " +
                            std::to_string(bytes_));
  }

  DType dtype_;
  std::size_t bytes_;
  std::string path_;
  std::size_t offset_ = 0;
  std::shared_ptr<Buffer> memory_;
};

// Fills a buffer on a worker thread and resolves a promise with it.
class LoadWorker : public Napi::AsyncWorker {
 public:
  LoadWorker(Napi::Env env, const Fields& source, DType dtype, std::size_t count)
      : Napi::AsyncWorker(env), source_(source, dtype, count), deferred_(env), count_(count) {}

  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

 protected:
  virtual std::size_t result_bytes() const = 0;
  virtual void fill(const Source& source, Buffer& buffer) = 0;

  void Execute() override {
    problem_ = load();
    if (problem_) SetError(problem_->text);
  }

  void OnOK() override { deferred_.Resolve(make_handle<Buffer>(Env(), buffer_)); }
  void OnError(const Napi::Error& error) override {
    const char* code = problem_ ? problem_->code : "native";
    deferred_.Reject(make_error(Env(), error.Message(), code).Value());
  }

 private:
  std::optional<Problem> load() {
    if (auto problem = source_.read()) return problem;
    if (has_non_finite(source_.dtype(), source_.data(), count_)) {
      return Problem{"non-finite", "it holds NaN or infinity"};
    }
    buffer_ = Buffer::allocate(result_bytes());
    if (!buffer_) return no_memory(result_bytes());
    fill(source_, *buffer_);
    return std::nullopt;
  }

  Source source_;
  Napi::Promise::Deferred deferred_;  // after what may throw: one that is never settled is lost
  std::size_t count_;
  std::shared_ptr<Buffer> buffer_;
  std::optional<Problem> problem_;
};

class PackWorker final : public LoadWorker {
 public:
  PackWorker(Napi::Env env, const Fields& source, DType dtype, std::size_t count,
             PackingPlan plan)
      : LoadWorker(env, source, dtype, count), plan_(std::move(plan)) {}

 protected:
  std::size_t result_bytes() const override { return plan_.packed_bytes; }
  void fill(const Source& source, Buffer& buffer) override {
    plan_.kernel->pack(plan_.problem, source.data(), source.dtype(), buffer.data());
    buffer.format = plan_.format;
  }

 private:
  PackingPlan plan_;
};

class VectorWorker final : public LoadWorker {
 public:
  VectorWorker(Napi::Env env, const Fields& source, DType dtype, std::size_t count, DType target)
      : LoadWorker(env, source, dtype, count), target_(target), count_(count) {}

 protected:
  std::size_t result_bytes() const override { return count_ * byte_size(target_); }
  void fill(const Source& source, Buffer& buffer) override {
    convert(source.dtype(), source.data(), target_, buffer.data(), count_);
  }

 private:
  DType target_;
  std::size_t count_;
};

Fields source_fields(const Napi::Value& value) {
  if (!value.IsObject()) fail(value.Env(), "A weight's source must be an object.");
  return Fields(value.As<Napi::Object>(), "The weight's source");
}

PackingPlan plan_argument(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) fail(info.Env(), "A convolution problem must be an object.");
  return plan_packing(Fields(info[0].As<Napi::Object>(), "The convolution"),
                      isa_argument(info[1]));
}

}  // namespace

Napi::Value plan_packing_js(const Napi::CallbackInfo& info) {
  const PackingPlan plan = plan_argument(info);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("kernel", plan.kernel->name);
  result.Set("format", plan.format);
  result.Set("packedBytes", static_cast<double>(plan.packed_bytes));
  return result;
}

Napi::Value pack_weights_js(const Napi::CallbackInfo& info) {
  PackingPlan plan = plan_argument(info);
  if (plan.problem.weight_form == WeightForm::plain) {
    fail(info.Env(), "Weights with a weightView are packed whenever the convolution runs.");
  }
  const auto count = static_cast<std::size_t>(plan.problem.out_channels * plan.problem.depth());
  const Fields source = source_fields(info[2]);
  const DType dtype = source.dtype("dtype");
  if (plan.problem.input == DType::u8) {
    if (dtype != DType::s8) source.reject("dtype", "is not s8, which u8 is multiplied with");
  } else if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16) {
    source.reject("dtype", "is no floating-point type");
  }
  return (new PackWorker(info.Env(), source, dtype, count, std::move(plan)))->start();
}

Napi::Value load_vector_js(const Napi::CallbackInfo& info) {
  const Fields source = source_fields(info[0]);
  Napi::Object target = Napi::Object::New(info.Env());
  target.Set("dtype", info[1]);
  target.Set("count", info[2]);
  const Fields wanted(target, "The vector");
  const DType to = wanted.dtype("dtype");
  const auto count = static_cast<std::size_t>(wanted.integer("count", 1, kLargestExtent));
  const DType from = source.dtype("dtype");
  if (!convertible(from, to)) source.reject("dtype", "cannot become " + wanted.text("dtype"));
  return (new VectorWorker(info.Env(), source, from, count, to))->start();
}

Napi::Value create_floats_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object request = Napi::Object::New(env);
  request.Set("count", info[0]);
  const auto count =
      static_cast<std::size_t>(Fields(request, "The array").integer("count", 1, kLargestExtent));
  const std::size_t bytes = count * sizeof(float);
  std::shared_ptr<Buffer> buffer = Buffer::allocate(bytes);
  if (!buffer) {
    const Problem problem = no_memory(bytes);
    fail(env, "An array of " + std::to_string(count) + " numbers: " + problem.text + ".",
         problem.code);
  }
  buffer->writable = true;
  using Shared = std::shared_ptr<Buffer>;
  auto owner = std::make_unique<Shared>(buffer);
  const Napi::ArrayBuffer memory = Napi::ArrayBuffer::New(
      env, buffer->data(), bytes, [](Napi::Env, void*, Shared* shared) { delete shared; },
      owner.get());
  owner.release();
  Napi::Object result = Napi::Object::New(env);
  result.Set("array", Napi::Float32Array::New(env, count, memory, 0));
  result.Set("buffer", make_handle<Buffer>(env, std::move(buffer)));
  return result;
}

Napi::Value release_buffer_js(const Napi::CallbackInfo& info) {
  if (!release_handle<Buffer>(info[0])) fail(info.Env(), "Only a weight buffer can be released.");
  return info.Env().Undefined();
}

}  // namespace bookend
