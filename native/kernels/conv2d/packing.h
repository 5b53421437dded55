// Packing of weights into the panels of panel_layout.h, once per model.
#pragma once

#include "kernels/conv2d/panel_layout.h"

namespace bookend {

// `weights`: [out_channels, channels + skip_channels, taps] of type `source` (f32, bf16 or f16; s8
// where the layout is for u8). Every byte of `packed` (layout.bytes() of them) is written; columns
// and depths that only pad are zero.
void pack_panels(const PanelLayout& layout, const void* weights, DType source, void* packed);

}  // namespace bookend
