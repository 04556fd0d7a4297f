#pragma once

#include <memory>

#include "sluice/engine/engine.h"
#include "sluice/residency/experts/trace.h"

namespace sluice::engine {

/// What `sluice bench` times. Every sequence of the batch holds `depth` tokens already; it gets `prompt`
/// tokens more, then `generate` steps, each of which appends the best token to all sequences at once.
struct Workload {
  int64_t depth = 0;
  int64_t prompt = 0;
  int64_t generate = 0;
  int64_t batch = 1;
};

struct Timing {
  double prefill_seconds = 0;  ///< all sequences' prompts, one after the other
  double decode_seconds = 0;   ///< all steps
  residency::StreamStatistics prefill_streaming, decode_streaming;  ///< where weights are streamed
};

/// A workload that can be timed again and again, always from the same depth. Its tokens are pseudo-random
/// and the same every time, different in every sequence. Needs no tokenizer. Use from one thread.
class Trial {
 public:
  /// Computes the first `depth` tokens of each sequence. Throws Error(bad_request) when a sequence does not
  /// fit the context.
  Trial(Engine& engine, const Workload& workload);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  Timing run();

  /// Which experts the steps of all runs asked for; without experts, none.
  const residency::Trace& trace() const;

 private:
  struct State;
  Engine& engine_;
  Workload workload_;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::engine
