#include "addon/decode.h"

#include <array>
#include <cmath>

namespace bookend {
namespace {

struct Decoder {
  const char* op;
  Instruction (*decode)(const Fields&, const DecodeContext&);
};

constexpr std::array kDecoders{
    Decoder{"conv2d", decode_conv2d},
    Decoder{"attention", decode_attention},
    Decoder{"groupNorm", decode_group_norm},
    Decoder{"layerNorm", decode_layer_norm},
    Decoder{"unary", decode_unary},
    Decoder{"binary", decode_binary},
    Decoder{"geglu", decode_geglu},
    Decoder{"softmax", decode_softmax},
    Decoder{"copy", decode_copy},
    Decoder{"embedding", decode_embedding},
    Decoder{"timestepEmbedding", decode_timestep_embedding},
    Decoder{"fakeQuantize", decode_fake_quantize},
    Decoder{"pool2d", decode_pool2d},
    Decoder{"sqrtTrace", decode_sqrt_trace},
    Decoder{"observe", decode_observe},
    Decoder{"sum", decode_sum},
    Decoder{"attentionGradient", decode_attention_gradient},
    Decoder{"layerNormGradient", decode_layer_norm_gradient},
    Decoder{"groupNormGradient", decode_group_norm_gradient},
    Decoder{"squareSum", decode_square_sum},
    Decoder{"accumulate", decode_accumulate},
    Decoder{"adamw", decode_adamw},
};

}  // namespace

ResultQuantization read_quantization(const Fields& fields, DType output) {
  if (output != DType::u8) return {1.0f, 0.0f};
  const float scale = fields.number("quantizeScale");
  if (!(scale > 0.0f) || !std::isfinite(1.0f / scale)) {
    fields.reject("quantizeScale", "is not a positive number with a finite inverse");
  }
  return {scale, static_cast<float>(fields.integer("quantizeZero", 0, 255))};
}

Instruction decode_instruction(const Fields& fields, const DecodeContext& context) {
  const std::string op = fields.text("op");
  for (const Decoder& decoder : kDecoders) {
    if (op == decoder.op) return decoder.decode(fields, context);
  }
  fields.reject("op", "is \"" + op + "\", which is no native instruction");
}

}  // namespace bookend
