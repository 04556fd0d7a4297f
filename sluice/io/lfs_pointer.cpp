#include "sluice/io/lfs_pointer.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "sluice/base/error.h"

namespace sluice::io {

std::optional<Bytes> lfs_pointer_at(std::span<const std::byte> file) {
  constexpr size_t kLongestPointer = 1024;  // the specification's
  constexpr std::string_view kFirstLine = "version https://git-lfs.github.com/spec/";
  const std::string_view text(reinterpret_cast<const char*>(file.data()),
                              std::min(file.size(), kLongestPointer));
  if (!text.starts_with(kFirstLine)) return std::nullopt;
  constexpr std::string_view kSize = "\nsize ";
  Bytes missing{0};
  if (const size_t at = text.find(kSize); at != text.npos)
    std::from_chars(text.data() + at + kSize.size(), text.data() + text.size(), missing.count);
  return missing;
}

void refuse_lfs_pointer(std::span<const std::byte> file, const std::string& where) {
  const auto missing = lfs_pointer_at(file);
  if (!missing) return;
  fail(ErrorKind::bad_model,
       "{}: is a Git LFS pointer, not the file{}; fetch it with `git lfs pull`, or the model with "
       "`sluice pull`",
       where, missing->count > 0 ? " of " + to_string(*missing) : "");
}

}  // namespace sluice::io
