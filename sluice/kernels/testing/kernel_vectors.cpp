#include "sluice/kernels/testing/kernel_vectors.h"

#include <fstream>
#include <sstream>

#include "sluice/base/error.h"

namespace sluice::kernels {
namespace {

Format format_named(const std::string& name) {
  for (const Storage& storage : all_storages()) {
    if (storage.name == name) return storage.format;
  }
  if (name == "affine") return Format::affine;
#define SLUICE_NAMED(type, format, ...) \
  if (name == #format) return Format::format;
  SLUICE_GGUF_CODED(SLUICE_NAMED)
#undef SLUICE_NAMED
  fail(ErrorKind::io, "kernel vectors: no format is called {}", name);
}

std::vector<std::byte> read_bytes(std::istream& file, int64_t n) {
  std::vector<std::byte> bytes(static_cast<size_t>(n));
  file.read(reinterpret_cast<char*>(bytes.data()), n);
  return bytes;
}

}  // namespace

std::vector<KernelVector> read_kernel_vectors(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<KernelVector> vectors;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string format, scale_type;
    int bits = 0;
    int64_t row_bytes = 0, scale_row_bytes = 0, n_scales = 0, n_biases = 0;
    KernelVector vector;
    Matrix& m = vector.stored.matrix;
    fields >> vector.stored.name >> format >> scale_type >> bits >> m.group_size >>
        m.global_scale >> m.rows >> m.cols >> row_bytes >> scale_row_bytes >> n_scales >> n_biases;
    if (!fields) fail(ErrorKind::io, "{}: not a case: {}", path, line);
    m.format = format_named(format);
    m.scale_type = format_named(scale_type);
    m.bits = static_cast<uint8_t>(bits);
    const auto data = read_bytes(file, m.rows * row_bytes);
    const auto scales = read_bytes(file, n_scales);
    const auto biases = read_bytes(file, n_biases);
    vector.stored.place(data, scales, biases);
    vector.expected.resize(static_cast<size_t>(m.rows * m.cols));
    file.read(reinterpret_cast<char*>(vector.expected.data()), m.rows * m.cols * 4);
    if (!file) fail(ErrorKind::io, "{}: {} is cut short", path, vector.stored.name);
    vectors.push_back(std::move(vector));
  }
  if (vectors.empty()) fail(ErrorKind::io, "{}: no kernel vectors", path);
  return vectors;
}

}  // namespace sluice::kernels
