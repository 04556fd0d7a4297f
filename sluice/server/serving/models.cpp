#include "sluice/server/serving/models.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <exception>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

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

  std::shared_ptr<ServedModel> loaded() const {
    const std::lock_guard lock(mutex);
    return model;
  }
  ModelInfo info() const {
    const std::lock_guard lock(mutex);
    if (model) return model->info();
    ModelInfo info;
    info.id = named.name;
    info.state = is_loading ? ModelInfo::State::loading : ModelInfo::State::unloaded;
    return info;
  }
};

Models::Models(std::vector<Named> models, Aliases aliases, Open open)
    : aliases_(std::move(aliases)), open_(std::move(open)) {
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
}

Models::~Models() = default;

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
  };
  set(true, nullptr);
  try {
    auto model = std::make_shared<ServedModel>(entry.named.name, open_(entry.named.model));
    set(false, model);
    return model;
  } catch (...) {
    set(false, nullptr);
    throw;
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

ModelInfo Models::info(std::string_view name) const { return find(name).info(); }

}  // namespace sluice::server
