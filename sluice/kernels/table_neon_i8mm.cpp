#include "sluice/kernels/arm_features.h"
#include "sluice/kernels/int8_neon_i8mm.h"
#include "sluice/kernels/table_body.h"

namespace sluice::kernels {

constinit const KernelTable neon_i8mm_table = make_table("neon_i8mm", has_i8mm);

}  // namespace sluice::kernels
