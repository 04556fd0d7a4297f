#include "sluice/models/source.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"

namespace sluice::models {
namespace {

constexpr int64_t kLargest = int64_t{1} << 31;

const nlohmann::json* walk(const nlohmann::json& top, std::string_view path) {
  const nlohmann::json* at = &top;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (!at->is_object()) return nullptr;
    const auto it = at->find(path.substr(0, slash));
    if (it == at->end()) return nullptr;
    at = &*it;
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  }
  return at == &top ? nullptr : at;
}

}  // namespace

Source::Source()
    : config_(std::make_shared<const nlohmann::json>()),
      translated_(std::make_shared<nlohmann::json>(nlohmann::json::object())) {}

template <typename T>
void Source::translate(const Key& key, const T& value) const {
  const std::string_view other = is_gguf() ? key.hf : key.gguf;
  if (!other.empty()) (*translated_)[std::string(other)] = value;
}

Source Source::from_config(nlohmann::json config, std::string where) {
  Source source;
  source.config_ = std::make_shared<const nlohmann::json>(std::move(config));
  source.where_ = std::move(where);
  const auto type = source.string({"model_type", ""});
  if (!type) fail(ErrorKind::bad_model, "{}: has no model_type", source.where_);
  source.architecture_ = *type;
  const nlohmann::json* const text = walk(*source.config_, "text_config");
  if (text != nullptr && text->is_object()) {
    source.text_ = text;
    source.text_architecture_ = source.string({"model_type", ""}).value_or("");
  }
  return source;
}

Source Source::from_gguf(const io::Gguf& gguf, std::string where) {
  Source source;
  source.gguf_ = &gguf.metadata;
  source.where_ = std::move(where);
  const auto type = gguf.metadata.string("general.architecture");
  if (!type) fail(ErrorKind::bad_model, "{}: has no general.architecture", source.where_);
  source.architecture_ = *type;
  source.n_drafting_layers_ = source.integer({"", "%.nextn_predict_layers"}).value_or(0);
  return source;
}

const nlohmann::json* Source::look(std::string_view path) const {
  const nlohmann::json* found = text_ == nullptr ? nullptr : walk(*text_, path);
  if (found == nullptr) found = walk(*config_, path);
  const auto other = also_.find(path);
  return found != nullptr || other == also_.end() ? found : look(other->second);
}

void Source::also(std::string_view name, std::string_view theirs) const {
  asked_.emplace(theirs);
  also_.emplace(name, theirs);
}

const nlohmann::json* Source::find(std::string_view path) const {
  asked_.emplace(path);
  const nlohmann::json* const found = look(path);
  return found == nullptr || found->is_null() ? nullptr : found;
}

bool Source::has(std::string_view hf) const { return look(hf) != nullptr; }

bool Source::is_string(std::string_view hf) const {
  const nlohmann::json* const found = look(hf);
  return found != nullptr && found->is_string();
}

const nlohmann::json* Source::object(std::string_view path) const {
  const nlohmann::json* const found = look(path);
  return found != nullptr && found->is_object() ? found : nullptr;
}

const nlohmann::json* Source::list(std::string_view path) const {
  const nlohmann::json* const found = find(path);
  return found != nullptr && found->is_array() ? found : nullptr;
}

bool Source::is_array(const Key& key) const {
  if (!is_gguf()) {
    const nlohmann::json* const found = look(key.hf);
    return found != nullptr && found->is_array();
  }
  if (key.gguf.empty()) return false;
  const io::GgufValue* const value = gguf_->find(gguf_key(key.gguf));
  return value != nullptr && std::holds_alternative<io::GgufArray>(*value);
}

void Source::ignore(const Key& key) const {
  if (is_gguf()) {
    asked_.insert(gguf_key(key.gguf));
  } else {
    asked_.emplace(key.hf);
  }
}

std::string Source::gguf_key(std::string_view pattern) const {
  return pattern.starts_with('%') ? architecture_ + std::string(pattern.substr(1))
                                  : std::string(pattern);
}

std::string Source::asked_gguf(std::string_view pattern) const {
  return *asked_.insert(gguf_key(pattern)).first;
}

void Source::wrong(const Key& key, std::string_view wanted) const {
  fail(ErrorKind::bad_model, "{}: {} is not {}", where_,
       is_gguf() ? gguf_key(key.gguf) : std::string(key.hf), wanted);
}

std::optional<double> Source::number(const Key& key) const {
  std::optional<double> value;
  if (is_gguf()) {
    if (!key.gguf.empty()) value = gguf_->number(asked_gguf(key.gguf));
  } else if (const nlohmann::json* found = find(key.hf)) {
    if (!found->is_number()) wrong(key, "a number");
    value = found->get<double>();
  }
  if (value && !std::isfinite(*value)) wrong(key, "a finite number");
  if (value) translate(key, *value);
  return value;
}

std::optional<int64_t> Source::integer(const Key& key) const {
  const auto value = number(key);
  if (!value) return std::nullopt;
  translate(key, whole(key, *value));
  return whole(key, *value);
}

