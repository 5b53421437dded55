#include "addon/isa_argument.h"

#include <string>

#include "addon/errors.h"

namespace bookend {

Isa isa_argument(const Napi::Value& value) {
  Isa isa;
  if (!value.IsString() || !parse_isa(value.As<Napi::String>().Utf8Value().c_str(), &isa)) {
    std::string names = isa_name(Isa::scalar);
    for (int i = 1; i < kIsaCount; ++i) names += std::string(", ") + isa_name(static_cast<Isa>(i));
    fail(value.Env(), "\"" + value.ToString().Utf8Value() + "\" is no instruction set; use one of " +
                          names + ".", "invalid-argument");
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
