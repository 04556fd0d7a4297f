#include SLUICE_ISA_HEADER
//
#include "sluice/kernels/isa/table_body.h"

namespace sluice::kernels {
namespace {

bool supported() noexcept {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
}

}  // namespace

constinit const KernelTable avx512_table = make_table("avx512", supported);

}  // namespace sluice::kernels
