#include "sluice/kernels/simd_avx2.h"
#include "sluice/kernels/table_body.h"

namespace sluice::kernels {
namespace {

bool supported() noexcept {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

}  // namespace

constinit const KernelTable avx2_table = make_table("avx2", supported);

}  // namespace sluice::kernels
