#include "sluice/server/serving/models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>
#include <exception>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/base/threads.h"

namespace sluice::server {
namespace {

bool stands_for(std::string_view pattern, std::string_view name) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

}  // namespace

struct Models::Entry {
  Named named;
  std::mutex loading;
  mutable std::mutex mutex;  // of what follows
  std::shared_ptr<ServedModel> model;
  bool is_loading = false;
  Clock::time_point used = {}, due = Clock::time_point::max();  // when it was, and may go

  std::shared_ptr<ServedModel> loaded() const {
    const std::lock_guard lock(mutex);
    return model;
  }
  /// Takes it out where nobody else holds it and `goes` of the entry, which is locked.
  template <typename Goes>
  std::shared_ptr<ServedModel> take_unused(Goes goes) {
    const std::lock_guard lock(mutex);
    if (!model || model.use_count() > 1 || !goes(*this)) return nullptr;
    return std::exchange(model, nullptr);
  }
  ModelInfo info() const {
    const std::lock_guard lock(mutex);
    ModelInfo info;
    if (model) {
      info = model->info();
      const auto rest = std::chrono::duration_cast<std::chrono::seconds>(due - Clock::now());
      if (due != Clock::time_point::max())
        info.expires_at = std::time(nullptr) + std::max<int64_t>(rest.count(), 0);
      return info;
    }
    info.id = named.name;
    info.state = is_loading ? ModelInfo::State::loading : ModelInfo::State::unloaded;
    return info;
  }
};

/// Models that take memory: those that were let go too, until the last answer has ended and all of it was given back.
struct Models::Living {
  std::mutex mutex;
  std::condition_variable gone;
  size_t n = 0;

  size_t count() {
    const std::lock_guard lock(mutex);
    return n;
  }
  /// Takes `model` and counts it for as long as anybody holds it.
  static std::shared_ptr<ServedModel> counted(const std::shared_ptr<Living>& living,
                                              std::unique_ptr<ServedModel> model) {
    {
      const std::lock_guard lock(living->mutex);
      ++living->n;
    }
    return {model.release(), [living](ServedModel* going) {
              delete going;
              const std::lock_guard lock(living->mutex);
              --living->n;
              living->gone.notify_all();
            }};
  }
};

Models::Models(std::vector<Named> models, Aliases aliases, Open open, Options options)
    : aliases_(std::move(aliases)),
      open_(std::move(open)),
      options_(options),
      living_(std::make_shared<Living>()) {
  for (Named& named : models) {
    for (const auto& entry : entries_) {
      if (entry->named.name == named.name)
        fail(ErrorKind::bad_request, "two models are called {}; --model NAME=MODEL names them",
             named.name);
    }
    entries_.push_back(std::make_unique<Entry>());
    entries_.back()->named = std::move(named);
  }
  for (const auto& [alias, of] : aliases_) {
    const std::string& name = of;
    const auto is = [&](const auto& entry) { return entry->named.name == name; };
    if (std::ranges::none_of(entries_, is))
      fail(ErrorKind::bad_request, "--alias {}={}: no model is called {}", alias, name, name);
  }
  unloading_ = start_thread("unloads models", [this] { unload_when_due(); });
}

Models::~Models() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  unloading_.join();
}

Models::Entry& Models::find(std::string_view given) const {
  if (given.empty()) return *entries_.front();
  const std::string_view short_name = without_latest(given);
  for (const std::string_view name : {given, short_name}) {
    for (const auto& entry : entries_) {
      if (entry->named.name == name) return *entry;
    }
  }
  for (const auto& [alias, name] : aliases_) {
    if (stands_for(alias, given) || stands_for(alias, short_name)) return find(name);
  }
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry->named.name);
  Refusal refusal(404, fmt::format("the model '{}' is not served here; there is {}",
                                   printable_name(given), fmt::join(names, ", ")));
  refusal.param = "model";
  refusal.code = "model_not_found";
  throw Refusal(refusal);
}

std::shared_ptr<ServedModel> Models::open_first() { return load(*entries_.front()); }

std::shared_ptr<ServedModel> Models::get(std::string_view name) {
  Entry& entry = find(name);
  try {
    return load(entry);
  } catch (const Error& error) {
    throw Refusal(500, fmt::format("{} cannot be loaded: {}", entry.named.name, error.what()));
  }
}

