#include "addon/fields.h"

#include <cmath>
#include <cstring>

#include "addon/errors.h"
#include "addon/handles.h"

namespace bookend {

void Fields::reject(const char* field, const std::string& problem) const {
  fail(env(), what_ + ": " + field + " " + problem + ".");
}

bool Fields::has(const char* name) const { return !object_.Get(name).IsUndefined(); }

Napi::Value Fields::get(const char* name) const {
  Napi::Value value = object_.Get(name);
  if (value.IsUndefined()) reject(name, "is missing");
  return value;
}

std::int64_t Fields::integer(const char* name, std::int64_t least, std::int64_t most) const {
  const Napi::Value value = get(name);
  if (!value.IsNumber()) reject(name, "is not a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) ||
      number != std::floor(number)) {
    reject(name, "is " + std::to_string(number) + "; expected a whole number from " +
                     std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<std::int64_t>(number);
}

float Fields::number(const char* name) const {
  const Napi::Value value = get(name);
  if (!value.IsNumber()) reject(name, "is not a number");
  const auto number = static_cast<float>(value.As<Napi::Number>().DoubleValue());
  if (!std::isfinite(number)) reject(name, "is not a finite float32");
  return number;
}

bool Fields::flag(const char* name) const {
  const Napi::Value value = get(name);
  if (!value.IsBoolean()) reject(name, "is not a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string Fields::text(const char* name) const {
  const Napi::Value value = get(name);
  if (!value.IsString()) reject(name, "is not a string");
  return value.As<Napi::String>().Utf8Value();
}

std::vector<std::int64_t> Fields::integers(const char* name, std::size_t count) const {
  const Napi::Value value = get(name);
  if (!value.IsArray() || value.As<Napi::Array>().Length() != count) {
    reject(name, "is not an array of " + std::to_string(count) + " numbers");
  }
  std::vector<std::int64_t> result;
  for (std::size_t i = 0; i < count; ++i) {
    const Napi::Value item = value.As<Napi::Array>().Get(static_cast<std::uint32_t>(i));
    const double number = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= static_cast<double>(kLargestBytes)) ||
        number != std::floor(number)) {
      reject(name, "holds something else than whole numbers from 0 to 2^46");
    }
    result.push_back(static_cast<std::int64_t>(number));
  }
  return result;
}

DType Fields::dtype(const char* name) const {
  return choice<DType>(name, {{"f32", DType::f32},
                              {"bf16", DType::bf16},
                              {"f16", DType::f16},
                              {"s8", DType::s8},
                              {"u8", DType::u8},
                              {"s32", DType::s32}});
}

Activation Fields::activation(const char* name) const {
  return choice<Activation>(name, {{"none", Activation::none},
                                   {"silu", Activation::silu},
                                   {"gelu", Activation::gelu},
                                   {"geluTanh", Activation::gelu_tanh},
                                   {"quickGelu", Activation::quick_gelu},
                                   {"relu", Activation::relu},
                                   {"geglu", Activation::geglu}});
}

std::size_t checked_product(const Fields& fields, const char* field,
                            std::initializer_list<std::int64_t> factors) {
  std::size_t product = 1;
  for (const std::int64_t factor : factors) {
    const bool overflow =
        __builtin_mul_overflow(product, static_cast<std::size_t>(factor), &product);
    if (overflow || product > kLargestBytes) fields.reject(field, "would be larger than 2^46");
  }
  return product;
}

namespace {

struct Region {
  const std::byte* base;  // nullptr for the arena
  std::size_t bytes;
  std::size_t offset;
  bool writable;
};

Region region(const Fields& fields, const DecodeContext& context, const char* name) {
  const Napi::Value value = fields.get(name);
  if (!value.IsObject()) fields.reject(name, "is not an operand");
  const Fields inner(value.As<Napi::Object>(), fields.what() + ": " + name);
  const auto most = static_cast<std::int64_t>(kLargestBytes);
  if (!inner.has("buffer")) {
    return {nullptr, context.arena_bytes,
            static_cast<std::size_t>(inner.integer("arena", 0, most)), true};
  }
  const std::shared_ptr<Buffer> buffer = from_handle<Buffer>(inner.get("buffer"));
  const std::int64_t offset = inner.has("offset") ? inner.integer("offset", 0, most) : 0;
  context.weights->push_back(buffer);
  return {buffer->data(), buffer->size(), static_cast<std::size_t>(offset), buffer->writable};
}

bool is_result(const char* name) {
  constexpr const char* kResults[] = {"out",  "quantized", "histogram",     "range",
                                      "sums", "squares",   "gammaGradient", "betaGradient",
                                      "scores", "probabilities",
                                      // What an optimizer changes in place.
                                      "sum", "parameter", "first", "second", "average"};
  for (const char* result : kResults) {
    if (std::strcmp(name, result) == 0) return true;
  }
  return false;
}

}  // namespace

OperandRef operand(const Fields& fields, const DecodeContext& context, const char* name,
                   DType dtype, std::size_t count) {
  const Region found = region(fields, context, name);
  if (found.offset % byte_size(dtype) != 0) {
    fields.reject(name, "starts inside an element, at byte " + std::to_string(found.offset));
  }
  if (!found.writable && is_result(name)) {
    fields.reject(name, "is a weight buffer, which nothing may write to");
  }
  const std::size_t bytes = count * byte_size(dtype);
  if (found.offset > found.bytes || bytes > found.bytes - found.offset) {
    fields.reject(name, "needs " + std::to_string(bytes) + " bytes at " +
                            std::to_string(found.offset) + " and only " +
                            std::to_string(found.bytes) + " are there");
  }
  return {found.base, found.offset, true};
}

OperandRef optional_operand(const Fields& fields, const DecodeContext& context, const char* name,
                            bool wanted, DType dtype, std::size_t count) {
  if (wanted) return operand(fields, context, name, dtype, count);
  if (fields.has(name)) fields.reject(name, "is there though the problem does without it");
  return {};
}

OperandRef packed_operand(const Fields& fields, const DecodeContext& context, const char* name,
                          const std::string& format, std::size_t bytes) {
  const Region found = region(fields, context, name);
  const std::shared_ptr<const Buffer> buffer =
      found.base != nullptr ? context.weights->back() : nullptr;
  if (!buffer || found.offset != 0 || buffer->format != format || buffer->size() < bytes) {
    fields.reject(name, "is not packed as " + format);
  }
  return {found.base, 0, true};
}

}  // namespace bookend
