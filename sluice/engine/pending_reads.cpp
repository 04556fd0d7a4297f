#include "sluice/engine/pending_reads.h"

#include <utility>

namespace sluice::engine {

bool PendingReads::is_reading(const Sequence& sequence) const {
  const auto read = reads_.find(&sequence);
  return read != reads_.end() && read->second != nullptr;
}

bool PendingReads::begin(const Sequence& sequence, double prompt_token_seconds) {
  const Request& request = sequence.request();
  if (disk_ == nullptr || !request.uses_disk || reads_.contains(&sequence)) return false;
  disk_->set_token_seconds(prompt_token_seconds);
  const auto prompt = sequence.reusable();
  DiskPrefixes::Held held{prefixes_.stretches(request.cache_salt, prompt),
                          prefixes_.length_of(request.cache_salt, prompt)};
  auto read = disk_->read(request.cache_salt, prompt, std::move(held),
                          [this](Bytes bytes) { return prefixes_.evict(bytes); });
  return reads_.emplace(&sequence, std::move(read)).first->second != nullptr;
}

void PendingReads::take() {
  for (auto& [sequence, read] : reads_) {
    if (read == nullptr || !read->is_over()) continue;
    prefixes_.add(sequence->request().cache_salt, sequence->timeline(), read->take());
    read.reset();
  }
}

void PendingReads::forget(const Sequence& sequence) {
  const auto read = reads_.find(&sequence);
  if (read == reads_.end()) return;
  if (read->second != nullptr) read->second->cancel();
  reads_.erase(read);
}

bool PendingReads::give_up() {
  if (disk_ == nullptr) return false;
  bool any = false;
  for (const auto& [sequence, read] : reads_) {
    if (read != nullptr) read->cancel();
  }
  for (auto& [sequence, read] : reads_) {
    if (read == nullptr) continue;
    read->wait();
    read->drop();
    read.reset();
    any = true;
  }
  return disk_->let_go() || any;
}

}  // namespace sluice::engine
