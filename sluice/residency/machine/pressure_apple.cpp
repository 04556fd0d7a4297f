#include <sys/sysctl.h>

#include "sluice/residency/machine/pressure.h"

namespace sluice::residency {

/// The kernel's level needs no memory of the last poll: 1 normal, 2 warning, 4 critical, as
/// DISPATCH_MEMORYPRESSURE_* (which would need a dispatch queue to deliver the same).
struct PressureSource::Counters {};

PressureSource::PressureSource(const std::filesystem::path&) {}
PressureSource::~PressureSource() = default;
PressureSource::PressureSource(PressureSource&&) noexcept = default;

PressureReading PressureSource::read() {
  PressureReading reading;
  reading.memory = memory_state();
  int level = 0;
  size_t size = sizeof(level);
  if (sysctlbyname("kern.memorystatus_vm_pressure_level", &level, &size, nullptr, 0) == 0 &&
      size == sizeof(level)) {
    if (level == 2) reading.level = PressureLevel::warning;
    if (level == 4) reading.level = PressureLevel::critical;
  }
  return reading;
}

}  // namespace sluice::residency
