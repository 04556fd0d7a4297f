#include SLUICE_ISA_HEADER
//
#include "sluice/kernels/isa/arm_features.h"
#include "sluice/kernels/isa/table_body.h"

namespace sluice::kernels {

constinit const KernelTable neon_table = make_table("neon", has_dotprod);

}  // namespace sluice::kernels
