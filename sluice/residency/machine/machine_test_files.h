#pragma once
// For tests: a /proc and a /sys of our own.

#include <filesystem>
#include <string>

#include "sluice/io/formats/test_files.h"

namespace sluice::residency {

/// A machine with 16,000,000 kB installed and half of it available, and cgroups as a test writes them.
class FakeMachine {
 public:
  FakeMachine() {
    write("proc/meminfo", "MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable: 8000000 kB\n");
    write("proc/self/status", "Name: x\nVmHWM:\t 2000 kB\nVmRSS:\t 1000 kB\n");
  }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((directory_.path() / name).parent_path());
    directory_.write(name, text);
  }
  const std::filesystem::path& root() const { return directory_.path(); }

 private:
  io::TestDirectory directory_;
};

}  // namespace sluice::residency
