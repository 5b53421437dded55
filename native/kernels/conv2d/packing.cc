#include "kernels/conv2d/packing.h"

namespace bookend {
namespace {

inline float widen(float value) { return value; }
inline float widen(Bf16 value) { return to_float(value); }
inline float widen(F16 value) { return to_float(value); }
inline std::int8_t widen(std::int8_t value) { return value; }

inline void convert(float value, float* out) { *out = value; }
inline void convert(float value, Bf16* out) { *out = to_bf16(value); }
inline void convert(std::int8_t value, std::int8_t* out) { *out = value; }

// Output channel of a panel's lane, or -1 where the lane only pads.
std::int64_t channel_of_lane(const PanelLayout& layout, std::int64_t panel, int vectors, int lane) {
  const int lanes = vectors * layout.shape.width / (layout.paired ? 2 : 1);
  const std::int64_t column = panel * layout.panel_columns() + lane % lanes;
  if (column >= layout.columns) return -1;
  return lane < lanes ? column : layout.columns + column;
}

// Every layout packs 4 bytes of consecutive channels.
template <class Packed>
constexpr std::int64_t kPack = 4 / sizeof(Packed);

// Where one lane's depths of one source begin, and how far apart they lie, in elements.
template <class Packed>
struct Lane {
  Packed* out;
  std::int64_t tap_stride, step_stride;

  Packed* at(std::int64_t channel) const {
    const auto c = static_cast<std::uint64_t>(channel);  // unsigned, to divide by a shift
    return out + static_cast<std::int64_t>(c / kPack<Packed>) * step_stride + c % kPack<Packed>;
  }
};

template <class Source, class Packed>
void pack_channels(const Source* weights, std::int64_t begin, std::int64_t end, std::int64_t taps,
                   const Lane<Packed>& lane) {
  for (std::int64_t c = begin; c < end; ++c) {
    Packed* out = lane.at(c);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      convert(widen(weights[c * taps + tap]), out + tap * lane.tap_stride);
    }
  }
}

template <class Packed>
void pack_zeros(std::int64_t begin, std::int64_t end, std::int64_t taps, const Lane<Packed>& lane) {
  for (std::int64_t c = begin; c < end; ++c) {
    Packed* out = lane.at(c);
    for (std::int64_t tap = 0; tap < taps; ++tap) out[tap * lane.tap_stride] = Packed{};
  }
}

// Channels of a source are packed in blocks small enough that the cache lines which all lanes of a
// panel share stay in the first-level cache until every lane has written its part.
std::int64_t block_of_channels(const PanelLayout& layout) {
  const std::int64_t block = 128 / layout.taps / 4 * 4;
  return block < 4 ? 4 : block;
}

template <class Source, class Packed>
void pack_panel(const PanelLayout& layout, const Source* weights, std::int64_t panel, Packed* out) {
  const int vectors = layout.vectors_of(panel);
  const int lanes = vectors * layout.shape.width;
  constexpr std::int64_t pack = kPack<Packed>;
  const std::int64_t depth = (layout.channels[0] + layout.channels[1]) * layout.taps;
  for (int source = 0; source < 2; ++source) {
    const std::int64_t channels = layout.channels[source];
    const std::int64_t padded = layout.steps[source] * pack;
    const std::int64_t block = block_of_channels(layout);
    const Source* first = weights + (source == 0 ? 0 : layout.channels[0] * layout.taps);
    const std::size_t source_offset = layout.step_offset(vectors, source, 0, 0) / sizeof(Packed);
    for (std::int64_t begin = 0; begin < padded; begin += block) {
      const std::int64_t end = begin + block < padded ? begin + block : padded;
      const std::int64_t stop = end < channels ? end : channels;
      for (int lane = 0; lane < lanes; ++lane) {
        const Lane<Packed> place{out + source_offset + lane * pack,
                                 layout.steps[source] * lanes * pack, lanes * pack};
        const std::int64_t channel = channel_of_lane(layout, panel, vectors, lane);
        if (channel < 0) {
          pack_zeros(begin, end, layout.taps, place);
          continue;
        }
        pack_channels(first + channel * depth, begin, stop, layout.taps, place);
        pack_zeros(stop > begin ? stop : begin, end, layout.taps, place);
      }
    }
  }
}

template <class Source, class Packed>
void pack_all(const PanelLayout& layout, const void* weights, void* packed) {
  for (std::int64_t panel = 0; panel < layout.panels; ++panel) {
    std::byte* out = static_cast<std::byte*>(packed) + layout.panel_offset(panel);
    pack_panel(layout, static_cast<const Source*>(weights), panel, reinterpret_cast<Packed*>(out));
  }
}

// Adds up packed weights, whose padding is zero, column by column.
void sum_weights(const PanelLayout& layout, void* packed) {
  std::byte* bytes = static_cast<std::byte*>(packed);
  auto* all_sums = reinterpret_cast<std::int32_t*>(bytes + layout.weight_sums_offset());
  for (std::int64_t panel = 0; panel < layout.panels; ++panel) {
    const int vectors = layout.vectors_of(panel);
    const int lanes = vectors * layout.shape.width;
    for (int source = 0; source < layout.sources(); ++source) {
      const auto* weights = reinterpret_cast<const std::int8_t*>(
          bytes + layout.panel_offset(panel) + layout.step_offset(vectors, source, 0, 0));
      std::int32_t* sums = all_sums + layout.weight_sum(panel, source);
      for (int lane = 0; lane < lanes; ++lane) sums[lane] = 0;
      const std::int64_t steps = layout.taps * layout.steps[source];
      for (std::int64_t step = 0; step < steps; ++step, weights += 4 * lanes) {
        for (int lane = 0; lane < lanes; ++lane) {
          const std::int8_t* four = weights + 4 * lane;
          sums[lane] += four[0] + four[1] + four[2] + four[3];
        }
      }
    }
  }
}

template <class Packed>
void pack_from(const PanelLayout& layout, const void* weights, DType source, void* packed) {
  if (source == DType::f32) return pack_all<float, Packed>(layout, weights, packed);
  if (source == DType::bf16) return pack_all<Bf16, Packed>(layout, weights, packed);
  pack_all<F16, Packed>(layout, weights, packed);
}

}  // namespace

void pack_panels(const PanelLayout& layout, const void* weights, DType source, void* packed) {
  if (layout.type == DType::u8) {
    pack_all<std::int8_t, std::int8_t>(layout, weights, packed);
    return sum_weights(layout, packed);
  }
  if (layout.type == DType::f32) return pack_from<float>(layout, weights, source, packed);
  pack_from<Bf16>(layout, weights, source, packed);
}

}  // namespace bookend
