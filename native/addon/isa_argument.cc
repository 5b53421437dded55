#include "addon/isa_argument.h"

#include <string>

#include "addon/errors.h"

namespace bookend {

Isa isa_argument(const Napi::Value& value) {
  Isa isa;
  if (!value.IsString() || !parse_isa(value.As<Napi::String>().Utf8Value().c_str(), &isa)) {
    const std::string found = value.ToString().Utf8Value();
    fail(value.Env(), "\"" + found + "\" is no instruction set; use scalar, avx2, avx512, " +
                          "avx512_vnni_bf16 or amx.", "invalid-argument");
  }
  // The emulation of AMX is itself compiled for the set below.
  const Isa needed = isa == Isa::amx && isa_missing(isa) ? Isa::avx512_vnni_bf16 : isa;
  if (const char* missing = isa_missing(needed)) {
    fail(value.Env(), std::string("Kernels for ") + isa_name(isa) + " cannot run here: " +
                          missing + "; use " + isa_name(best_isa()) + ".", "unsupported");
  }
  return isa;
}

}  // namespace bookend
