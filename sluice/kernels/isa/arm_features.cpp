#include "sluice/kernels/isa/arm_features.h"

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace sluice::kernels {

#if defined(__linux__)

bool has_dotprod() noexcept { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
bool has_i8mm() noexcept { return has_dotprod() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }

#elif defined(__APPLE__)

namespace {

bool is_set(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace

bool has_dotprod() noexcept { return is_set("hw.optional.arm.FEAT_DotProd"); }
bool has_i8mm() noexcept { return has_dotprod() && is_set("hw.optional.arm.FEAT_I8MM"); }

#else

bool has_dotprod() noexcept { return false; }
bool has_i8mm() noexcept { return false; }

#endif

}  // namespace sluice::kernels
