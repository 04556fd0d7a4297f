#pragma once
// For tests of asynchronous reads: a file of random bytes, page-aligned buffers, a gate that holds reads back, a fixture
// for every kind of reader.

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#include "sluice/io/formats/test_files.h"
#include "sluice/io/reads/aligned_span.h"
#include "sluice/io/reads/async_reader.h"

namespace sluice::io {

/// A file of random bytes in a directory of its own.
class RandomFile {
 public:
  explicit RandomFile(size_t bytes, unsigned seed = 1) : contents_(bytes, '\0') {
    std::mt19937_64 random(seed);
    for (char& c : contents_) c = static_cast<char>(random());
    path_ = directory_.write("weights.bin", contents_);
  }

  const std::string& contents() const { return contents_; }
  const std::filesystem::path& path() const { return path_; }
  std::vector<ModelFile> files() const { return {{path_, contents_.size()}}; }

 private:
  TestDirectory directory_;
  std::string contents_;
  std::filesystem::path path_;
};

/// A page-aligned buffer with room for an extent's aligned span, filled with junk.
class Landing {
 public:
  Landing(uint64_t offset, uint64_t bytes)
      : offset_(offset),
        bytes_(bytes),
        span_(aligned_span(offset, bytes)),
        buffer_(static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, span_.bytes))) {
    std::memset(buffer_.get(), 0x55, span_.bytes);
  }

  ReadRequest request(Priority priority = Priority::demand) const {
    return {0, offset_, bytes_, data(), priority};
  }
  std::byte* data() const { return buffer_.get() + span_.skip; }

  bool holds(const std::string& contents) const {
    return std::memcmp(data(), contents.data() + offset_, bytes_) == 0;
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  uint64_t offset_;
  uint64_t bytes_;
  AlignedSpan span_;
  std::unique_ptr<std::byte, Free> buffer_;
};

/// Holds lanes back until it is opened: then tests know what has started.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  int64_t pass(uint64_t offset, int64_t answer) {
    std::unique_lock lock(mutex_);
    offsets_.push_back(offset);
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    return answer;
  }
  void wait_for_arrivals(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return offsets_.size() >= n; });
  }
  std::vector<uint64_t> offsets() {
    const std::lock_guard lock(mutex_);
    return offsets_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  std::vector<uint64_t> offsets_;
};

inline Ticket submit(AsyncReader& reader, const Landing& landing,
                     Priority priority = Priority::demand) {
  return reader.submit(std::vector{landing.request(priority)})[0];
}

/// Runs with each kind of reader, as far as this system has it.
class ReaderTest : public ::testing::TestWithParam<ReaderKind> {
 protected:
  using Tamper = decltype(ReaderOptions::tamper);

  ReaderOptions options(Tamper tamper = nullptr) const {
    ReaderOptions options;
    options.kind = GetParam();
    options.tamper = std::move(tamper);
    return options;
  }
  void SetUp() override {
    try {
      AsyncReader(std::vector<ModelFile>{}, options());
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

inline const auto kReaderKinds = ::testing::Values(ReaderKind::io_uring, ReaderKind::threads);

inline std::string reader_name(const ::testing::TestParamInfo<ReaderKind>& kind) {
  return kind.param == ReaderKind::threads ? "threads" : "io_uring";
}

}  // namespace sluice::io
