#include "sluice/kernels/int8_neon.h"
#include "sluice/kernels/table_body.h"

namespace sluice::kernels {
namespace {

bool supported() noexcept {
  return true;  // part of every AArch64 processor
}

}  // namespace

constinit const KernelTable neon_table = make_table("neon", supported);

}  // namespace sluice::kernels
