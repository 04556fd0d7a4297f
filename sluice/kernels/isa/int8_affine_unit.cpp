#include SLUICE_ISA_HEADER
#include "sluice/kernels/int8/int8_body.h"
#include "sluice/kernels/isa/units.h"

namespace sluice::kernels::SLUICE_ISA {

Int8Rows affine_int8_rows(const Matrix& w) noexcept {
  if (w.format != Format::affine) return nullptr;
  switch (w.bits) {
    case 2:
      return int8_rows<AffineCodes<2>>;
    case 3:
      return int8_rows<AffineCodes<3>>;
    case 4:
      return int8_rows<AffineCodes<4>>;
    case 5:
      return int8_rows<AffineCodes<5>>;
    case 6:
      return int8_rows<AffineCodes<6>>;
    default:
      return int8_rows<AffineCodes<8>>;
  }
}

}  // namespace sluice::kernels::SLUICE_ISA
