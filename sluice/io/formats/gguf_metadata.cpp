#include <array>
#include <bit>
#include <limits>
#include <type_traits>

#include "sluice/base/checked.h"
#include "sluice/base/printable.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/io/formats/gguf_reader.h"

namespace sluice::io {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF numbers are read as they lie");

constexpr uint64_t kMostPairs = 65'536;
constexpr size_t kLongestKey = 65'535;
// A key's length, one character, the value's type, one byte of value.
constexpr uint64_t kSmallestPair = 8 + 1 + 4 + 1;

struct TypeTraits {
  std::string_view name;
  size_t bytes;  // 0: not fixed
};
constexpr std::array<TypeTraits, 13> kTypes = {{{"u8", 1},
                                                {"i8", 1},
                                                {"u16", 2},
                                                {"i16", 2},
                                                {"u32", 4},
                                                {"i32", 4},
                                                {"f32", 4},
                                                {"bool", 1},
                                                {"string", 0},
                                                {"array", 0},
                                                {"u64", 8},
                                                {"i64", 8},
                                                {"f64", 8}}};

GgufType read_type(GgufReader& reader) {
  const auto number = reader.number<uint32_t>();
  if (number >= kTypes.size()) {
    fail(ErrorKind::bad_model, "{}: has value type {}, the known ones are 0 to {}",
         reader.context(), number, kTypes.size() - 1);
  }
  return static_cast<GgufType>(number);
}

bool read_boolean(GgufReader& reader) {
  const auto byte = reader.number<uint8_t>();
  if (byte > 1)
    fail(ErrorKind::bad_model, "{}: a boolean is {}, wanted 0 or 1", reader.context(), byte);
  return byte == 1;
}

GgufArray read_array(GgufReader& reader) {
  GgufArray array;
  array.element = read_type(reader);
  array.count = reader.number<uint64_t>();
  if (array.element == GgufType::array) {
    fail(ErrorKind::bad_model, "{}: is an array of arrays, which Sluice does not read",
         reader.context());
  }
  const auto size = gguf_type_bytes(array.element);
  const auto least = checked_multiply(array.count, size.value_or(sizeof(uint64_t)));
  if (!least || *least > reader.remaining()) {
    fail(ErrorKind::bad_model,
         "{}: claims {} elements of type {}, the file ends {} bytes further on", reader.context(),
         array.count, gguf_type_name(array.element), reader.remaining());
  }
  GgufReader ahead = reader;
  if (array.element == GgufType::string) {
    for (uint64_t i = 0; i < array.count; ++i) ahead.string();
  } else if (array.element == GgufType::boolean) {
    for (uint64_t i = 0; i < array.count; ++i) read_boolean(ahead);
  } else {
    ahead.take(*least);
  }
  array.bytes = reader.take(ahead.position() - reader.position());
  return array;
}

GgufValue read_value(GgufReader& reader, GgufType type) {
  switch (type) {
    case GgufType::u8:
      return int64_t{reader.number<uint8_t>()};
    case GgufType::i8:
      return int64_t{reader.number<int8_t>()};
    case GgufType::u16:
      return int64_t{reader.number<uint16_t>()};
    case GgufType::i16:
      return int64_t{reader.number<int16_t>()};
    case GgufType::u32:
      return int64_t{reader.number<uint32_t>()};
    case GgufType::i32:
      return int64_t{reader.number<int32_t>()};
    case GgufType::i64:
      return reader.number<int64_t>();
    case GgufType::f32:
      return double{reader.number<float>()};
    case GgufType::f64:
      return reader.number<double>();
    case GgufType::boolean:
      return read_boolean(reader);
    case GgufType::string:
      return reader.string();
    case GgufType::array:
      return read_array(reader);
    case GgufType::u64:
      break;
  }
  const auto number = reader.number<uint64_t>();
  if (number > std::numeric_limits<int64_t>::max()) return number;
  return static_cast<int64_t>(number);
}

/// Calls use(value) on each element of a numeric array.
template <typename Use>
void for_each_number(const GgufArray& array, Use use) {
  GgufReader reader(array.bytes, "a metadata array");
  for (uint64_t i = 0; i < array.count; ++i) std::visit(use, read_value(reader, array.element));
}

[[noreturn]] void wrong_elements(const GgufArray& array, std::string_view wanted) {
  fail(ErrorKind::bad_model, "a metadata array holds {} elements, wanted {}",
       gguf_type_name(array.element), wanted);
}

std::string_view type_name(const GgufValue& value) {
  constexpr std::array<std::string_view, 6> kNames = {
      "an integer", "an integer above 2^63 - 1", "a float", "a boolean", "a string", "an array"};
  return kNames[value.index()];
}

template <typename T>
std::optional<T> value_as(const GgufMetadata& metadata, std::string_view key,
                          std::string_view wanted) {
  const GgufValue* const value = metadata.find(key);
  if (value == nullptr) return std::nullopt;
  if (const T* const held = std::get_if<T>(value)) return *held;
  fail(ErrorKind::bad_model, "{}: key {} is {}, wanted {}", metadata.where, printable_name(key),
       type_name(*value), wanted);
}

}  // namespace

