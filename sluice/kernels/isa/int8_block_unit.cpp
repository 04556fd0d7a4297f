#include SLUICE_ISA_HEADER
#include "sluice/kernels/int8/int8_body.h"
#include "sluice/kernels/isa/units.h"

namespace sluice::kernels::SLUICE_ISA {

Int8Rows block_int8_rows(const Matrix& w) noexcept {
  switch (w.format) {
    case Format::mxfp4:
      return int8_rows<MxFp4Codes>;
    case Format::nvfp4:
      return int8_rows<NvFp4Codes>;
    case Format::codes8:
      return w.group_size == 16 ? int8_rows<PlainCodes<16>> : int8_rows<PlainCodes<32>>;
    case Format::q4_0:
      return int8_rows<Q4Codes<false>>;
    case Format::q4_1:
      return int8_rows<Q4Codes<true>>;
    case Format::q5_0:
      return int8_rows<Q5Codes<false>>;
    case Format::q5_1:
      return int8_rows<Q5Codes<true>>;
    case Format::q8_0:
      return int8_rows<Q8Codes>;
    case Format::iq4_nl:
      return int8_rows<Iq4NlCodes>;
    case Format::gguf_mxfp4:
      return int8_rows<GgufMxFp4Codes>;
    default:
      return nullptr;
  }
}

}  // namespace sluice::kernels::SLUICE_ISA
