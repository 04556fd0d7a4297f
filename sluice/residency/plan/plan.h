#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sluice/base/bytes.h"

namespace sluice::residency {

/// What one layer needs. Sizes are those of the memory it would take, page rounding included.
struct LayerFootprint {
  /// What every token needs: norms, attention, router, shared experts. Each part is in memory for good
  /// or read for every token, so finer parts make finer plans.
  std::vector<Bytes> dense;
  int n_experts = 0;  ///< 0: a dense layer
  int n_experts_per_tok = 0;
  Bytes per_expert;
};

/// What a model needs of memory, and what a token needs of the model.
struct Footprint {
  std::vector<LayerFootprint> layers;  ///< in the order they run
  Bytes head;                          ///< the output matrix, read whole for every token
  Bytes embedding;                     ///< the token table; 0 when the head is the same matrix
  int64_t vocab_size = 0;
  Bytes kv_per_token;
  Bytes kv_fixed;     ///< sliding windows, recurrent state
  Bytes baseline;     ///< the process before any weight: code, tokenizer, MLX
  Bytes activations;  ///< of the largest step: a prefill chunk, its logits
  Bytes staging;      ///< of reads beside their destinations; not needed when all is mapped
};

/// How often a token's experts are in memory, by the share of all experts that is. Measured by replay
/// (tools/replay_trace.py); between points it is linear.
struct ReuseCurve {
  std::vector<std::pair<double, double>> points;  ///< (share, hit rate), both rising, within 0 to 1
  double hit_rate(double share) const;
};
/// No reuse beyond chance.
ReuseCurve uniform_reuse();
/// What trained routers showed (docs/decisions/004-expert-cache-policy.md).
ReuseCurve trained_reuse();

/// Bytes per second.
struct Machine {
  double memory_bandwidth = 0;
  double disk_bandwidth = 0;
};

enum class Placement {
  resident,  ///< in memory for good
  streamed,  ///< read for every token, ahead of use
};

/// Where a model's bytes are. What a token costs is for a context that is full.
struct ResidencyPlan {
  /// All fits: the files are mapped, nothing below is streamed or slotted, and no arena is made.
  bool mapped = false;

  std::vector<std::vector<Placement>> dense;  ///< of each layer's parts
  /// The head's rows are cut into so many blocks of equal size, of which the first are resident.
  int head_blocks = 1;
  int head_blocks_resident = 1;
  Bytes slab;  ///< the most that is streamed for one layer or head block; there are two; 0: none
  int64_t expert_slots = 0;
  Bytes per_slot;
  bool embedding_resident =
      true;  ///< if not, a token reads its row, as it does from a streamed head block

  Bytes budget;
  Bytes total;  ///< never above the budget
  Bytes kv;

  Bytes dense_bytes_streamed;    ///< per token
  Bytes memory_bytes_per_token;  ///< that computing reads
  Bytes disk_bytes_per_token;    ///< expected
  Bytes expert_bytes_missed;     ///< of these, experts'
  double hit_rate = 1;           ///< of experts
  double bound_tps = 0;          ///< memory and disk fully overlapped
  double expected_tps =
      0;  ///< streamed parts overlap, missing experts are read once the router is known
};

/// Plans for `context` tokens. A pure function. Pins what every token needs first, since a byte of it
/// saves a byte per token; then experts, in one pool of slots with n_experts_per_tok for each layer at
/// least: below that a token evicts its own experts before the next can use them, and no global LRU ever
/// hits. What remains of the dense parts is streamed in equal shares per layer, so that the disk is
/// always busy and the slabs are small.
/// Throws Error(over_budget) that shows the sum and the smallest budget, when that is larger.
ResidencyPlan plan_residency(const Footprint& model, Bytes budget, int64_t context,
                             const Machine& machine, const ReuseCurve& reuse);

/// The smallest budget that plan_residency() takes.
Bytes smallest_budget(const Footprint& model, int64_t context);

/// The smallest budget at which all is mapped.
Bytes mapped_budget(const Footprint& model, int64_t context);

/// Plans for `rows` budgets (2 at least) in equal steps from the smallest to the mapped one.
std::vector<ResidencyPlan> plan_table(const Footprint& model, int64_t context, int rows,
                                      const Machine& machine, const ReuseCurve& reuse);

}  // namespace sluice::residency
