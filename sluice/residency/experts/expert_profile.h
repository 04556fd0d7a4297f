#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "sluice/residency/experts/policy.h"

namespace sluice::residency {

/// How often a model's experts were used: what a next run begins with.
class ExpertProfile {
 public:
  ExpertProfile(int n_layers, int n_experts);

  /// Reads what save() wrote. Throws Error(io); Error(bad_request) for anything else, or for a model of another shape.
  static ExpertProfile read(const std::filesystem::path& path, int n_layers, int n_experts);

  void add(int layer, std::span<const int> experts);

  /// Old uses count half as much as those of this run.
  void age();

  /// The most used experts, at most n, the least used of them first.
  std::vector<ExpertKey> most_used(int n) const;

  /// As JSON: {"format":"sluice-expert-profile","version":1,"uses":[[uses of expert 0, ...] of layer 0, ...]}. Throws Error(io).
  void save(const std::filesystem::path& path) const;

 private:
  int n_experts_;
  std::vector<std::vector<double>> uses_;  // [layer][expert]
};

}  // namespace sluice::residency
