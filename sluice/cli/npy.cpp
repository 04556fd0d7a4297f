#include "sluice/cli/npy.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

namespace sluice::cli {

NpyWriter::NpyWriter(const std::string& path, size_t rows, size_t cols) : file_(path) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kPrefix = 10;  // magic, version, 16-bit header length
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  const char prefix[kPrefix] = {'\x93',
                                'N',
                                'U',
                                'M',
                                'P',
                                'Y',
                                1,
                                0,
                                static_cast<char>(length & 0xFF),
                                static_cast<char>(length >> 8)};
  file_.write({prefix, kPrefix});
  file_.write(header);
}

void NpyWriter::write(std::span<const float> row) {
  file_.write({reinterpret_cast<const char*>(row.data()), row.size_bytes()});
}

}  // namespace sluice::cli
