// Reads the named fields of a JavaScript object into C++, refusing what no kernel could take.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/types.h"
#include "dispatch/isa.h"
#include "executor/buffer.h"
#include "executor/instruction.h"

namespace bookend {

// Extents stay far below what 64-bit products of a few of them could overflow silently; the
// products themselves are checked.
constexpr std::int64_t kLargestExtent = std::int64_t{1} << 31;
constexpr std::size_t kLargestBytes = std::size_t{1} << 46;

template <class T>
struct Choice {
  const char* name;
  T value;
};

class Fields {
 public:
  // `what` names the object in messages: "Instruction 12 (conv2d)".
  Fields(Napi::Object object, std::string what) : object_(object), what_(std::move(what)) {}

  Napi::Env env() const { return object_.Env(); }
  const std::string& what() const { return what_; }

  bool has(const char* name) const;
  Napi::Value get(const char* name) const;
  std::int64_t integer(const char* name, std::int64_t least, std::int64_t most) const;
  std::int64_t extent(const char* name) const { return integer(name, 1, kLargestExtent); }
  float number(const char* name) const;
  bool flag(const char* name) const;
  std::string text(const char* name) const;
  // Loops over several axes in one, and their strides, may be longer than an extent: up to 2^46.
  std::vector<std::int64_t> integers(const char* name, std::size_t count) const;
  DType dtype(const char* name) const;
  Activation activation(const char* name) const;

  template <class T>
  T choice(const char* name, std::initializer_list<Choice<T>> choices) const {
    const std::string found = text(name);
    std::string known;
    for (const Choice<T>& choice : choices) {
      if (found == choice.name) return choice.value;
      known += std::string(known.empty() ? "" : ", ") + choice.name;
    }
    reject(name, "is \"" + found + "\"; expected one of " + known);
  }

  // Throws "<what>: <field> <problem>."
  [[noreturn]] void reject(const char* field, const std::string& problem) const;

 private:
  Napi::Object object_;
  std::string what_;
};

// What a program's instructions may refer to.
struct DecodeContext {
  std::size_t arena_bytes;
  Isa limit;
  std::vector<std::shared_ptr<const Buffer>>* weights;  // collects what must stay alive
};

// Product of `factors`, which are not negative; rejects `field` when it is absurd.
std::size_t checked_product(const Fields& fields, const char* field,
                            std::initializer_list<std::int64_t> factors);

// An operand `{arena: offset}` or `{buffer, offset?}` of `count` elements, all of them in bounds.
OperandRef operand(const Fields& fields, const DecodeContext& context, const char* name,
                   DType dtype, std::size_t count);

// The same where `wanted`; an operand that the problem does not want must be absent.
OperandRef optional_operand(const Fields& fields, const DecodeContext& context, const char* name,
                            bool wanted, DType dtype, std::size_t count);

// A packed weight, which must have exactly the layout `format`.
OperandRef packed_operand(const Fields& fields, const DecodeContext& context, const char* name,
                          const std::string& format, std::size_t bytes);

}  // namespace bookend
