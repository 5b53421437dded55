// The addon's exports. Each is a thin binding; src/runtime/native/addon.ts gives their types.
#include <napi.h>

#include "addon/ceiling.h"
#include "addon/programs.h"
#include "addon/weights.h"
#include "dispatch/isa.h"

namespace bookend {
namespace {

// isas() -> [{name, missing: string | null}], from least to most preferred.
Napi::Value isas_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array result = Napi::Array::New(env, kIsaCount);
  for (std::uint32_t i = 0; i < kIsaCount; ++i) {
    const auto isa = static_cast<Isa>(i);
    const char* missing = isa_missing(isa);
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", isa_name(isa));
    entry.Set("missing", missing ? Napi::Value(Napi::String::New(env, missing)) : env.Null());
    result.Set(i, entry);
  }
  return result;
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  start_executor(env);
  const auto add = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, function, name));
  };
  add("isas", isas_js);
  add("planPacking", plan_packing_js);
  add("packWeights", pack_weights_js);
  add("loadVector", load_vector_js);
  add("createFloats", create_floats_js);
  add("releaseBuffer", release_buffer_js);
  add("createProgram", create_program_js);
  add("describeProgram", describe_program_js);
  add("releaseProgram", release_program_js);
  add("createArena", create_arena_js);
  add("releaseArena", release_arena_js);
  add("run", run_js);
  add("measureCeiling", measure_ceiling_js);
  return exports;
}

}  // namespace
}  // namespace bookend

static Napi::Object initialize_addon(Napi::Env env, Napi::Object exports) {
  return bookend::initialize(env, exports);
}

NODE_API_MODULE(bookend, initialize_addon)