std::optional<size_t> gguf_type_bytes(GgufType type) {
  const size_t bytes = kTypes.at(static_cast<size_t>(type)).bytes;
  return bytes == 0 ? std::nullopt : std::optional(bytes);
}

std::string_view gguf_type_name(GgufType type) { return kTypes.at(static_cast<size_t>(type)).name; }

std::vector<std::string_view> GgufArray::strings() const {
  if (element != GgufType::string) wrong_elements(*this, "strings");
  GgufReader reader(bytes, "a metadata array");
  std::vector<std::string_view> views;
  views.reserve(count);
  for (uint64_t i = 0; i < count; ++i) views.push_back(reader.string());
  return views;
}

std::vector<double> GgufArray::numbers() const {
  if (element == GgufType::string) wrong_elements(*this, "numbers");
  std::vector<double> result;
  result.reserve(count);
  for_each_number(*this, [&](const auto& value) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) {
      result.push_back(static_cast<double>(value));
    }
  });
  return result;
}

std::vector<int64_t> GgufArray::integers() const {
  if (element == GgufType::string || element == GgufType::f32 || element == GgufType::f64) {
    wrong_elements(*this, "integers");
  }
  std::vector<int64_t> result;
  result.reserve(count);
  for_each_number(*this, [&](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, uint64_t>) wrong_elements(*this, "integers below 2^63");
    if constexpr (std::is_integral_v<T>) result.push_back(static_cast<int64_t>(value));
  });
  return result;
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto it = values.find(key);
  return it == values.end() ? nullptr : &it->second;
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key) const {
  return value_as<int64_t>(*this, key, "an integer below 2^63");
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* const value = find(key);
  if (value != nullptr) {
    if (const auto* integer = std::get_if<int64_t>(value)) return static_cast<double>(*integer);
    if (const auto* large = std::get_if<uint64_t>(value)) return static_cast<double>(*large);
  }
  return value_as<double>(*this, key, "a number");
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  return value_as<bool>(*this, key, "a boolean");
}

std::optional<std::string_view> GgufMetadata::string(std::string_view key) const {
  return value_as<std::string_view>(*this, key, "a string");
}

std::optional<GgufArray> GgufMetadata::array(std::string_view key) const {
  return value_as<GgufArray>(*this, key, "an array");
}

GgufMetadata read_gguf_metadata(GgufReader& reader, uint64_t n_pairs, const std::string& where) {
  GgufMetadata metadata;
  metadata.where = where;
  if (n_pairs > kMostPairs || n_pairs > reader.remaining() / kSmallestPair) {
    fail(ErrorKind::bad_model,
         "{}: claims {} metadata keys, {} bytes are left and {} keys the most allowed", where,
         n_pairs, reader.remaining(), kMostPairs);
  }
  for (uint64_t i = 0; i < n_pairs; ++i) {
    reader.set_context(fmt::format("{}: metadata key {} of {}", where, i + 1, n_pairs));
    const std::string_view key = reader.string();
    if (key.empty() || key.size() > kLongestKey) {
      fail(ErrorKind::bad_model, "{}: has {} characters, wanted 1 to {}", reader.context(),
           key.size(), kLongestKey);
    }
    reader.set_context(fmt::format("{}: key {}", where, printable_name(key)));
    const GgufType type = read_type(reader);
    if (!metadata.values.try_emplace(std::string(key), read_value(reader, type)).second) {
      fail(ErrorKind::bad_model, "{}: is there twice", reader.context());
    }
  }
  return metadata;
}

}  // namespace sluice::io
