// Errors as JavaScript sees them: an Error with a `code` of src/core/errors.ts.
#pragma once

#include <napi.h>

#include <string>

namespace bookend {

inline Napi::Error make_error(Napi::Env env, const std::string& message,
                              const char* code = "native") {
  Napi::Error error = Napi::Error::New(env, message);
  error.Value().Set("code", Napi::String::New(env, code));
  return error;
}

[[noreturn]] inline void fail(Napi::Env env, const std::string& message,
                              const char* code = "native") {
  throw make_error(env, message, code);
}

}  // namespace bookend
