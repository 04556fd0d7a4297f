#include "sluice/io/formats/tensor_index.h"

#include <fmt/ranges.h>

#include <iterator>
#include <limits>

#include "sluice/base/checked.h"

namespace sluice::io {
namespace {

constexpr TensorTypeInfo kTypes[] = {
#define SLUICE_TYPE_INFO(name, format, text, dtype, gguf_type, elements, bytes) \
  {text, dtype, gguf_type, elements, bytes},
    SLUICE_TENSOR_TYPES(SLUICE_TYPE_INFO)
#undef SLUICE_TYPE_INFO
};

template <typename Matches>
std::optional<TensorType> find_type(Matches&& matches) {
  const auto* const found = std::ranges::find_if(kTypes, matches);
  if (found == std::end(kTypes)) return std::nullopt;
  return static_cast<TensorType>(found - kTypes);
}

constexpr uint64_t kInt64Max = std::numeric_limits<int64_t>::max();

}  // namespace

const TensorTypeInfo& info(TensorType type) { return kTypes[static_cast<size_t>(type)]; }

std::optional<TensorType> type_of_dtype(std::string_view dtype) {
  return find_type(
      [&](const TensorTypeInfo& type) { return !type.dtype.empty() && type.dtype == dtype; });
}

std::optional<TensorType> type_of_gguf(uint32_t number) {
  return find_type([&](const TensorTypeInfo& type) {
    return type.gguf_type >= 0 && static_cast<uint32_t>(type.gguf_type) == number;
  });
}

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
