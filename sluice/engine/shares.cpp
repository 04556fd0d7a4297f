#include "sluice/engine/shares.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/engine/budget.h"
#include "sluice/residency/machine/memory.h"
#include "sluice/residency/plan/plan.h"

namespace sluice::engine {
namespace {

/// The largest part such that the n_loaded hungriest models, none of which takes more than it can use, fit.
uint64_t level_of(Bytes ram, std::span<const ModelNeed> models, size_t n_loaded) {
  std::vector<uint64_t> wholes;
  for (const ModelNeed& model : models) wholes.push_back(model.whole.count);
  std::ranges::sort(wholes, std::greater<>());
  wholes.resize(std::min(n_loaded, wholes.size()));
  uint64_t left = ram.count;
  while (!wholes.empty()) {
    const uint64_t level = left / wholes.size();
    if (wholes.back() > level) return level;
    left -= wholes.back();
    wholes.pop_back();
  }
  return ram.count;
}

/// The least ram that gives every model its least.
Bytes least_ram(std::span<const ModelNeed> models, size_t n_loaded) {
  uint64_t level = 0;
  for (const ModelNeed& model : models) level = std::max(level, model.least.count);
  std::vector<uint64_t> parts;
  for (const ModelNeed& model : models) parts.push_back(std::min(level, model.whole.count));
  std::ranges::sort(parts, std::greater<>());
  parts.resize(std::min(n_loaded, parts.size()));
  return {std::accumulate(parts.begin(), parts.end(), uint64_t{0})};
}

}  // namespace

std::vector<Bytes> divide_ram(Bytes ram, std::span<const ModelNeed> models, size_t n_loaded) {
  const uint64_t level = level_of(ram, models, n_loaded);
  std::vector<Bytes> parts;
  for (const ModelNeed& model : models) {
    parts.push_back({std::min(level, model.whole.count)});
    if (parts.back() < model.least) {
      fail(ErrorKind::over_budget,
           "model {} needs {} at least and would get {} of --ram beside {} others; all fit into {} "
           "and what the process has; give more, or load fewer at once (--max-models, or no "
           "--draft-model)",
           parts.size(), to_string(model.least), to_string(parts.back()),
           std::min(n_loaded, models.size()) - 1, to_string(least_ram(models, n_loaded)));
    }
  }
  return parts;
}

std::vector<Share> shares_of(std::span<const std::filesystem::path> models,
                             const EngineOptions& options, size_t n_loaded) {
  EngineOptions headers = options;
  headers.load.mode = residency::LoadMode::headers;
  headers.ram.reset();
  const Bytes process = process_baseline() + options.beside;
  const Bytes before = residency::memory_state().resident;
  std::vector<ModelNeed> needs;
  std::vector<Share> shares;
  for (const std::filesystem::path& path : models) {
    const auto engine = Engine::open(path, headers);
    residency::Footprint footprint = engine->footprint(), least = engine->footprint_within({});
    footprint.baseline = least.baseline = difference(footprint.baseline, process);
    needs.push_back({residency::smallest_budget(least, engine->context()),
                     residency::mapped_budget(footprint, engine->context())});
    shares.push_back({{}, footprint.baseline});
  }
  // Tokenizers are larger while they are read.
  const Bytes opening = difference(residency::peak_resident(), before);
  const std::vector<Bytes> parts =
      divide_ram(difference(*options.ram, process + opening), needs, n_loaded);
  for (size_t i = 0; i < shares.size(); ++i) shares[i].ram = parts[i];
  return shares;
}

}  // namespace sluice::engine
