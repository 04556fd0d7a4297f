#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sluice/io/formats/gguf.h"

namespace sluice::models {

/// The two spellings of one hyperparameter. Empty: that kind of file does not have it.
/// In GGUF, "%" stands for the architecture: "%.block_count". In config.json, "a/b" is b inside a.
struct Key {
  std::string_view hf;
  std::string_view gguf;
};

/// A model's hyperparameters as its files give them: config.json, or a GGUF's metadata.
/// A value of the wrong type, or an integer that is negative or beyond 2^31, is Error(bad_model).
class Source {
 public:
  static Source from_config(nlohmann::json config, std::string where);
  static Source from_gguf(const io::Gguf& gguf, std::string where);

  bool is_gguf() const { return gguf_ != nullptr; }
  const std::string& where() const { return where_; }
  /// model_type, or general.architecture.
  std::string architecture() const;

  std::optional<int64_t> integer(const Key& key) const;
  std::optional<double> number(const Key& key) const;
  std::optional<bool> boolean(const Key& key) const;
  std::optional<std::string> string(const Key& key) const;
  std::optional<std::vector<double>> numbers(const Key& key) const;
  std::optional<std::vector<std::string>> strings(const Key& key) const;

  /// Throws Error(bad_model) when absent.
  int64_t required_integer(const Key& key) const;

  const nlohmann::json& config() const { return config_; }  ///< null for a GGUF

 private:
  const nlohmann::json* find(std::string_view path) const;
  std::string gguf_key(std::string_view pattern) const;
  [[noreturn]] void wrong(const Key& key, std::string_view wanted) const;

  nlohmann::json config_;
  const io::GgufMetadata* gguf_ = nullptr;
  std::string where_;
  std::string architecture_;
};

}  // namespace sluice::models
