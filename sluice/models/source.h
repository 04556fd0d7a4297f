#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/io/formats/gguf.h"

namespace sluice::models {

/// The two spellings of one hyperparameter. Empty: that kind of file does not have it.
/// In GGUF, "%" stands for the architecture: "%.block_count". In config.json, "a/b" is b inside a.
struct Key {
  std::string_view hf;
  std::string_view gguf;
};

/// A key of config.json as a family spells it, and as everybody else does.
struct KeyName {
  std::string_view theirs;
  std::string_view ours;
};

/// A model's hyperparameters as its files give them: config.json (of a model that also sees, its
/// text_config, then the top), or a GGUF's metadata. Remembers which keys were asked for. A value
/// of the wrong type, or an integer that is negative or beyond 2^31, is Error(bad_model).
class Source {
 public:
  static Source from_config(nlohmann::json config, std::string where);
  static Source from_gguf(const io::Gguf& gguf, std::string where);

  bool is_gguf() const { return gguf_ != nullptr; }
  const std::string& where() const { return where_; }
  /// model_type, or general.architecture.
  const std::string& architecture() const { return architecture_; }
  /// The text part's own model_type, of a model that also sees; empty: there is none.
  const std::string& text_architecture() const { return text_architecture_; }

  /// Nothing where a key is absent or null.
  std::optional<int64_t> integer(const Key& key) const;
  std::optional<double> number(const Key& key) const;
  std::optional<bool> boolean(const Key& key) const;
  std::optional<std::string> string(const Key& key) const;
  std::optional<std::vector<double>> numbers(const Key& key) const;
  std::optional<std::vector<std::string>> strings(const Key& key) const;
  /// A count that a GGUF may give per layer: the layers must agree, else Error(unsupported).
  std::optional<int64_t> uniform_integer(const Key& key) const;

  /// One for each layer: a GGUF's array, or the same for all. Throws Error(bad_model) for an array of another length.
  std::vector<int64_t> integers_of_layers(const Key& key, int64_t n_layers,
                                          int64_t otherwise) const;
  /// The largest of a count that a GGUF may give per layer: where it is 0, the layer has none of what is counted.
  std::optional<int64_t> largest_integer(const Key& key) const;

  /// Throws Error(bad_model) when absent.
  int64_t required_integer(const Key& key) const;

  /// How many layers the model has; a GGUF counts those after them that draft tokens too. Throws Error(bad_model) when absent,
  /// and when all of them draft.
  int64_t layer_count(const Key& key) const;
  /// Of a GGUF, how many layers after the model's draft tokens.
  int64_t n_drafting_layers() const { return n_drafting_layers_; }
  /// What a GGUF says of each layer, without those that draft tokens.
  void drop_drafting(std::vector<double>& of_layers, int64_t n_layers) const;

  /// Whether config.json has the key, be it null.
  bool has(std::string_view hf) const;
  /// Whether config.json has a string there.
  bool is_string(std::string_view hf) const;
  /// Whether config.json has true there or a number other than 0. Nothing where the key is absent or null.
  std::optional<bool> truth(std::string_view hf) const;
  /// Whether the value is an array.
  bool is_array(const Key& key) const;
  /// Counts as asked for: the reference computes the same whatever its value is.
  void ignore(const Key& key) const;

  /// What was asked for, found, and has a spelling in the other kind of file: by that spelling, "%" and "/" as in Key.
  /// A JSON object.
  const nlohmann::json& translated() const { return *translated_; }

  /// Throws Error(unsupported) naming a key that changes what a model computes and that nobody
  /// asked for, unless its value changes nothing (null, false, 0, a factor of 1).
  void check_all_asked() const;

  /// Who asks for `name` gets config.json's `theirs` where there is no `name`.
  void also(std::string_view name, std::string_view theirs) const;

  /// An object inside config.json; null when there is none. Its keys do not count as asked for.
  const nlohmann::json* object(std::string_view path) const;
  /// A list there, of whatever kind; null when there is none. Counts as asked for.
  const nlohmann::json* list(std::string_view path) const;

 private:
  Source();
  const nlohmann::json* find(std::string_view path) const;
  const nlohmann::json* look(std::string_view path) const;
  std::string gguf_key(std::string_view pattern) const;
  std::string asked_gguf(std::string_view pattern) const;
  template <typename T>
  void translate(const Key& key, const T& value) const;
  int64_t whole(const Key& key, double value) const;
  [[noreturn]] void wrong(const Key& key, std::string_view wanted) const;
  [[noreturn]] void not_asked(std::string_view key, std::string_view value) const;
  void check_object(const nlohmann::json& object, const std::string& scope) const;
  void check_metadata() const;

  std::shared_ptr<const nlohmann::json> config_;
  const nlohmann::json* text_ = nullptr;  // inside config_
  const io::GgufMetadata* gguf_ = nullptr;
  std::string where_;
  std::string architecture_, text_architecture_;
  int64_t n_drafting_layers_ = 0;
  std::shared_ptr<nlohmann::json> translated_;
  mutable std::map<std::string, std::string, std::less<>> also_;
  mutable std::set<std::string, std::less<>> asked_;  // paths in config.json, whole keys in a GGUF
};

}  // namespace sluice::models
