#include "sluice/kernels/arm_features.h"
#include "sluice/kernels/int8_neon.h"
#include "sluice/kernels/table_body.h"

namespace sluice::kernels {

constinit const KernelTable neon_table = make_table("neon", has_dotprod);

}  // namespace sluice::kernels
