#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "sluice/base/checked.h"
#include "sluice/base/printable.h"
#include "sluice/io/formats/gguf_reader.h"

namespace sluice::io {
namespace {

constexpr uint64_t kMostTensors = 1'000'000;
constexpr size_t kLongestName = 64;
constexpr uint32_t kMostDimensions = 4;
// A name's length, one character, the number of dimensions (which may be 0), the type, the offset.
constexpr uint64_t kSmallestTensor = 8 + 1 + 4 + 4 + 8;

/// What ggml has and Sluice does not read, by number.
struct OtherType {
  uint32_t number;
  std::string_view name;
};
constexpr std::array<OtherType, 10> kOtherTypes = {{
    {4, "q4_2"},
    {5, "q4_3"},
    {9, "q8_1"},
    {15, "q8_k"},
    {31, "q4_0_4_4"},
    {32, "q4_0_4_8"},
    {33, "q4_0_8_8"},
    {36, "iq4_nl_4_4"},
    {37, "iq4_nl_4_8"},
    {38, "iq4_nl_8_8"},
}};

TensorType read_type(GgufReader& reader) {
  const auto number = reader.number<uint32_t>();
  if (const auto type = type_of_gguf(number)) return *type;
  const auto* const other = std::ranges::find(kOtherTypes, number, &OtherType::number);
  fail(ErrorKind::unsupported, "{}: is of type {} ({}), which is not supported", reader.context(),
       number, other == kOtherTypes.end() ? "unknown" : other->name);
}

/// The file has the innermost dimension first.
std::vector<int64_t> read_shape(GgufReader& reader) {
  const auto n_dimensions = reader.number<uint32_t>();
  if (n_dimensions > kMostDimensions) {
    fail(ErrorKind::bad_model, "{}: has {} dimensions, at most {} are allowed", reader.context(),
         n_dimensions, kMostDimensions);
  }
  std::vector<int64_t> shape(n_dimensions);
  for (auto dimension = shape.rbegin(); dimension != shape.rend(); ++dimension) {
    const auto number = reader.number<uint64_t>();
    if (number == 0 || number > std::numeric_limits<int64_t>::max()) {
      fail(ErrorKind::bad_model, "{}: has a dimension of {}, wanted 1 to 2^63 - 1",
           reader.context(), number);
    }
    *dimension = static_cast<int64_t>(number);
  }
  return shape;
}

TensorInfo read_tensor(GgufReader& reader, uint64_t alignment, const std::string& where) {
  TensorInfo tensor;
  const std::string_view name = reader.string();
  reader.set_context(fmt::format("{}: tensor {}", where, printable_name(name)));
  if (name.empty() || name.size() > kLongestName) {
    fail(ErrorKind::bad_model, "{}: has a name of {} characters, wanted 1 to {}", reader.context(),
         name.size(), kLongestName);
  }
  tensor.name = name;
  tensor.shape = read_shape(reader);
  tensor.type = read_type(reader);
  tensor.offset = reader.number<uint64_t>();
  const auto& layout = info(tensor.type);
  const auto bytes = stored_bytes(tensor.type, tensor.shape);
  if (!bytes) {
    fail(ErrorKind::bad_model,
         "{}: is {} {}, wanted rows of whole {}-element blocks and a size below 2^63",
         reader.context(), layout.name, shape_text(tensor.shape), layout.block_elements);
  }
  tensor.bytes = *bytes;
  if (tensor.offset % alignment != 0) {
    fail(ErrorKind::bad_model, "{}: begins at {} of the data, wanted a multiple of {}",
         reader.context(), tensor.offset, alignment);
  }
  return tensor;
}

/// Moves the offsets from the data's start to the file's.
void place(std::vector<TensorInfo>& tensors, uint64_t data_start, uint64_t file_bytes,
           const std::string& where) {
  for (auto& tensor : tensors) {
    const auto begin = checked_add(data_start, tensor.offset);
    const auto end = begin ? checked_add(*begin, tensor.bytes) : std::nullopt;
    if (!end || *end > file_bytes) {
      fail(ErrorKind::bad_model,
           "{}: tensor {} needs {} bytes at {} of the data, the file has {} bytes of data", where,
           printable_name(tensor.name), tensor.bytes, tensor.offset,
           file_bytes - std::min(data_start, file_bytes));
    }
    tensor.offset = *begin;
  }
}

void check_overlap(const std::vector<TensorInfo>& tensors, const std::string& where) {
  std::vector<const TensorInfo*> by_offset;
  by_offset.reserve(tensors.size());
  for (const auto& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const auto& before = *by_offset[i - 1];
    if (by_offset[i]->offset < before.offset + before.bytes) {
      fail(ErrorKind::bad_model,
           "{}: tensor {} begins at {}, overlapping tensor {} that ends at {}", where,
           printable_name(by_offset[i]->name), by_offset[i]->offset, printable_name(before.name),
           before.offset + before.bytes);
    }
  }
}

}  // namespace

std::vector<TensorInfo> read_gguf_tensors(GgufReader& reader, uint64_t n_tensors,
                                          uint64_t alignment, const std::string& where, Data data) {
  if (n_tensors > kMostTensors || n_tensors > reader.remaining() / kSmallestTensor) {
    fail(ErrorKind::bad_model,
         "{}: claims {} tensors, {} bytes are left and {} tensors the most allowed", where,
         n_tensors, reader.remaining(), kMostTensors);
  }
  std::vector<TensorInfo> tensors;
  tensors.reserve(n_tensors);
  for (uint64_t i = 0; i < n_tensors; ++i) {
    reader.set_context(fmt::format("{}: tensor {} of {}", where, i + 1, n_tensors));
    tensors.push_back(read_tensor(reader, alignment, where));
  }
  if (tensors.empty()) return tensors;
  const uint64_t file_bytes = reader.position() + reader.remaining();
  const auto data_start = checked_round_up(reader.position(), alignment);
  // Without data there is no end to check against, but that of numbers.
  const uint64_t end = data == Data::required ? file_bytes : std::numeric_limits<int64_t>::max();
  place(tensors, data_start.value_or(end), end, where);
  check_overlap(tensors, where);
  return tensors;
}

}  // namespace sluice::io
