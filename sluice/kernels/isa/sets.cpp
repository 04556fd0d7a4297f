#include <iterator>

#include "sluice/kernels/isa/tables.h"

namespace sluice::kernels {

KernelTables all_kernels() {
  static constexpr const KernelTable* tables[] = {SLUICE_ISA_TABLES};  // CMake's: the best first
  return {std::begin(tables), std::end(tables)};
}

}  // namespace sluice::kernels
