#include "sluice/server/serving/response_store.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "sluice/server/dialects/fields.h"

namespace sluice::server {

void ResponseStore::keep(const std::string& client, const KeptResponse& response) {
  Entry entry{.client = client,
              .id = response.response.value("id", ""),
              .messages = dump(response.messages),
              .response = dump(response.response),
              .kept_at = options_.now()};
  if (entry.bytes() > options_.bytes.count) return;
  const std::lock_guard lock(mutex_);
  bytes_ += entry.bytes();
  entries_.push_front(std::move(entry));
  while (bytes_ > options_.bytes.count) drop_locked(std::prev(entries_.end()));
}

std::optional<KeptResponse> ResponseStore::find(const std::string& client, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto entry = find_locked(client, id);
  if (entry == entries_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, entry);
  return KeptResponse{.messages = Json::parse(entry->messages),
                      .response = Json::parse(entry->response)};
}

bool ResponseStore::remove(const std::string& client, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto entry = find_locked(client, id);
  if (entry == entries_.end()) return false;
  drop_locked(entry);
  return true;
}

/// Once those that are too old are gone.
std::list<ResponseStore::Entry>::iterator ResponseStore::find_locked(const std::string& client,
                                                                     const std::string& id) {
  const Clock::time_point oldest = options_.now() - options_.age;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->kept_at < oldest) drop_locked(entry);
    entry = next;
  }
  return std::ranges::find_if(
      entries_, [&](const Entry& entry) { return entry.client == client && entry.id == id; });
}

void ResponseStore::drop_locked(std::list<Entry>::iterator entry) {
  bytes_ -= entry->bytes();
  entries_.erase(entry);
}

}  // namespace sluice::server
