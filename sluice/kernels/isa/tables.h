#pragma once

#include "sluice/kernels/kernels.h"

namespace sluice::kernels {

// One unit each; which of them a build has is CMake's choice (all_kernels() lists them).
extern const KernelTable portable_table;
extern const KernelTable avx2_table;
extern const KernelTable avx_vnni_table;
extern const KernelTable avx_vnni_emulated_table;  // in tests alone
extern const KernelTable avx512_table;
extern const KernelTable neon_table;
extern const KernelTable neon_i8mm_table;

}  // namespace sluice::kernels
