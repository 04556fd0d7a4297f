#pragma once

#include "sluice/convert/encode.h"

namespace sluice::convert {

/// The affine layout, groups of 32 with float16 scales, that holds the very values of GGUF's q4_0, q4_1, q5_0, q5_1 or q8_0; of other
/// formats group_size is 0. Where code 0 is not zero, the bias is -8, -16 or -128 times the scale: exact but for subnormals.
kernels::Matrix repacked_layout(const kernels::Matrix& from);

/// One row of `from`, whose data is at hand, as repacked_layout() says.
void repack_row(const kernels::Matrix& from, int64_t row, const EncodedRow& out);

}  // namespace sluice::convert
