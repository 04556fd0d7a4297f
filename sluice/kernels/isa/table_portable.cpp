#include SLUICE_ISA_HEADER
//
#include "sluice/kernels/isa/table_body.h"

namespace sluice::kernels {
namespace {

bool supported() noexcept { return true; }

}  // namespace

constinit const KernelTable portable_table = make_table("portable", supported);

}  // namespace sluice::kernels
