// The header of one safetensors file, read by a state machine over JSON events: nothing is built that the
// format has no place for, so nesting and memory stay bounded by construction.
#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/io/formats/header_extent.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/formats/safetensors.h"

namespace sluice::io {
namespace {

constexpr uint64_t kLargestFile = uint64_t{1} << 62;
constexpr uint64_t kPrefix = 8;  // the header's length
constexpr size_t kMostDimensions = 16;

// Dtypes that the format knows and TensorType does not.
constexpr std::array<std::string_view, 6> kOtherDtypes = {"F4",  "F6_E2M3",     "F6_E3M2",
                                                          "C64", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};

struct Entry {
  TensorInfo tensor;
  std::array<uint64_t, 2> offsets{};  // begin and end, from the end of the header
};

/// Takes the parser's events and keeps the tensors. An event that the state has no place for throws.
class HeaderEvents {
 public:
  HeaderEvents(const std::string& where, std::string_view text) : where_(where), text_(text) {}

  std::vector<Entry>& entries() { return entries_; }

  bool start_object(size_t) {
    if (state_ == State::start) {
      state_ = State::top;
    } else if (state_ == State::top && in_metadata_) {
      state_ = State::metadata;
    } else if (state_ == State::top) {
      state_ = State::tensor;
      fields_seen_ = {};
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() {
    if (state_ == State::tensor) {
      for (size_t i = 0; i < kFields.size(); ++i) {
        if (!fields_seen_[i]) fail(ErrorKind::bad_model, "{} has no {}", tensor_name(), kFields[i]);
      }
    }
    state_ = state_ == State::top ? State::end : State::top;
    return true;
  }

  bool key(std::string& key) {
    if (state_ == State::top) {
      field_ = Field::none;
      in_metadata_ = key == "__metadata__";
      if (in_metadata_ && std::exchange(metadata_seen_, true)) duplicate(key);
      if (!in_metadata_) entries_.emplace_back().tensor.name = std::move(key);
    } else if (state_ == State::metadata) {
      if (!metadata_keys_.insert(key).second) duplicate(key);
    } else {
      const auto found = std::find(kFields.begin(), kFields.end(), key);
      if (found == kFields.end()) {
        fail(ErrorKind::bad_model, "{} has an unknown field {}", tensor_name(),
             printable_name(key));
      }
      const auto i = static_cast<size_t>(found - kFields.begin());
      if (std::exchange(fields_seen_[i], true)) {
        fail(ErrorKind::bad_model, "{} has {} twice", tensor_name(), key);
      }
      field_ = static_cast<Field>(i);
    }
    return true;
  }

  bool string(std::string& text) {
    if (state_ == State::tensor && field_ == Field::dtype) {
      entries_.back().tensor.type = dtype(text);
    } else if (state_ != State::metadata) {
      unexpected("a string");
    }
    return true;
  }

  bool start_array(size_t) {
    if (state_ != State::tensor || field_ == Field::none || field_ == Field::dtype)
      unexpected("an array");
    state_ = State::numbers;
    n_offsets_ = 0;
    return true;
  }

  bool end_array() {
    if (field_ == Field::data_offsets && n_offsets_ != 2) {
      fail(ErrorKind::bad_model, "{} has {} data_offsets, wanted 2", tensor_name(), n_offsets_);
    }
    state_ = State::tensor;
    return true;
  }

  bool number_unsigned(uint64_t number) {
    if (state_ != State::numbers) unexpected("a number");
    if (field_ == Field::data_offsets) {
      if (n_offsets_ < 2) entries_.back().offsets[n_offsets_] = number;
      ++n_offsets_;
      return true;
    }
    auto& shape = entries_.back().tensor.shape;
    if (number > std::numeric_limits<int64_t>::max()) unexpected("a number above 2^63 - 1");
    if (shape.size() == kMostDimensions) {
      fail(ErrorKind::bad_model, "{} has more than {} dimensions", tensor_name(), kMostDimensions);
    }
    shape.push_back(static_cast<int64_t>(number));
    return true;
  }

  bool number_integer(int64_t) { unexpected("a negative number"); }
  bool number_float(double, const std::string&) { unexpected("a fraction"); }
  bool boolean(bool) { unexpected("a boolean"); }
  bool null() { unexpected("null"); }
  bool binary(nlohmann::json::binary_t&) { unexpected("binary data"); }

  bool parse_error(size_t byte, const std::string&, const nlohmann::json::exception&) {
    fail(ErrorKind::bad_model, "{}: the header is no JSON from {} on", where_,
         text_position(text_, byte == 0 ? 0 : byte - 1));
  }

 private:
  // numbers: inside the array of a tensor's shape or data_offsets.
  enum class State { start, top, tensor, numbers, metadata, end };
  enum class Field : size_t { dtype, shape, data_offsets, none };
  static constexpr std::array<std::string_view, 3> kFields = {"dtype", "shape", "data_offsets"};

  std::string tensor_name() const {
    return fmt::format("{}: tensor {}", where_, printable_name(entries_.back().tensor.name));
  }

  [[noreturn]] void duplicate(std::string_view key) const {
    fail(ErrorKind::bad_model, "{}: the header has {} twice", where_, printable_name(key));
  }

  [[noreturn]] void unexpected(std::string_view what) const {
    if (state_ == State::top && in_metadata_) {
      fail(ErrorKind::bad_model, "{}: __metadata__ is {}, wanted an object", where_, what);
    }
    if (state_ == State::metadata) {
      fail(ErrorKind::bad_model, "{}: __metadata__ holds {}, wanted strings only", where_, what);
    }
    if (entries_.empty())
      fail(ErrorKind::bad_model, "{}: the header is {}, wanted an object", where_, what);
    if (field_ == Field::none)
      fail(ErrorKind::bad_model, "{} is {}, wanted an object", tensor_name(), what);
    const bool is_dtype = field_ == Field::dtype;
    fail(ErrorKind::bad_model, "{}: {} holds {}, wanted {}", tensor_name(),
         kFields[static_cast<size_t>(field_)], what,
         is_dtype ? "a string" : "an array of whole numbers");
  }

  TensorType dtype(std::string_view name) const {
    if (const auto type = type_of_dtype(name)) return *type;
    const bool exists =
        std::find(kOtherDtypes.begin(), kOtherDtypes.end(), name) != kOtherDtypes.end();
    fail(exists ? ErrorKind::unsupported : ErrorKind::bad_model, "{} is of dtype {}, which is {}",
         tensor_name(), printable_name(name), exists ? "not supported" : "unknown");
  }

  const std::string& where_;
  std::string_view text_;
  std::vector<Entry> entries_;
  State state_ = State::start;
  Field field_ = Field::none;
  std::array<bool, 3> fields_seen_{};
  size_t n_offsets_ = 0;
  bool in_metadata_ = false;
  bool metadata_seen_ = false;
  std::set<std::string> metadata_keys_;
};

std::string_view header_text(std::span<const std::byte> header, uint64_t file_bytes,
                             const std::string& where) {
  if (file_bytes < kPrefix || header.size() < kPrefix) {
    fail(ErrorKind::bad_model, "{}: has {} bytes, a safetensors file begins with an 8-byte length",
         where, file_bytes);
  }
  uint64_t length = 0;
  std::memcpy(&length, header.data(), kPrefix);
  if (length > kLongestSafetensorsHeader) {
    fail(ErrorKind::bad_model, "{}: the header claims {} bytes, at most {} are allowed", where,
         length, kLongestSafetensorsHeader);
  }
  if (length > file_bytes - kPrefix || length > header.size() - kPrefix) {
    fail(ErrorKind::bad_model, "{}: the header claims {} bytes, the file has {} after its length",
         where, length, file_bytes - kPrefix);
  }
  const std::string_view text(reinterpret_cast<const char*>(header.data()) + kPrefix, length);
  // The format forbids anything before the brace: a file must not be something else as well.
  if (!text.starts_with('{'))
    fail(ErrorKind::bad_model, "{}: the header does not begin with {{", where);
  return text;
}

void check_size(const Entry& entry, uint64_t data_bytes, const std::string& where) {
  const auto& tensor = entry.tensor;
  const auto [begin, end] = entry.offsets;
  const auto name = [&] {
    return fmt::format("{}: tensor {}", where, printable_name(tensor.name));
  };
  if (begin > end || end > data_bytes) {
    fail(ErrorKind::bad_model, "{} has data_offsets [{}, {}], the file has {} bytes of data",
         name(), begin, end, data_bytes);
  }
  const auto wanted = stored_bytes(tensor.type, tensor.shape);
  if (!wanted) {
    fail(ErrorKind::bad_model, "{} is {}, more than 64 bits can count", name(),
         shape_text(tensor.shape));
  }
  if (*wanted != end - begin) {
    fail(ErrorKind::bad_model, "{} is {} {} and needs {} bytes, data_offsets give {}", name(),
         info(tensor.type).name, shape_text(tensor.shape), *wanted, end - begin);
  }
}

/// The data must be used up without holes or overlap, so that a header says all there is in a file.
void check_tiling(std::vector<Entry>& entries, uint64_t data_bytes, const std::string& where) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  uint64_t covered = 0;
  for (const auto& entry : entries) {
    const uint64_t begin = entry.offsets[0];
    if (begin != covered) {
      fail(ErrorKind::bad_model, "{}: tensor {} begins at {}, {} {}", where,
           printable_name(entry.tensor.name), begin,
           begin < covered ? "overlapping the one that ends at" : "leaving a hole from", covered);
    }
    covered = entry.offsets[1];
  }
  if (covered != data_bytes) {
    fail(ErrorKind::bad_model, "{}: the tensors end at {}, the file has {} bytes of data", where,
         covered, data_bytes);
  }
}

}  // namespace

uint64_t read_safetensors_header(std::span<const std::byte> header, uint64_t file_bytes,
                                 const std::string& where, size_t file, TensorIndex& index,
                                 Data data) {
  const auto text = header_text(header, file_bytes, where);
  HeaderEvents events(where, text);
  nlohmann::json::sax_parse(text.begin(), text.end(), &events);

  const uint64_t data_start = kPrefix + text.size();
  uint64_t data_bytes = file_bytes - data_start;
  if (data == Data::not_needed) {
    for (const auto& entry : events.entries()) data_bytes = std::max(data_bytes, entry.offsets[1]);
    if (data_bytes > kLargestFile) {
      fail(ErrorKind::bad_model, "{}: the tensors end at {}, beyond what a file can hold", where,
           data_bytes);
    }
  }
  for (const auto& entry : events.entries()) check_size(entry, data_bytes, where);
  check_tiling(events.entries(), data_bytes, where);

  for (auto& [tensor, offsets] : events.entries()) {
    tensor.file = file;
    tensor.offset = data_start + offsets[0];
    tensor.bytes = offsets[1] - offsets[0];
    const auto [at, added] = index.tensors.try_emplace(tensor.name, tensor);
    if (!added) {
      fail(ErrorKind::bad_model, "{}: tensor {} was seen before, in {}", where,
           printable_name(tensor.name),
           at->second.file == file ? "the same file"
                                   : index.files.at(at->second.file).path.filename().string());
    }
  }
  return data_start + data_bytes;
}

}  // namespace sluice::io
