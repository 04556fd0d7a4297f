#include "sluice/convert/safetensors_out.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sluice/io/formats/tensor_index.h"

namespace sluice::convert {
namespace {

using kernels::Format;

std::string dtype_of(Format format) {
  return format == Format::f32 ? "F32" : format == Format::f16 ? "F16" : "BF16";
}

/// One tensor of a product.
struct Entry {
  std::string name, dtype;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;
  residency::FilePlace* place = nullptr;
};

std::vector<Entry> entries_of(Product& product) {
  residency::Weight& target = product.target;
  const kernels::Matrix& m = target.matrix;
  const auto bytes = static_cast<uint64_t>(m.rows * m.row_bytes);
  if (m.group_size == 0) {
    const std::string dtype = product.dtype.empty() ? dtype_of(m.format) : product.dtype;
    return {{product.name, dtype, product.shape, bytes, &target.data}};
  }
  const std::string path = product.name.substr(0, product.name.rfind('.'));
  std::vector<int64_t> packed = product.shape, groups = product.shape;
  packed.back() = m.row_bytes / 4;
  groups.back() = m.cols / m.group_size;
  const bool is_affine = m.format == Format::affine;
  const auto scale_bytes = static_cast<uint64_t>(m.rows * m.scale_row_bytes);
  const std::string scales = is_affine ? dtype_of(m.scale_type) : "U8";
  std::vector<Entry> entries = {{product.name, "U32", packed, bytes, &target.data},
                                {path + ".scales", scales, groups, scale_bytes, &target.scales}};
  if (is_affine) entries.push_back({path + ".biases", scales, groups, scale_bytes, &target.biases});
  return entries;
}

/// The header as the format has it: its length, then JSON, padded with spaces so that data begins at a multiple of 8.
std::string header_of(nlohmann::ordered_json tensors) {
  tensors["__metadata__"] = {{"format", "mlx"}};
  std::string text = tensors.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string header(8, '\0');
  for (size_t i = 0; i < 8; ++i) header[i] = static_cast<char>(text.size() >> 8 * i & 255U);
  return header + text;
}

}  // namespace

std::string lay_out_safetensors(Plan& plan, uint64_t shard_bytes) {
  std::vector<std::vector<Entry>> shards(1);
  uint64_t in_shard = 0, total = 0;
  for (Product& product : plan.products) {
    std::vector<Entry> entries = entries_of(product);
    uint64_t bytes = 0;
    for (const Entry& entry : entries) bytes += entry.bytes;
    if (in_shard > 0 && in_shard + bytes > shard_bytes) {
      shards.emplace_back();
      in_shard = 0;
    }
    in_shard += bytes;
    total += bytes;
    for (Entry& entry : entries) shards.back().push_back(std::move(entry));
  }
  nlohmann::json map = nlohmann::json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    PlannedFile file;
    file.name = shards.size() == 1
                    ? "model.safetensors"
                    : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    nlohmann::ordered_json tensors = nlohmann::ordered_json::object();
    uint64_t end = 0;
    for (const Entry& entry : shards[i]) {
      tensors[entry.name] = {{"dtype", entry.dtype},
                             {"shape", entry.shape},
                             {"data_offsets", {end, end + entry.bytes}}};
      *entry.place = {i, end};
      end += entry.bytes;
      map[entry.name] = file.name;
    }
    file.header = header_of(std::move(tensors));
    for (const Entry& entry : shards[i]) entry.place->offset += file.header.size();
    file.bytes = file.header.size() + end;
    plan.files.push_back(std::move(file));
  }
  return nlohmann::json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n";
}

}  // namespace sluice::convert
