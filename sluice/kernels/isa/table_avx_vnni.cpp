#include <cpuid.h>

#include SLUICE_ISA_HEADER
//
#include "sluice/kernels/isa/table_body.h"

namespace sluice::kernels {
namespace {

bool supported() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  const bool vnni = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1U << 4) != 0;
  return f16c && vnni && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

}  // namespace

#ifdef SLUICE_EMULATE_VNNI
constinit const KernelTable avx_vnni_emulated_table = make_table("avx_vnni_emulated", supported);
#else
constinit const KernelTable avx_vnni_table = make_table("avx_vnni", supported);
#endif

}  // namespace sluice::kernels
