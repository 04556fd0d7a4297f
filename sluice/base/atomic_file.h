#pragma once

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace sluice {

/// Writes a file that is there whole or not at all: a temporary one beside it, synced, then renamed to it.
/// Threads may each write their own.
class AtomicFile {
 public:
  /// Makes the temporary file. Throws Error(io) when that cannot be, or when something is at `path` that is
  /// not a regular file and that a rename would destroy.
  explicit AtomicFile(std::filesystem::path path);
  /// Removes the temporary file unless it was committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws Error(io).
  void write(std::string_view bytes);
  /// Puts the file into its place; nothing may be written after that. Throws Error(io), and what was there
  /// before is there still.
  void commit();

  /// Removes the temporary files of all that live. For a handler of a signal that ends the program: calls
  /// nothing that is not async-signal-safe, and what is written after it is lost.
  static void remove_temporaries() noexcept;

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  [[noreturn]] void fail_with(int error) const;

  std::filesystem::path path_, temporary_;
  size_t place_;  // in the list of those that live
  std::unique_ptr<std::FILE, Close> file_;
};

/// The whole of a file at once. Throws Error(io), as AtomicFile does.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

}  // namespace sluice
