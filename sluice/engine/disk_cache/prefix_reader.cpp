#include "sluice/engine/disk_cache/prefix_reader.h"

#include <chrono>
#include <filesystem>

#include "sluice/io/reads/async_reader.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

/// Files that are open at once.
constexpr size_t kBatch = 32;
/// A rate is of so many bytes at least: less is mostly latency.
constexpr uint64_t kWorthMeasuring = 1 << 20;

}  // namespace

PrefixReader::PrefixReader(PromptStore& store, std::function<void()> on_over)
    : store_(store), on_over_(std::move(on_over)) {
  thread_.start("reads the disk cache", [this] { loop(); });
}

PrefixReader::~PrefixReader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& read : queue_) read->cancel();
    if (current_) current_->cancel();
  }
  wake_.notify_one();
  thread_.join();
}

void PrefixReader::submit(std::shared_ptr<PrefixRead> read) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(read));
  }
  wake_.notify_one();
}

void PrefixReader::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    current_ = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    carry_out(*current_);
    current_->end();
    on_over_();
    lock.lock();
    current_.reset();
  }
}

void PrefixReader::carry_out(PrefixRead& read) {
  const std::span<PrefixRead::Block> blocks(read.blocks());
  const auto start = Clock::now();
  uint64_t bytes = 0;
  for (size_t at = 0; at < blocks.size(); at += kBatch) {
    const auto batch = blocks.subspan(at, std::min(kBatch, blocks.size() - at));
    if (read.is_cancelled() || !read_batch(batch, read)) return;
    for (const PrefixRead::Block& block : batch) bytes += block.stored.bytes;
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (bytes < kWorthMeasuring || seconds <= 0) return;
  const double rate = static_cast<double>(bytes) / seconds, before = bytes_per_second_;
  bytes_per_second_ = before == 0 ? rate : (before + rate) / 2;
}

/// False when not all of it is right, or nobody wants it any more.
bool PrefixReader::read_batch(std::span<PrefixRead::Block> batch, const PrefixRead& read) {
  std::vector<io::ModelFile> files;
  std::vector<io::ReadRequest> requests;
  for (const PrefixRead::Block& block : batch) {
    std::error_code error;
    const auto path = store_.file_of(block.stored);
    if (std::filesystem::file_size(path, error) != block.stored.bytes || error) {
      store_.on_damage(block.stored, error ? error.message() : "is not of the size it was");
      break;
    }
    requests.push_back({files.size(), 0, block.stored.bytes, block.memory->data()});
    files.push_back({path, block.stored.bytes});
  }
  if (files.empty()) return false;
  try {
    io::AsyncReader reader(files);
    const auto tickets = reader.submit(requests);
    for (size_t i = 0; i < tickets.size(); ++i) {
      PrefixRead::Block& block = batch[i];
      if (read.is_cancelled()) {
        reader.abandon(tickets);
        return false;
      }
      const std::span<const std::byte> bytes(block.memory->data(), block.stored.bytes);
      std::string wrong = "is not what was written";
      try {
        reader.wait(tickets[i]);
        block.is_right = PromptStore::fits(block.chain, block.stored, bytes);
      } catch (const Error& error) {
        wrong = error.what();
      }
      if (block.is_right) continue;
      store_.on_damage(block.stored, wrong);
      reader.abandon(tickets);
      return false;
    }
  } catch (const Error& error) {  // a file went away meanwhile, or there are no descriptors left
    store_.log(fmt::format("disk cache: {}; it is computed again", error.what()));
    return false;
  }
  return files.size() == batch.size();
}

}  // namespace sluice::engine
