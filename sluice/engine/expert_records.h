#pragma once

#include <optional>

#include "sluice/engine/engine.h"
#include "sluice/residency/experts/expert_profile.h"
#include "sluice/residency/experts/trace.h"

namespace sluice::engine {

/// Follows which experts are asked for, for whoever wants to know: the trace and the profile that options name,
/// and a trial. Belongs to the engine's thread.
class ExpertRecords {
 public:
  /// Throws Error(io), Error(bad_request) as the files' readers and writers do.
  ExpertRecords(const EngineOptions& options, int n_layers, int n_experts);

  void add(int layer, std::span<const int> experts, residency::Use use);

  /// From now on decoding is appended to `trace` too; null: no more.
  void copy_to(residency::Trace* trace) { copy_ = trace; }

  /// The experts to begin with.
  std::vector<residency::ExpertKey> most_used(int n) const;

  /// Writes the files, if anything was recorded. Throws Error(io).
  void finish();

 private:
  std::filesystem::path profile_path_;
  std::optional<residency::ExpertProfile> profile_;
  std::optional<residency::TraceWriter> trace_;
  residency::Trace* copy_ = nullptr;
  int64_t token_ = 0;
  int last_layer_ = -1;
  bool goes_on_ = false;
};

}  // namespace sluice::engine
