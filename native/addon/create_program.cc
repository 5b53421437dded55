#include <algorithm>
#include <string>

#include "addon/decode.h"
#include "addon/errors.h"
#include "addon/handles.h"
#include "addon/isa_argument.h"
#include "addon/programs.h"

namespace bookend {
namespace {

constexpr int kMostThreads = 256;
constexpr std::uint32_t kMostInstructions = 1u << 20;

Napi::Array array_field(const Fields& fields, const char* name) {
  const Napi::Value value = fields.get(name);
  if (!value.IsArray()) fields.reject(name, "is not an array");
  return value.As<Napi::Array>();
}

Fields element(const Napi::Array& array, std::uint32_t i, const std::string& what) {
  const Napi::Value value = array.Get(i);
  if (!value.IsObject()) fail(array.Env(), what + " is not an object.");
  return Fields(value.As<Napi::Object>(), what);
}

std::vector<ArenaRange> decode_ranges(const Fields& fields, const char* name,
                                      std::size_t arena_bytes) {
  const Napi::Array array = array_field(fields, name);
  std::vector<ArenaRange> ranges;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    const Fields item = element(array, i, std::string(name) + " " + std::to_string(i));
    const auto most = static_cast<std::int64_t>(arena_bytes);
    const ArenaRange range{static_cast<std::size_t>(item.integer("arena", 0, most)),
                           static_cast<std::size_t>(item.integer("bytes", 0, most))};
    if (range.bytes > arena_bytes - range.offset) item.reject("bytes", "lead out of the arena");
    ranges.push_back(range);
  }
  return ranges;
}

std::string instruction_name(const Napi::Array& array, std::uint32_t i) {
  std::string name = "Instruction " + std::to_string(i);
  const Napi::Value value = array.Get(i);
  if (!value.IsObject()) return name;
  const Napi::Value op = value.As<Napi::Object>().Get("op");
  return op.IsString() ? name + " (" + op.As<Napi::String>().Utf8Value() + ")" : name;
}

}  // namespace

Napi::Value create_program_js(const Napi::CallbackInfo& info) {
  if (!info[0].IsObject()) fail(info.Env(), "A program's description must be an object.");
  const Fields fields(info[0].As<Napi::Object>(), "The program");
  auto program = std::make_shared<Program>();
  program->threads = static_cast<int>(fields.integer("threads", 1, kMostThreads));
  program->simulate_threads = fields.has("simulateThreads") && fields.flag("simulateThreads");
  program->arena_bytes = static_cast<std::size_t>(
      fields.integer("arenaBytes", 0, static_cast<std::int64_t>(kLargestBytes)));
  const Isa limit = isa_argument(fields.get("isa"));
  const DecodeContext context{program->arena_bytes, limit, &program->weights};
  const Napi::Array instructions = array_field(fields, "instructions");
  if (instructions.Length() > kMostInstructions) fields.reject("instructions", "are too many");
  for (std::uint32_t i = 0; i < instructions.Length(); ++i) {
    const Napi::HandleScope scope(info.Env());
    const Instruction instruction = decode_instruction(
        element(instructions, i, instruction_name(instructions, i)), context);
    program->scratch_bytes =
        std::max(program->scratch_bytes, instruction.scratch_bytes(program->threads));
    program->instructions.push_back(instruction);
  }
  program->inputs = decode_ranges(fields, "inputs", program->arena_bytes);
  program->outputs = decode_ranges(fields, "outputs", program->arena_bytes);
  return make_handle<const Program>(info.Env(), std::move(program));
}

Napi::Value describe_program_js(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::shared_ptr<const Program> program = from_handle<const Program>(info[0]);
  Napi::Array kernels = Napi::Array::New(env, program->instructions.size());
  for (std::uint32_t i = 0; i < program->instructions.size(); ++i) {
    const Instruction& instruction = program->instructions[i];
    Napi::Object kernel = Napi::Object::New(env);
    kernel.Set("name", instruction.kernel_name());
    kernel.Set("isa", isa_name(instruction.isa()));
    kernels.Set(i, kernel);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("kernels", kernels);
  result.Set("scratchBytes", static_cast<double>(program->scratch_bytes));
  return result;
}

}  // namespace bookend
