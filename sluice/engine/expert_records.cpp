#include "sluice/engine/expert_records.h"

#include "sluice/base/atomic_file.h"

namespace sluice::engine {

using residency::Phase;

ExpertRecords::ExpertRecords(const EngineOptions& options, int n_layers, int n_experts)
    : profile_path_(options.expert_profile) {
  if (!options.expert_trace.empty()) trace_.emplace(options.expert_trace, n_layers, n_experts);
  if (profile_path_.empty()) return;
  if (std::filesystem::exists(profile_path_)) {
    profile_ = residency::ExpertProfile::read(profile_path_, n_layers, n_experts);
    profile_->age();
  } else {
    profile_.emplace(n_layers, n_experts);
    const AtomicFile probe(profile_path_);  // fails now, if it cannot be, and not after the work
  }
}

void ExpertRecords::add(int layer, std::span<const int> experts, residency::Use use) {
  if (layer < last_layer_ || (layer == last_layer_ && !goes_on_)) ++token_;
  last_layer_ = layer;
  goes_on_ = use == residency::Use::pass_again;  // with the prompt's next chunk, in the same layer
  const Phase phase = use == residency::Use::keep ? Phase::decode : Phase::prefill;
  if (profile_) profile_->add(layer, experts);
  if (trace_) trace_->add(token_, layer, phase, experts);
  if (copy_ != nullptr && phase == Phase::decode) {
    copy_->entries.push_back({token_, layer, phase, {experts.begin(), experts.end()}});
  }
}

std::vector<residency::ExpertKey> ExpertRecords::most_used(int n) const {
  return profile_ ? profile_->most_used(n) : std::vector<residency::ExpertKey>{};
}

void ExpertRecords::finish() {
  if (last_layer_ < 0) return;  // a run that was refused leaves the files of another one
  if (profile_) profile_->save(profile_path_);
  if (trace_) trace_->finish();
}

}  // namespace sluice::engine
