#include "sluice/io/formats/tensor_index.h"

#include <fmt/ranges.h>

#include <array>
#include <limits>

#include "sluice/base/checked.h"

namespace sluice::io {
namespace {

// In the order of TensorType.
constexpr std::array<TensorTypeInfo, 29> kTypes = {{
    {"f64", 1, 8},      {"f32", 1, 4},      {"f16", 1, 2},      {"bf16", 1, 2},
    {"i64", 1, 8},      {"i32", 1, 4},      {"i16", 1, 2},      {"i8", 1, 1},
    {"u64", 1, 8},      {"u32", 1, 4},      {"u16", 1, 2},      {"u8", 1, 1},
    {"bool", 1, 1},     {"f8_e4m3", 1, 1},  {"f8_e5m2", 1, 1},  {"f8_e8m0", 1, 1},
    {"q4_0", 32, 18},   {"q4_1", 32, 20},   {"q5_0", 32, 22},   {"q5_1", 32, 24},
    {"q8_0", 32, 34},   {"q2_k", 256, 84},  {"q3_k", 256, 110}, {"q4_k", 256, 144},
    {"q5_k", 256, 176}, {"q6_k", 256, 210}, {"iq4_nl", 32, 18}, {"iq4_xs", 256, 136},
    {"mxfp4", 32, 17},
}};
static_assert(kTypes.size() == static_cast<size_t>(TensorType::mxfp4) + 1);

constexpr uint64_t kInt64Max = std::numeric_limits<int64_t>::max();

}  // namespace

const TensorTypeInfo& info(TensorType type) { return kTypes.at(static_cast<size_t>(type)); }

std::optional<uint64_t> stored_bytes(TensorType type, std::span<const int64_t> shape) {
  const auto& layout = info(type);
  const auto block = static_cast<uint64_t>(layout.block_elements);
  // A 0 must not hide that the other dimensions overflow: strides are computed from them too.
  uint64_t elements = 1;
  bool empty = false;
  for (const int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    empty = empty || dimension == 0;
    const auto product =
        checked_multiply(elements, dimension == 0 ? 1 : static_cast<uint64_t>(dimension));
    if (!product || *product > kInt64Max) return std::nullopt;
    elements = *product;
  }
  const uint64_t row = shape.empty() ? 1 : static_cast<uint64_t>(shape.back());
  if (row % block != 0) return std::nullopt;
  if (empty) return 0;
  const auto bytes = checked_multiply(elements / block, static_cast<uint64_t>(layout.block_bytes));
  return bytes && *bytes <= kInt64Max ? bytes : std::nullopt;
}

std::string shape_text(std::span<const int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace sluice::io