std::shared_ptr<ServedModel> Models::load(Entry& entry) {
  if (auto model = entry.loaded()) return model;
  const std::lock_guard one_at_a_time(entry.loading);
  if (auto model = entry.loaded()) return model;
  const auto set = [&](bool is_loading, std::shared_ptr<ServedModel> model) {
    const std::lock_guard lock(entry.mutex);
    entry.is_loading = is_loading;
    entry.model = std::move(model);
    entry.used = Clock::now();
    entry.due = due_after(entry.used, std::nullopt);
  };
  std::unique_lock place(places_, std::defer_lock);
  if (options_.most_loaded > 0) {
    place.lock();
    make_place();
  }
  set(true, nullptr);
  try {
    auto model = Living::counted(
        living_, std::make_unique<ServedModel>(entry.named.name, open_(entry.named.model),
                                               options_.usual_answer));
    set(false, model);
    return model;
  } catch (...) {
    set(false, nullptr);
    throw;
  }
}

/// For one more. Throws Refusal where all that are loaded are in use, or were when they were let go.
void Models::make_place() {
  constexpr auto kLettingGo = std::chrono::seconds(5);
  while (living_->count() >= options_.most_loaded) {
    Entry* oldest = nullptr;
    Clock::time_point used = Clock::time_point::max();
    for (const auto& entry : entries_) {
      const std::lock_guard lock(entry->mutex);
      if (!entry->model || entry->model.use_count() > 1 || entry->used >= used) continue;
      used = entry->used;
      oldest = entry.get();
    }
    if (oldest == nullptr) {
      const size_t n_there = loaded().size();
      std::unique_lock lock(living_->mutex);
      const auto has_place = [&] { return living_->n < options_.most_loaded; };
      if (living_->n > n_there && living_->gone.wait_for(lock, kLettingGo, has_place)) continue;
      Refusal refusal(503, fmt::format("{} models are loaded, which is the most, and all of them "
                                       "are answering; try again soon",
                                       options_.most_loaded));
      refusal.code = "overloaded";
      refusal.retry_after = 1;
      throw Refusal(refusal);
    }
    oldest->take_unused([](const Entry&) { return true; });
  }
}

/// When a model that was used then may go; note_use() says what keep_seconds mean.
Models::Clock::time_point Models::due_after(Clock::time_point used,
                                            std::optional<double> keep_seconds) const {
  constexpr double kLongest = 1e9;
  if (!keep_seconds)
    return options_.idle_time ? used + *options_.idle_time : Clock::time_point::max();
  if (*keep_seconds < 0) return Clock::time_point::max();
  const std::chrono::duration<double> time(std::min(*keep_seconds, kLongest));
  return used + std::chrono::duration_cast<Clock::duration>(time);
}

void Models::note_use(std::string_view name, std::optional<double> keep_seconds) {
  Entry& entry = find(name);
  {
    const std::lock_guard lock(entry.mutex);
    entry.used = Clock::now();
    entry.due = due_after(entry.used, keep_seconds);
  }
  { const std::lock_guard lock(mutex_); }  // or it may miss this between looking and waiting
  changed_.notify_one();
}

/// On a thread of its own, since letting go of a model takes a while. One that is in use then is looked at again.
void Models::unload_when_due() {
  constexpr auto kAgain = std::chrono::milliseconds(200);
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto now = Clock::now();
    auto next = now + std::chrono::hours(1);
    for (const auto& entry : entries_) {
      const std::lock_guard entry_lock(entry->mutex);
      if (entry->model) next = std::min(next, std::max(entry->due, now + kAgain));
    }
    changed_.wait_until(lock, next);
    lock.unlock();
    for (const auto& entry : entries_)
      entry->take_unused([](const Entry& of) { return of.due <= Clock::now(); });
    lock.lock();
  }
}

bool Models::unload(std::string_view name) {
  Entry& entry = find(name);
  std::shared_ptr<ServedModel> model;
  const std::lock_guard lock(entry.mutex);
  std::swap(model, entry.model);
  return model != nullptr;
}

std::vector<std::shared_ptr<ServedModel>> Models::loaded() const {
  std::vector<std::shared_ptr<ServedModel>> models;
  for (const auto& entry : entries_) {
    if (auto model = entry->loaded()) models.push_back(std::move(model));
  }
  return models;
}

std::vector<ModelInfo> Models::list() const {
  std::vector<ModelInfo> infos;
  for (const auto& entry : entries_) infos.push_back(entry->info());
  return infos;
}

std::vector<ModelInfo> Models::list_with_aliases() const {
  std::vector<ModelInfo> infos = list();
  for (const auto& [alias, name] : aliases_) {
    if (alias.ends_with('*')) continue;
    infos.push_back(info(name));
    infos.back().id = alias;
  }
  return infos;
}

ModelInfo Models::info(std::string_view name) const { return find(name).info(); }

}  // namespace sluice::server
