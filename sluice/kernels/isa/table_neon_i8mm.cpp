#include SLUICE_ISA_HEADER
//
#include "sluice/kernels/isa/arm_features.h"
#include "sluice/kernels/isa/table_body.h"

namespace sluice::kernels {

constinit const KernelTable neon_i8mm_table = make_table("neon_i8mm", has_i8mm);

}  // namespace sluice::kernels
