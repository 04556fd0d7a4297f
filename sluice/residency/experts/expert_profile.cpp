#include "sluice/residency/experts/expert_profile.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sluice/base/atomic_file.h"
#include "sluice/base/error.h"
#include "sluice/io/formats/json_file.h"

namespace sluice::residency {
namespace {

constexpr const char* kFormat = "sluice-expert-profile";
constexpr double kMostUses = 1e15;

bool is_use(const nlohmann::json& value) {
  return value.is_number() && value.get<double>() >= 0 && value.get<double>() <= kMostUses;
}

}  // namespace

ExpertProfile::ExpertProfile(int n_layers, int n_experts)
    : n_experts_(n_experts),
      uses_(static_cast<size_t>(n_layers), std::vector<double>(static_cast<size_t>(n_experts))) {}

ExpertProfile ExpertProfile::read(const std::filesystem::path& path, int n_layers, int n_experts) {
  const nlohmann::json json = io::read_json_file(path);
  if (!json.is_object() || json.value("format", nlohmann::json()) != kFormat ||
      json.value("version", nlohmann::json()) != 1 || !json.contains("uses")) {
    fail(ErrorKind::bad_request, "{}: is no expert profile of version 1; give another file",
         path.string());
  }
  ExpertProfile profile(n_layers, n_experts);
  const nlohmann::json& uses = json["uses"];
  const bool fits = uses.is_array() && uses.size() == profile.uses_.size() &&
                    std::ranges::all_of(uses, [&](const nlohmann::json& layer) {
                      return layer.is_array() && layer.size() == static_cast<size_t>(n_experts) &&
                             std::ranges::all_of(layer, is_use);
                    });
  if (!fits) {
    fail(ErrorKind::bad_request,
         "{}: wanted the uses of {} layers of {} experts; it is another model's, or damaged",
         path.string(), n_layers, n_experts);
  }
  for (size_t layer = 0; layer < uses.size(); ++layer) {
    profile.uses_[layer] = uses[layer].get<std::vector<double>>();
  }
  return profile;
}

void ExpertProfile::add(int layer, std::span<const int> experts) {
  for (const int expert : experts) {
    ++uses_[static_cast<size_t>(layer)][static_cast<size_t>(expert)];
  }
}

void ExpertProfile::age() {
  for (auto& layer : uses_) {
    for (double& uses : layer) uses /= 2;
  }
}

std::vector<ExpertKey> ExpertProfile::most_used(int n) const {
  std::vector<std::pair<double, ExpertKey>> used;
  for (size_t layer = 0; layer < uses_.size(); ++layer) {
    for (int expert = 0; expert < n_experts_; ++expert) {
      const double uses = uses_[layer][static_cast<size_t>(expert)];
      if (uses > 0) used.emplace_back(uses, ExpertKey{static_cast<int>(layer), expert});
    }
  }
  std::ranges::sort(used);
  const size_t kept = std::min(used.size(), static_cast<size_t>(std::max(n, 0)));
  std::vector<ExpertKey> keys;
  for (size_t i = used.size() - kept; i < used.size(); ++i) keys.push_back(used[i].second);
  return keys;
}

void ExpertProfile::save(const std::filesystem::path& path) const {
  const nlohmann::json file{{"format", kFormat}, {"version", 1}, {"uses", uses_}};
  write_file_atomically(path, file.dump() + "\n");
}

}  // namespace sluice::residency
