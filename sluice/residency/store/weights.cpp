#include "sluice/residency/store/weights.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "sluice/base/bytes.h"
#include "sluice/base/error.h"
#include "sluice/residency/dense/dense_store.h"
#include "sluice/residency/experts/token_experts.h"

namespace sluice::residency {

/// Held while weights are streamed.
struct WeightStore::Streaming {
  Streaming(const io::TensorIndex& index, const ModelExtents& model, const ResidencyPlan& plan,
            const StreamOptions& options);

  io::AsyncReader reader;
  Weight head;
  std::vector<Weight> head_blocks;
  DenseStore dense;
  std::optional<SlotPool> experts;
  std::optional<Prefetcher> prefetcher;
  std::optional<TokenExperts> of_tokens;
};

namespace {

std::vector<std::vector<DensePart>> dense_stages(const ModelExtents& model,
                                                 const std::vector<Weight>& head_blocks,
                                                 const ResidencyPlan& plan) {
  std::vector<std::vector<DensePart>> stages;
  for (size_t layer = 0; layer < model.layers.size(); ++layer) {
    auto& stage = stages.emplace_back();
    for (size_t part = 0; part < model.layers[layer].dense.size(); ++part) {
      stage.push_back(
          {model.layers[layer].dense[part], plan.dense[layer][part] == Placement::streamed});
    }
  }
  for (size_t block = 0; block < head_blocks.size(); ++block) {
    const bool streamed = block >= static_cast<size_t>(plan.head_blocks_resident);
    stages.push_back({{extents_of(head_blocks[block]), streamed}});
  }
  if (plan.embedding_resident && !model.embedding.empty()) {
    stages.push_back({{model.embedding, false}});
  }
  return stages;
}

/// A row of a table that is not in memory, and where it is wanted.
struct Missing {
  io::Extent extent;
  std::byte* to;
};

/// Reads whole pages, those that rows share once, and copies the rows out of them.
void read_small(io::AsyncReader& reader, std::span<const Missing> missing) {
  std::vector<io::Extent> extents;
  for (const Missing& row : missing) extents.push_back(row.extent);
  const PlacedExtents placed(extents);
  const Arena arena(placed.bytes());
  std::vector<io::ReadRequest> reads;
  for (const PlacedExtents::Run& run : placed.runs()) {
    reads.push_back({run.wanted.file, run.wanted.offset, run.wanted.bytes,
                     arena.data() + run.at + run.span.skip});
  }
  reader.wait(reader.submit(reads));
  for (const Missing& row : missing) {
    std::memcpy(row.to, arena.data() + placed.position(row.extent.file, row.extent.offset),
                row.extent.bytes);
  }
}

}  // namespace

WeightStore::Streaming::Streaming(const io::TensorIndex& index, const ModelExtents& model,
                                  const ResidencyPlan& plan, const StreamOptions& options)
    : reader(index.files, options.reader),
      head(model.head),
      head_blocks(residency::row_blocks(model.head, plan.head_blocks)),
      dense(reader, dense_stages(model, head_blocks, plan)) {
  if (plan.expert_slots > 0) {
    experts.emplace(reader, expert_files(model), static_cast<int>(plan.expert_slots),
                    options.policy);
    if (options.prefetch_experts) {
      prefetcher.emplace(*experts, static_cast<int>(model.layers.size()));
      of_tokens.emplace(token_experts(model));
    }
  }
}

WeightStore::~WeightStore() = default;

WeightStore::WeightStore(io::TensorIndex index, LoadMode mode,
                         std::vector<std::shared_ptr<const io::MappedFile>> mappings)
    : index_(std::move(index)), mappings_(std::move(mappings)) {
  if (mode == LoadMode::headers) {
    uint64_t longest = 0;
    for (const io::ModelFile& file : index_.files) longest = std::max(longest, file.bytes);
    zeros_ = std::make_unique<Arena>(Bytes{longest});
    for (const io::ModelFile& file : index_.files) files_.emplace_back(zeros_->data(), file.bytes);
    return;
  }
  for (size_t file = 0; file < index_.files.size(); ++file) {
    if (file == mappings_.size())
      mappings_.push_back(io::MappedFile::open(index_.files[file].path));
    const std::span<const std::byte> mapped = mappings_[file]->bytes();
    if (mapped.size() != index_.files[file].bytes) {
      fail(ErrorKind::bad_model, "{}: changed its size while being opened: {} bytes, was {}",
           index_.files[file].path.string(), mapped.size(), index_.files[file].bytes);
    }
    if (mode == LoadMode::copy) {
      try {
        copies_.emplace_back(mapped.size());
      } catch (const std::bad_alloc&) {
        fail(ErrorKind::over_budget, "{}: no memory for a copy of {}; load it mapped",
             index_.files[file].path.string(), to_string(Bytes{mapped.size()}));
      }
    }
    if (mode == LoadMode::copy) mappings_[file]->read(copies_.back());
    files_.push_back(mode == LoadMode::copy ? std::span<const std::byte>(copies_.back()) : mapped);
  }
  if (mode == LoadMode::copy) {
    check_intact();
    mappings_.clear();  // what becomes of the files is no concern any more
  }
}

void WeightStore::stream(const ModelExtents& model, const ResidencyPlan& plan,
                         const StreamOptions& options) {
  release_pages();
  streaming_ = std::make_unique<Streaming>(index_, model, plan, options);
}

void WeightStore::release_pages(bool few) const {
  for (const auto& mapping : mappings_) {
    mapping->expect_few_touches(few);
    mapping->release_pages();
  }
}

const std::byte* WeightStore::address(const FilePlace& place) const {
  if (streaming_) return streaming_->dense.address(place.file, place.offset);
  if (zeros_) fail(ErrorKind::internal, "only the headers were read: there are no weights");
  return files_[place.file].data() + place.offset;
}

kernels::Matrix WeightStore::acquire(const Weight& weight) const {
  return weight.at([this](const FilePlace& place) { return address(place); });
}

std::vector<Weight> WeightStore::row_blocks(const Weight& weight) const {
  const bool is_head = streaming_ && weight.data == streaming_->head.data &&
                       weight.rows() == streaming_->head.rows();
  return is_head ? streaming_->head_blocks : std::vector<Weight>{weight};
}

TableRows WeightStore::rows(const Weight& table, std::span<const int32_t> ids) const {
  const bool is_head = streaming_ && table.data == streaming_->head.data;
  const bool whole = !is_head || streaming_->head_blocks.size() == 1;
  if (!streaming_ ||
      (whole && streaming_->dense.resident_address(table.data.file, table.data.offset)))
    return {acquire(table)};

  Weight packed = table;
  packed.matrix.rows = static_cast<int64_t>(ids.size());
  TableRows rows{packed.matrix, true};
  std::vector<uint64_t> begin;  // of each extent's packed rows
  uint64_t bytes = 0;
  for (const io::Extent& extent : extents_of(packed)) {
    begin.push_back(bytes);
    bytes += extent.bytes;
  }
  rows.memory.resize(bytes);
  std::vector<Missing> missing;
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::vector<io::Extent> parts = extents_of(table.select_rows(ids[i], 1));
    for (size_t part = 0; part < parts.size(); ++part) {
      const io::Extent& extent = parts[part];
      std::byte* const to = rows.memory.data() + begin[part] + i * extent.bytes;
      const std::byte* const held = streaming_->dense.resident_address(extent.file, extent.offset);
      if (held != nullptr) {
        std::memcpy(to, held, extent.bytes);
      } else {
        missing.push_back({extent, to});
      }
    }
  }
  const size_t at_once = kRowsAtOnce * begin.size();
  for (size_t first = 0; first < missing.size(); first += at_once) {
    read_small(streaming_->reader,
               std::span(missing).subspan(first, std::min(at_once, missing.size() - first)));
  }
  const std::byte* const start = rows.memory.data();
  rows.matrix.data = start;
  if (rows.matrix.scale_row_bytes != 0) rows.matrix.scales = start + begin[1];
  if (rows.matrix.format == kernels::Format::affine) rows.matrix.biases = start + begin[2];
  return rows;
}

