#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace sluice::cli {

/// What was said in a chat: an optional system prompt, then user and assistant in turns.
class Conversation {
 public:
  explicit Conversation(std::string system) : system_(std::move(system)) {}

  void set_system(std::string text) { system_ = std::move(text); }
  const std::string& system() const { return system_; }
  void add(const char* role, std::string text) {
    turns_.push_back({{"role", role}, {"content", std::move(text)}});
  }
  void drop_last() { turns_.erase(turns_.size() - 1); }
  void clear() { turns_ = nlohmann::ordered_json::array(); }
  size_t size() const { return turns_.size(); }

  /// [{"role", "content"}, ...] as a chat template takes them.
  nlohmann::ordered_json messages() const;

  /// Writes {"messages": [...]} to a temporary file, syncs it and renames it. Throws Error(io).
  void save(const std::string& path) const;
  /// Replaces everything by what save() wrote. Throws Error(io), or Error(bad_request) when the file holds something else.
  void load(const std::string& path);

 private:
  std::string system_;
  nlohmann::ordered_json turns_ = nlohmann::ordered_json::array();
};

}  // namespace sluice::cli
