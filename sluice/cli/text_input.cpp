#include "sluice/cli/text_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "sluice/base/error.h"

namespace sluice::cli {
namespace {

constexpr size_t kLargestText = 1'000'000'000;

/// All that can be read from a file descriptor. name: for errors.
std::string read_all(int fd, const std::string& name) {
  std::string text;
  std::vector<char> buffer(1 << 20);
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorKind::io, "{}: cannot be read: {}", name, std::strerror(errno));
    text.append(buffer.data(), static_cast<size_t>(n));
    if (text.size() > kLargestText) fail(ErrorKind::bad_request, "{}: is larger than 1 GB", name);
  }
}

/// Closes a file.
struct File {
  int fd;
  ~File() { ::close(fd); }
};

}  // namespace

void add_text_options(CLI::App& command, std::string& text, std::string& file) {
  auto* prompt = command.add_option("-p,--prompt", text, "The text");
  prompt->type_name("TEXT");
  command.add_option("--file", file, "Read the text from a file, - for stdin")
      ->type_name("FILE")
      ->excludes(prompt);
  command.parse_complete_callback([&command] {
    if (command.count("--prompt") + command.count("--file") == 0)
      throw CLI::RequiredError("-p or --file");
  });
}

std::string read_file(const std::string& path) {
  const File file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) fail(ErrorKind::io, "{}: cannot be opened: {}", path, std::strerror(errno));
  return read_all(file.fd, path);
}

std::string read_text(const std::string& path) {
  return path == "-" ? read_all(STDIN_FILENO, "stdin") : read_file(path);
}

std::vector<text::Token> parse_tokens(const std::string& argument) {
  const std::string list = argument.starts_with('@') ? read_file(argument.substr(1)) : argument;
  std::vector<text::Token> tokens;
  const char* at = list.data();
  const char* end = at + list.size();
  const auto skip = [&] {
    while (at < end && (*at == ',' || std::isspace(static_cast<unsigned char>(*at)))) ++at;
  };
  for (skip(); at < end; skip()) {
    text::Token token = 0;
    const auto [next, error] = std::from_chars(at, end, token);
    if (error != std::errc{})
      fail(ErrorKind::bad_request, "--tokens: '{}' is no token id",
           std::string(at, std::min(at + 12, end)));
    tokens.push_back(token);
    at = next;
  }
  if (tokens.empty())
    fail(ErrorKind::bad_request, "--tokens is empty: give ids as in 1,2,3 or @FILE");
  return tokens;
}

}  // namespace sluice::cli
