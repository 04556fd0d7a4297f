#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/server/serving/served_model.h"

namespace sluice::server {

/// The models that are served, by name. Of any thread.
///   unloaded -> loading (by whoever asks first; others wait) -> loaded -> unloaded, when its time is over and nobody
///   uses it, when another one needs its place, or when a client asks for it: then it goes once the last answer has
class Models {
 public:
  struct Named {
    std::string name = {};
    std::string model = {};  ///< as `open` takes it
  };
  /// Names under which a model answers too: {"claude-*", "smollm2"}. A '*' at the end stands for any rest.
  using Aliases = std::vector<std::pair<std::string, std::string>>;
  /// Throws Error where it cannot be loaded.
  using Open = std::function<std::shared_ptr<engine::Engine>(const std::string& model)>;

  struct Options {
    /// How long a model that nobody uses stays loaded; unset: for ever.
    std::optional<std::chrono::milliseconds> idle_time = std::nullopt;
    size_t most_loaded = 0;    ///< the one used longest ago goes for another; 0: any number
    int64_t usual_answer = 0;  ///< as ServedModel has it
  };

  /// The first of `models`, of which there is one at least, is the default one. Throws Error(bad_request) for a
  /// name that is there twice, and an alias of none; Error(io) when there can be no thread.
  Models(std::vector<Named> models, Aliases aliases, Open open, Options options);
  ~Models();

  /// Loads it where it is not. An empty name means the default one. Throws Refusal: 404 for a name that is not
  /// served, 500 where it cannot be loaded, 503 where it has no place and all others are in use.
  std::shared_ptr<ServedModel> get(std::string_view name);
  /// Loads the default one. Throws Error as `open` does.
  std::shared_ptr<ServedModel> open_first();
  /// Lets it go once the last answer has; false when it is not loaded.
  bool unload(std::string_view name);
  /// It was used, and may go after so many seconds: negative ones mean never, unset as the options have it.
  void note_use(std::string_view name, std::optional<double> keep_seconds);
  std::vector<std::shared_ptr<ServedModel>> loaded() const;
  /// Of all, in order.
  std::vector<ModelInfo> list() const;
  /// And of those under another name, where it stands for no more than one.
  std::vector<ModelInfo> list_with_aliases() const;
  /// Throws Refusal (404).
  ModelInfo info(std::string_view name) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry;
  struct Living;
  Entry& find(std::string_view name) const;
  std::shared_ptr<ServedModel> load(Entry& entry);
  void make_place();
  Clock::time_point due_after(Clock::time_point used, std::optional<double> keep_seconds) const;
  void unload_when_due();

  std::vector<std::unique_ptr<Entry>> entries_;
  Aliases aliases_;
  Open open_;
  const Options options_;
  const std::shared_ptr<Living> living_;
  std::mutex places_;  // one model at a time gets a place

  std::mutex mutex_;  // of stopping_
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread unloading_;  // last: starts when all else is there
};

}  // namespace sluice::server
