#include "sluice/kernels/kernels.h"

#include <cstdlib>
#include <string>

#include "sluice/base/error.h"

namespace sluice::kernels {
namespace {

const KernelTable& choose(const char* wanted) {
  const KernelTables all = all_kernels();
  std::string available;
  for (const auto* table = all.begin; table != all.end; ++table) {
    if (!(*table)->supported()) continue;
    if (!wanted || (*table)->isa == wanted) return **table;
    available += available.empty() ? "" : ", ";
    available += (*table)->isa;
  }
  fail(ErrorKind::bad_request,
       "SLUICE_ISA={}: not an instruction set of this machine and build; available: {}", wanted,
       available);
}

}  // namespace

const KernelTable& kernels() {
  static const KernelTable& chosen = [&]() -> const KernelTable& {
    const char* wanted = std::getenv("SLUICE_ISA");
    return choose(wanted && *wanted ? wanted : nullptr);
  }();
  return chosen;
}

}  // namespace sluice::kernels