int64_t Source::whole(const Key& key, double value) const {
  if (!(value >= 0) || value > static_cast<double>(kLargest) || value != std::floor(value)) {
    wrong(key, "a whole number from 0 to 2^31");
  }
  return static_cast<int64_t>(value);
}

int64_t Source::required_integer(const Key& key) const {
  const auto value = integer(key);
  if (!value) {
    fail(ErrorKind::bad_model, "{}: {} is missing", where_,
         is_gguf() ? gguf_key(key.gguf) : std::string(key.hf));
  }
  return *value;
}

int64_t Source::layer_count(const Key& key) const {
  const int64_t all = required_integer(key);
  if (n_drafting_layers_ == 0) return all;
  if (n_drafting_layers_ >= all) {
    fail(ErrorKind::bad_model, "{}: {} of {} layers draft tokens, which leaves no model", where_,
         n_drafting_layers_, all);
  }
  translate(key, all - n_drafting_layers_);
  return all - n_drafting_layers_;
}

void Source::drop_drafting(std::vector<double>& of_layers, int64_t n_layers) const {
  if (std::ssize(of_layers) == n_layers + n_drafting_layers_)
    of_layers.resize(static_cast<size_t>(n_layers));
}

std::optional<int64_t> Source::uniform_integer(const Key& key) const {
  if (!is_gguf() || !is_array(key)) return integer(key);
  const std::vector<double> values = numbers(key).value_or(std::vector<double>{});
  if (values.empty() || std::ranges::any_of(values, [&](double v) { return v != values[0]; })) {
    fail(ErrorKind::unsupported, "{}: {} differs from layer to layer, which is not supported",
         where_, is_gguf() ? gguf_key(key.gguf) : std::string(key.hf));
  }
  return whole(key, values[0]);
}

std::vector<int64_t> Source::integers_of_layers(const Key& key, int64_t n_layers,
                                                int64_t otherwise) const {
  const auto n = static_cast<size_t>(n_layers);
  if (!is_array(key)) return std::vector<int64_t>(n, integer(key).value_or(otherwise));
  std::vector<double> given = numbers(key).value_or(std::vector<double>{});
  drop_drafting(given, n_layers);
  if (given.size() != n) wrong(key, "an array of one number a layer");
  std::vector<int64_t> values;
  for (const double value : given) values.push_back(whole(key, value));
  return values;
}

std::optional<int64_t> Source::largest_integer(const Key& key) const {
  if (!is_gguf() || !is_array(key)) return integer(key);
  std::vector<double> values = numbers(key).value_or(std::vector<double>{});
  std::erase(values, 0.0);
  if (values.empty() || std::ranges::any_of(values, [&](double v) { return v != values[0]; })) {
    fail(ErrorKind::unsupported, "{}: {} differs from layer to layer, which is not supported",
         where_, is_gguf() ? gguf_key(key.gguf) : std::string(key.hf));
  }
  return whole(key, values[0]);
}

std::optional<bool> Source::boolean(const Key& key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    const auto value = gguf_->boolean(asked_gguf(key.gguf));
    if (value) translate(key, *value);
    return value;
  }
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) wrong(key, "true or false");
  translate(key, *found);
  return found->get<bool>();
}

std::optional<bool> Source::truth(std::string_view hf) const {
  const nlohmann::json* const found = is_gguf() ? nullptr : find(hf);
  if (found == nullptr) return std::nullopt;
  return found->is_boolean() ? found->get<bool>() : number({hf, ""}) != 0.0;
}

std::optional<std::string> Source::string(const Key& key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    const auto found = gguf_->string(asked_gguf(key.gguf));
    if (found) translate(key, *found);
    return found ? std::optional<std::string>(*found) : std::nullopt;
  }
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) wrong(key, "a string");
  translate(key, *found);
  return found->get<std::string>();
}

std::optional<std::vector<double>> Source::numbers(const Key& key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    const io::GgufValue* value = gguf_->find(asked_gguf(key.gguf));
    if (value == nullptr) return std::nullopt;
    if (!std::holds_alternative<io::GgufArray>(*value)) wrong(key, "an array");
    return std::get<io::GgufArray>(*value).numbers();
  }
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) wrong(key, "an array of numbers");
  std::vector<double> values;
  for (const auto& element : *found) {
    if (element.is_boolean()) {
      values.push_back(element.get<bool>() ? 1 : 0);
    } else if (element.is_number()) {
      values.push_back(element.get<double>());
    } else if (element ==
               nlohmann::json{{"__float__", "Infinity"}}) {  // as transformers 5 writes it
      values.push_back(std::numeric_limits<double>::max());
    } else {
      wrong(key, "an array of numbers");
    }
  }
  return values;
}

std::optional<std::vector<std::string>> Source::strings(const Key& key) const {
  if (is_gguf()) return std::nullopt;
  const nlohmann::json* found = find(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_array()) wrong(key, "an array of strings");
  std::vector<std::string> values;
  for (const auto& element : *found) {
    if (!element.is_string()) wrong(key, "an array of strings");
    values.push_back(element.get<std::string>());
  }
  return values;
}

}  // namespace sluice::models
