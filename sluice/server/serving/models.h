#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/server/serving/served_model.h"

namespace sluice::server {

/// The models that are served, by name. Of any thread.
///   unloaded -> loading (by whoever asks first; others wait) -> loaded -> unloaded, when nobody uses it
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

  /// The first of `models`, of which there is one at least, is the default one. Throws Error(bad_request) for a
  /// name that is there twice, and an alias of none.
  Models(std::vector<Named> models, Aliases aliases, Open open);
  ~Models();

  /// Loads it where it is not. An empty name means the default one. Throws Refusal: 404 for a name that is not
  /// served, 500 where it cannot be loaded.
  std::shared_ptr<ServedModel> get(std::string_view name);
  /// Loads the default one. Throws Error as `open` does.
  std::shared_ptr<ServedModel> open_first();
  /// Lets it go once the last answer has; false when it is not loaded.
  bool unload(std::string_view name);
  std::vector<std::shared_ptr<ServedModel>> loaded() const;
  /// Of all, in order.
  std::vector<ModelInfo> list() const;
  /// Throws Refusal (404).
  ModelInfo info(std::string_view name) const;

 private:
  struct Entry;
  Entry& find(std::string_view name) const;
  std::shared_ptr<ServedModel> load(Entry& entry);

  std::vector<std::unique_ptr<Entry>> entries_;
  Aliases aliases_;
  Open open_;
};

}  // namespace sluice::server
