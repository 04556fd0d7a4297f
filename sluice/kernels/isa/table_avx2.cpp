#include <cpuid.h>

#include SLUICE_ISA_HEADER
//
#include "sluice/kernels/isa/table_body.h"

namespace sluice::kernels {
namespace {

bool supported() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

}  // namespace

constinit const KernelTable avx2_table = make_table("avx2", supported);

}  // namespace sluice::kernels
