// Shared native objects that JavaScript holds: tagged, so that a value of another kind is refused,
// and empty once released.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <string>

#include "addon/errors.h"
#include "executor/buffer.h"
#include "executor/program.h"

namespace bookend {

template <class T>
struct HandleKind;

template <>
struct HandleKind<Buffer> {
  static constexpr napi_type_tag tag{0x8f4b64c1a5e24d10, 0x9a9d3a3c0f5b7e01};
  static constexpr const char* name = "weight buffer";
};

template <>
struct HandleKind<Arena> {
  static constexpr napi_type_tag tag{0x8f4b64c1a5e24d10, 0x9a9d3a3c0f5b7e02};
  static constexpr const char* name = "arena";
};

template <>
struct HandleKind<const Program> {
  static constexpr napi_type_tag tag{0x8f4b64c1a5e24d10, 0x9a9d3a3c0f5b7e03};
  static constexpr const char* name = "program";
};

template <class T>
Napi::Value make_handle(Napi::Env env, std::shared_ptr<T> object) {
  using Shared = std::shared_ptr<T>;
  auto handle = Napi::External<Shared>::New(
      env, new Shared(std::move(object)), [](Napi::Env, Shared* shared) { delete shared; });
  handle.TypeTag(&HandleKind<T>::tag);
  return handle;
}

// The pointer behind `value`, or nullptr where `value` is no handle of this kind.
template <class T>
std::shared_ptr<T>* find_handle(const Napi::Value& value) {
  if (!value.IsExternal()) return nullptr;
  auto handle = value.As<Napi::External<std::shared_ptr<T>>>();
  return handle.CheckTypeTag(&HandleKind<T>::tag) ? handle.Data() : nullptr;
}

template <class T>
std::shared_ptr<T> from_handle(const Napi::Value& value) {
  const std::shared_ptr<T>* shared = find_handle<T>(value);
  const std::string name = HandleKind<T>::name;
  if (shared == nullptr) fail(value.Env(), "Expected a " + name + " and got something else.");
  if (!*shared) fail(value.Env(), "The " + name + " has been released; make a new one.");
  return *shared;
}

// Lets go of the object at once instead of when the garbage collector comes by.
template <class T>
bool release_handle(const Napi::Value& value) {
  std::shared_ptr<T>* shared = find_handle<T>(value);
  if (shared == nullptr) return false;
  shared->reset();
  return true;
}

}  // namespace bookend
