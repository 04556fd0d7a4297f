#include "sluice/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <system_error>

#include "sluice/base/checked.h"
#include "sluice/base/error.h"
#include "sluice/io/page_size.h"
#include "sluice/io/truncation_guard.h"

namespace sluice::io {
namespace {

/// Where the kernel can map a file by pages of 2 MiB, its weights are read with few look-ups of the page table: 1.6 times as
/// fast in a virtual machine, whose look-ups are dear. That needs an address that is a multiple of it.
constexpr uint64_t kHugePage = uint64_t{2} << 20;

void prefer_huge_pages([[maybe_unused]] std::span<std::byte> range) {
#ifdef MADV_HUGEPAGE
  ::madvise(range.data(), range.size(),
            MADV_HUGEPAGE);  // a wish: whether it is granted changes no byte
#endif
}

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, const char* what) {
  fail(ErrorKind::io, "{}: {}: {}", path.string(), what, std::generic_category().message(errno));
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // Built up member by member, so that the destructor cleans up after any throw below.
  const std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  // O_NONBLOCK: a FIFO with no writer must be an error, not a wait.
  file->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file->descriptor_ < 0) fail_with_errno(path, "cannot be opened");

  struct stat status {};
  if (::fstat(file->descriptor_, &status) != 0) fail_with_errno(path, "cannot be examined");
  file->stamp_ = stamp_of(status);
  if (!S_ISREG(status.st_mode)) fail(ErrorKind::io, "{}: is not a regular file", path.string());
  if (status.st_size <= 0) fail(ErrorKind::bad_model, "{}: is empty", path.string());

  const uint64_t page = page_size();
  const auto size = static_cast<uint64_t>(status.st_size);
  const auto mapped = checked_round_up(size, page);
  const auto reserve = mapped ? checked_add(*mapped, page + kHugePage) : std::nullopt;
  if (!reserve || *reserve > std::numeric_limits<size_t>::max()) {
    fail(ErrorKind::io, "{}: {} bytes are more than the address space", path.string(), size);
  }
  void* const front =
      ::mmap(nullptr, *reserve, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
  if (front == MAP_FAILED) fail_with_errno(path, "no address space to map it");
  file->reserved_ = {static_cast<std::byte*>(front), *reserve};

  const auto after_page = reinterpret_cast<uintptr_t>(front) + page;
  std::byte* const wanted =
      file->reserved_.data() + page + (kHugePage - after_page % kHugePage) % kHugePage;
  if (::mmap(wanted, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file->descriptor_, 0) ==
      MAP_FAILED) {
    fail_with_errno(path, "cannot be mapped");
  }
  prefer_huge_pages({wanted, *mapped});
  file->bytes_ = {wanted, size};
  file->registration_ = 1 + guard_against_truncation({wanted, *mapped}, file->changed_);
  return file;
}

void MappedFile::read(std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got =
        ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with_errno(path_, "cannot be read");
    if (got == 0)
      fail(ErrorKind::io, "{}: ends after {} of {} bytes", path_.string(), done, out.size());
    done += static_cast<size_t>(got);
  }
}

MappedFile::~MappedFile() {
  if (registration_ != 0) stop_guarding(registration_ - 1);
  if (!reserved_.empty()) ::munmap(reserved_.data(), reserved_.size());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void MappedFile::expect_few_touches(bool few) const {
  auto* const data = const_cast<std::byte*>(bytes_.data());
  (void)::madvise(data, bytes_.size(), few ? MADV_RANDOM : MADV_NORMAL);
#ifdef MADV_HUGEPAGE
  (void)::madvise(data, bytes_.size(), few ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
#endif
}

void MappedFile::release_pages() const {
  (void)::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

bool MappedFile::changed() const {
  if (changed_.load(std::memory_order_acquire)) return true;
  const bool changed = stamp_of(descriptor_) != stamp_;
  if (changed) changed_.store(true, std::memory_order_release);
  return changed;
}

}  // namespace sluice::io
