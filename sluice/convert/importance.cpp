#include "sluice/convert/importance.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "sluice/base/atomic_file.h"
#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/io/file.h"
#include "sluice/io/formats/safetensors.h"

namespace sluice::convert {
namespace {

/// A matrix has at most so many columns.
constexpr uint64_t kMostBytes = 4'000'000'000;

std::string little_endian(uint64_t value) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> 8 * i & 255U);
  return bytes;
}

}  // namespace

Importance read_importance(const std::filesystem::path& path, std::string& settings) {
  const io::File file = io::File::open(path);
  const uint64_t size = file.stamp().bytes;
  if (size > kMostBytes)
    fail(ErrorKind::bad_model, "{}: has {} bytes, which no importance matrix has", path.string(),
         size);
  std::vector<std::byte> bytes(size);
  file.read(0, bytes);
  io::TensorIndex index;
  io::read_safetensors_header(bytes, size, path.string(), 0, index);
  Importance importance;
  for (const auto& [name, tensor] : index.tensors) {
    if (tensor.type != io::TensorType::f32 || tensor.shape.size() != 1) {
      fail(ErrorKind::bad_model, "{}: {} is {} {}, wanted one float32 for each column",
           path.string(), printable(name), io::info(tensor.type).name,
           io::shape_text(tensor.shape));
    }
    std::vector<float>& values = importance[name];
    values.resize(static_cast<size_t>(tensor.shape[0]));
    std::memcpy(values.data(), bytes.data() + tensor.offset, tensor.bytes);
    for (const float value : values) {
      if (!std::isfinite(value) || value < 0)
        fail(ErrorKind::bad_model, "{}: {} has a negative or infinite mean square", path.string(),
             printable(name));
    }
  }
  settings += "imatrix ";
  Digest digest = Digest::sha256();
  digest.update({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  settings += digest.hex();
  return importance;
}

void write_importance(const std::filesystem::path& path, const Importance& importance) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::object();
  uint64_t end = 0;
  for (const auto& [name, values] : importance) {
    const uint64_t bytes = values.size() * sizeof(float);
    tensors[name] = {
        {"dtype", "F32"}, {"shape", {values.size()}}, {"data_offsets", {end, end + bytes}}};
    end += bytes;
  }
  const std::string header = tensors.dump();
  AtomicFile file(path);
  file.write(little_endian(header.size()) + header);
  for (const auto& [name, values] : importance)
    file.write({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  file.commit();
}

}  // namespace sluice::convert
