#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/io/formats/tensor_index.h"
#include "sluice/io/mapped_file.h"
#include "sluice/residency/experts/expert_stream.h"
#include "sluice/residency/experts/prefetcher.h"
#include "sluice/residency/experts/stream_statistics.h"
#include "sluice/residency/machine/arena.h"
#include "sluice/residency/store/model_extents.h"
#include "sluice/residency/weight.h"

namespace sluice::residency {

/// How weights get into memory.
enum class LoadMode {
  map,      ///< the files' pages, shared with the system's cache: nothing is copied
  headers,  ///< nothing: what small tensors there are is zeros, and no weight can be had. To describe and to plan
  copy,  ///< memory of our own, read when the model opens: for file systems that cannot map, and to compare
};

/// Rows of a table. `matrix` has them all, or only those that were asked for.
struct TableRows {
  kernels::Matrix matrix;
  bool gathered = false;               ///< row i of `matrix` is the i-th that was asked for
  std::vector<std::byte> memory = {};  ///< what `matrix` points to, when gathered

  int64_t row(size_t i, int32_t id) const { return gathered ? static_cast<int64_t>(i) : id; }
};

/// How weights are streamed. Changes no result.
struct StreamOptions {
  PolicyKind policy = kDefaultPolicy;
  bool prefetch_experts = true;  ///< those that guess_experts() names, where guesses come true
  io::ReaderOptions reader;
};

/// Holds a model's bytes: the files mapped (or copied), or, within a budget, an arena into which a part is
/// read for good and the rest when it is needed. The only holder of model file mappings above io.
///
/// One thread, the stream's, asks for weights; what it gets is valid while the primitive runs that asked.
class WeightStore {
 public:
  /// Maps the files that are not mapped yet (`mappings` may hold those of a GGUF, in index order).
  /// Throws Error(io) when a file cannot be read, Error(over_budget) when there is no memory for a copy.
  explicit WeightStore(io::TensorIndex index, LoadMode mode = LoadMode::map,
                       std::vector<std::shared_ptr<const io::MappedFile>> mappings = {});
  ~WeightStore();

  const io::TensorIndex& index() const { return index_; }
  /// False: the headers alone were read, and no tensor has a value.
  bool has_weights() const { return zeros_ == nullptr; }

  /// From now on holds weights as the plan says, and none of the files' pages. Reads what stays in memory.
  /// Throws Error(io), Error(over_budget).
  void stream(const ModelExtents& model, const ResidencyPlan& plan, const StreamOptions& options);
  /// The files' pages that were touched so far leave this process. Until `few` is false, a touch brings in few.
  void release_pages(bool few = true) const;

  /// The view kernels read, once it is in memory. Throws Error(io) when it cannot be read.
  kernels::Matrix acquire(const Weight& weight) const;

  /// Parts that acquire() can hold one after the other; the weight itself where it can hold it whole.
  std::vector<Weight> row_blocks(const Weight& weight) const;

  /// Rows of a table that are read together.
  static constexpr size_t kRowsAtOnce = 128;
  /// These rows of a table, each below its rows(). Throws Error(io).
  TableRows rows(const Weight& table, std::span<const int32_t> ids) const;

  /// A layer's experts, as they come into memory.
  ExpertStream experts(int layer, std::span<const int> ids, Use use) const;

  /// Begins to read these experts.
  void warm(std::span<const ExpertKey> experts) const;

  /// A layer will probably ask for these experts, the likeliest first: they may be read ahead.
  void guess_experts(int layer, GuessFrom from, std::span<const int> experts) const;
  /// A step of these tokens begins; guesses: the experts that each asked for last may be read ahead.
  void begin_tokens(std::span<const int32_t> tokens, bool guesses) const;
  /// What a step's tokens ask for in a layer, [n_tokens, experts of each], the best first.
  void note_experts(int layer, std::span<const int32_t> experts, int64_t n_tokens) const;
  /// Whether guesses are of use: experts are streamed, and asking for this matrix makes nothing move.
  bool wants_guesses(const Weight& router) const;

  /// Lossy: whether an expert is not in memory and shall be done without.
  bool skip_expert(int layer, int expert) const;

  /// Grows or shrinks the experts' memory to `target` at most, rounded down to whole slots; any thread may
  /// ask. Returns what they take then.
  Bytes resize_experts(Bytes target);

  /// The bytes of a small tensor (a norm's weights, a bias); only while the model is opened.
  std::span<const std::byte> bytes(const io::TensorInfo& tensor) const noexcept;

  /// Throws Error(io) when a file was written to or truncated since it was mapped: what was
  /// computed from it is void.
  void check_intact() const;

  /// The larger part of the memory that streamed weights are in; nothing when all is mapped.
  std::span<const std::byte> held() const;

  /// Nothing when all is mapped.
  std::optional<StreamStatistics> statistics() const;

  /// Whoever wants to know which experts were asked for; called on the stream's thread.
  using DemandSink = std::function<void(int layer, std::span<const int> experts, Use use)>;
  void set_demand_sink(DemandSink sink) { demand_sink_ = std::move(sink); }

 private:
  struct Streaming;
  const std::byte* address(const FilePlace& place) const;

  io::TensorIndex index_;
  std::vector<std::shared_ptr<const io::MappedFile>> mappings_;
  std::vector<std::vector<std::byte>> copies_;  // LoadMode::copy
  std::unique_ptr<Arena> zeros_;  // LoadMode::headers: as long as the longest file, never written
  std::vector<std::span<const std::byte>> files_;  // what weights are read from, one per file
  std::unique_ptr<Streaming> streaming_;           // null: files_ has it all
  DemandSink demand_sink_;
};

}  // namespace sluice::residency
