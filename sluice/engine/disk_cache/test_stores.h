#pragma once
// For tests: stretches with small blocks whose bytes follow from their tokens.

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "sluice/engine/disk_cache/block_tag.h"
#include "sluice/engine/disk_cache/prompt_store.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::engine {

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream content;
  content << in.rdbuf();
  return content.str();
}

inline void write_content(const std::filesystem::path& file, std::string_view content) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
}

inline std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// 256 tokens.
inline std::vector<int32_t> stretch_tokens(int kind) {
  std::vector<int32_t> tokens(256);
  std::iota(tokens.begin(), tokens.end(), 1000 * kind);
  return tokens;
}

inline std::string block_bytes(int kind, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<char>(static_cast<size_t>(kind) * 31 + i * 7);
  return bytes;
}

/// A first stretch of a model, as its key says.
struct TestStretch {
  explicit TestStretch(int of_kind, std::string_view salt = "", size_t of_size = 64)
      : kind(of_kind), size(of_size), tokens(stretch_tokens(of_kind)) {
    key.chain = next_chain(first_chain("model", salt), tokens);
    key.model = "model";
    key.model_name = "a model";
    key.label = salt.empty() ? "shared" : "another";
    key.used_at = 1000 + of_kind;
    key.tokens = tokens;
  }
  TestStretch(const TestStretch&) = delete;
  TestStretch& operator=(const TestStretch&) = delete;

  PromptStore::Put put(PromptStore& store) const {
    const std::string bytes = block_bytes(kind, size);
    return store.put(key, 0, {io::as_bytes(bytes), [] { return true; }, [] {}});
  }
  /// What the store gives for it, checked as a reader does.
  std::optional<std::string> recall(PromptStore& store) const {
    const auto found = store.find(key.chain, key.tokens);
    if (!found || found->blocks.empty()) return std::nullopt;
    const StoredBlock& block = found->blocks[0];
    if (!CacheFolder::is_block_name(block.name)) return std::nullopt;
    std::string bytes = content_of(store.file_of(block));
    if (bytes.size() == size && PromptStore::fits(key.chain, block, io::as_bytes(bytes)))
      return bytes;
    store.on_damage(block, "is damaged");
    return std::nullopt;
  }
  std::string bytes() const { return block_bytes(kind, size); }

  int kind;
  size_t size;
  std::vector<int32_t> tokens;
  StretchKey key;
};

/// A folder that vanishes, and what was logged.
struct TestStore {
  io::TestDirectory directory;
  std::filesystem::path folder = directory.path() / "prompts";
  std::vector<std::string> lines = {};
  DiskCacheOptions options{.folder = folder,
                           .cap = Bytes{1 << 20},
                           .keep_free = {},
                           .log = [this](std::string_view line) { lines.emplace_back(line); }};

  std::unique_ptr<PromptStore> open() const { return std::make_unique<PromptStore>(options); }
  std::filesystem::path only_block() const {
    const auto files = files_below(folder / "blocks");
    EXPECT_EQ(files.size(), 1U);
    return files.at(0);
  }
};

}  // namespace sluice::engine
