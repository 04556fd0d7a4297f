#pragma once

namespace sluice::kernels {

/// Extensions of 64-bit Arm that not every processor has. False where the system does not tell.
bool has_dotprod() noexcept;
bool has_i8mm() noexcept;  ///< and dotprod

}  // namespace sluice::kernels
