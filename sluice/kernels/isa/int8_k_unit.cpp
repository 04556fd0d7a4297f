#include SLUICE_ISA_HEADER
#include "sluice/kernels/int8/int8_body.h"
#include "sluice/kernels/isa/units.h"

namespace sluice::kernels::SLUICE_ISA {

Int8Rows k_int8_rows(const Matrix& w) noexcept {
  switch (w.format) {
    case Format::q2_k:
      return int8_rows<Q2KCodes>;
    case Format::q3_k:
      return int8_rows<Q3KCodes>;
    case Format::q4_k:
      return int8_rows<Q4KCodes>;
    case Format::q5_k:
      return int8_rows<Q5KCodes>;
    case Format::q6_k:
      return int8_rows<Q6KCodes>;
    case Format::iq4_xs:
      return int8_rows<Iq4XsCodes>;
    default:
      return nullptr;
  }
}

}  // namespace sluice::kernels::SLUICE_ISA
