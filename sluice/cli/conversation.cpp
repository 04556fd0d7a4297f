#include "sluice/cli/conversation.h"

#include "sluice/base/atomic_file.h"
#include "sluice/base/error.h"
#include "sluice/cli/text_input.h"

namespace sluice::cli {

using Json = nlohmann::ordered_json;

Json Conversation::messages() const {
  Json all = Json::array();
  if (!system_.empty()) all.push_back({{"role", "system"}, {"content", system_}});
  for (const auto& turn : turns_) all.push_back(turn);
  return all;
}

void Conversation::save(const std::string& path) const {
  const Json file{{"messages", messages()}};
  write_file_atomically(path,
                        file.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

void Conversation::load(const std::string& path) {
  const Json file = Json::parse(read_file(path), nullptr, false);
  const bool known = file.is_object() && file.contains("messages") && file["messages"].is_array();
  if (!known) fail(ErrorKind::bad_request, "{}: is no saved chat", path);
  Conversation loaded("");
  for (const auto& message : file["messages"]) {
    const bool ok = message.is_object() && message.contains("role") &&
                    message["role"].is_string() && message.contains("content") &&
                    message["content"].is_string();
    if (!ok) fail(ErrorKind::bad_request, "{}: is no saved chat", path);
    const std::string role = message["role"];
    if (role == "system" && loaded.turns_.empty()) {
      loaded.system_ = message["content"];
    } else {
      loaded.turns_.push_back({{"role", role}, {"content", message["content"]}});
    }
  }
  *this = std::move(loaded);
}

}  // namespace sluice::cli
