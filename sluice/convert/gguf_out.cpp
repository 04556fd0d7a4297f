#include "sluice/convert/gguf_out.h"

#include <algorithm>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"

namespace sluice::convert {
namespace {

using io::GgufType;

constexpr uint64_t kAlignment = 32;

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

std::string text(std::string_view value) {
  return raw(uint64_t{value.size()}) + std::string(value);
}

uint64_t aligned(uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

uint32_t type_number(kernels::Format format) {
  switch (format) {
#define SLUICE_CASE(name, format, text, dtype, number, elements, bytes) \
  case kernels::Format::format:                                         \
    return number;
    SLUICE_FLOAT_TYPES(SLUICE_CASE)
    SLUICE_GGUF_BLOCKS(SLUICE_CASE)
#undef SLUICE_CASE
    default:
      fail(ErrorKind::internal, "a GGUF has no tensors of MLX's formats");
  }
}

}  // namespace

void GgufPairs::begin(std::string_view key, uint32_t type) {
  ++count_;
  bytes_ += text(key) + raw(type);
}

void GgufPairs::begin_array(std::string_view key, uint32_t element, size_t n) {
  begin(key, static_cast<uint32_t>(GgufType::array));
  bytes_ += raw(element) + raw(uint64_t{n});
}

void GgufPairs::add(std::string_view key, uint32_t value) {
  begin(key, static_cast<uint32_t>(GgufType::u32));
  bytes_ += raw(value);
}

void GgufPairs::add(std::string_view key, float value) {
  begin(key, static_cast<uint32_t>(GgufType::f32));
  bytes_ += raw(value);
}

void GgufPairs::add(std::string_view key, bool value) {
  begin(key, static_cast<uint32_t>(GgufType::boolean));
  bytes_ += static_cast<char>(value);
}

void GgufPairs::add(std::string_view key, std::string_view value) {
  begin(key, static_cast<uint32_t>(GgufType::string));
  bytes_ += text(value);
}

void GgufPairs::add(std::string_view key, std::span<const std::string> values) {
  begin_array(key, static_cast<uint32_t>(GgufType::string), values.size());
  for (const std::string& value : values) bytes_ += text(value);
}

void GgufPairs::add(std::string_view key, std::span<const float> values) {
  begin_array(key, static_cast<uint32_t>(GgufType::f32), values.size());
  for (const float value : values) bytes_ += raw(value);
}

void GgufPairs::add(std::string_view key, std::span<const int32_t> values) {
  begin_array(key, static_cast<uint32_t>(GgufType::i32), values.size());
  for (const int32_t value : values) bytes_ += raw(value);
}

void GgufPairs::add(std::string_view key, const std::vector<bool>& values) {
  begin_array(key, static_cast<uint32_t>(GgufType::boolean), values.size());
  for (const bool value : values) bytes_ += static_cast<char>(value);
}

void GgufPairs::add_raw(std::string_view pairs, uint64_t n) {
  bytes_ += pairs;
  count_ += n;
}

void lay_out_gguf(Plan& plan, const std::string& file_name, const GgufPairs& pairs) {
  constexpr uint32_t kVersion = 3;
  PlannedFile file{.name = file_name, .header = {}};
  file.header = "GGUF" + raw(kVersion) + raw(uint64_t{plan.products.size()}) + raw(pairs.count());
  file.header += pairs.bytes();
  uint64_t end = 0;
  for (Product& product : plan.products) {
    const kernels::Matrix& m = product.target.matrix;
    file.header += text(product.name) + raw(static_cast<uint32_t>(product.shape.size()));
    for (const int64_t size : std::vector(product.shape.rbegin(), product.shape.rend()))
      file.header += raw(static_cast<uint64_t>(size));
    file.header += raw(type_number(m.format)) + raw(end);
    product.target.data = {0, end};
    end = aligned(end + static_cast<uint64_t>(m.rows * m.row_bytes));
  }
  file.header.resize(aligned(file.header.size()), '\0');
  for (Product& product : plan.products) product.target.data.offset += file.header.size();
  file.bytes = file.header.size() + end;
  plan.files = {std::move(file)};
}

}  // namespace sluice::convert