ExpertStream WeightStore::experts(int layer, std::span<const int> ids, Use use) const {
  if (demand_sink_) demand_sink_(layer, ids, use);
  if (!streaming_) {
    return ExpertStream(ids, [this](const Weight& weight) { return acquire(weight); });
  }
  ExpertStream stream(*streaming_->experts, layer, ids, use);
  if (streaming_->prefetcher) streaming_->prefetcher->judge(layer, ids);
  return stream;
}

void WeightStore::warm(std::span<const ExpertKey> experts) const {
  if (streaming_ && streaming_->experts) streaming_->experts->prefetch(experts);
}

void WeightStore::guess_experts(int layer, GuessFrom from, std::span<const int> experts) const {
  if (streaming_ && streaming_->prefetcher) streaming_->prefetcher->guess(layer, from, experts);
}

void WeightStore::begin_tokens(std::span<const int32_t> tokens, bool guesses) const {
  if (!streaming_ || !streaming_->of_tokens) return;
  TokenExperts& known = *streaming_->of_tokens;
  known.begin(tokens);
  if (!guesses) return;
  for (int layer = 0; layer < known.n_layers(); ++layer)
    streaming_->prefetcher->guess(layer, GuessFrom::token, known.guess(layer));
}

void WeightStore::note_experts(int layer, std::span<const int32_t> experts,
                               int64_t n_tokens) const {
  if (streaming_ && streaming_->of_tokens) streaming_->of_tokens->add(layer, experts, n_tokens);
}

bool WeightStore::wants_guesses(const Weight& router) const {
  return streaming_ && streaming_->prefetcher &&
         streaming_->dense.resident_address(router.data.file, router.data.offset) != nullptr;
}

bool WeightStore::skip_expert(int layer, int expert) const {
  return streaming_ && streaming_->experts && streaming_->experts->skip(layer, expert);
}

Bytes WeightStore::resize_experts(Bytes target) {
  if (!streaming_ || !streaming_->experts) return {};
  SlotPool& pool = *streaming_->experts;
  const uint64_t slot = pool.bytes_per_slot().count;
  return {static_cast<uint64_t>(pool.resize(static_cast<int>(target.count / slot))) * slot};
}

std::span<const std::byte> WeightStore::held() const {
  if (!streaming_) return {};
  const std::span<const std::byte> dense = streaming_->dense.resident();
  if (!streaming_->experts) return dense;
  const std::span<const std::byte> slots = streaming_->experts->memory();
  return slots.size() > dense.size() ? slots : dense;
}

std::optional<StreamStatistics> WeightStore::statistics() const {
  if (!streaming_) return std::nullopt;
  StreamStatistics now{streaming_->reader.statistics(), {}, {}};
  if (streaming_->experts) {
    now.experts = streaming_->experts->statistics();
    now.per_expert = streaming_->experts->bytes_per_slot();
  }
  return now;
}

std::span<const std::byte> WeightStore::bytes(const io::TensorInfo& tensor) const noexcept {
  return files_[tensor.file].subspan(tensor.offset, tensor.bytes);
}

void WeightStore::check_intact() const {
  for (const auto& mapping : mappings_) {
    if (mapping->changed()) {
      throw Error(ErrorKind::io, io::changed_while_in_use(mapping->path().string()));
    }
  }
}

}  // namespace sluice::residency
