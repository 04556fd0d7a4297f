#include <iterator>

#include "sluice/kernels/isa/tables.h"

namespace sluice::kernels {

KernelTables all_kernels() {
  static constexpr const KernelTable* tables[] = {&avx512_table, &avx2_table, &portable_table};
  return {std::begin(tables), std::end(tables)};
}

}  // namespace sluice::kernels
