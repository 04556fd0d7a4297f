#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/convert/plan.h"

namespace sluice::convert {

/// A GGUF's key-value pairs as they are written (https://github.com/ggml-org/ggml, docs/gguf.md).
class GgufPairs {
 public:
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const float> values);
  void add(std::string_view key, std::span<const int32_t> values);
  void add(std::string_view key, const std::vector<bool>& values);
  /// Pairs of another file, as they lie there.
  void add_raw(std::string_view pairs, uint64_t n);

  const std::string& bytes() const { return bytes_; }
  uint64_t count() const { return count_; }

 private:
  void begin(std::string_view key, uint32_t type);
  void begin_array(std::string_view key, uint32_t element, size_t n);
  std::string bytes_;
  uint64_t count_ = 0;
};

/// Places the products in one file behind its header: offsets at multiples of 32.
void lay_out_gguf(Plan& plan, const std::string& file_name, const GgufPairs& pairs);

}  // namespace sluice::convert
