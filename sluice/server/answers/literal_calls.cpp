#include "sluice/server/answers/literal_calls.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "sluice/server/answers/call_values.h"

namespace sluice::server {
namespace {

constexpr int kDeepest = 50;

/// Reads literals from the front of a text. What cannot be read sets failed() for good.
class Literals {
 public:
  /// quote: around texts; empty: Python's quotes, with its escapes. assigns: between a key and its value.
  Literals(std::string_view text, std::string_view quote, char assigns)
      : rest_(text), quote_(quote), assigns_(assigns) {}

  bool failed() const { return failed_; }
  bool at_end() {
    rest_ = trimmed(rest_);
    return rest_.empty();
  }

  bool take(std::string_view wanted) {
    rest_ = trimmed(rest_);
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  void expect(std::string_view wanted) { failed_ = failed_ || !take(wanted); }

  std::string name() {
    rest_ = trimmed(rest_);
    const auto is_part = [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c >= 0x80;
    };
    const auto end = std::ranges::find_if_not(rest_, is_part);
    const std::string name(rest_.begin(), end);
    failed_ = failed_ || name.empty();
    rest_.remove_prefix(name.size());
    return name;
  }

  /// KEY:VALUE, ... as far as `close`, which is taken too.
  CallJson object(std::string_view close, int depth) {
    CallJson object = CallJson::object();
    while (!failed_ && !take(close)) {
      std::string key = begins_text() ? text() : name();
      expect({&assigns_, 1});
      object[std::move(key)] = value(depth + 1);
      separate(close);
    }
    return object;
  }

 private:
  bool begins_text() {
    rest_ = trimmed(rest_);
    if (!quote_.empty()) return rest_.starts_with(quote_);
    return rest_.starts_with('"') || rest_.starts_with('\'');
  }

  void separate(std::string_view close) {
    if (!take(",")) failed_ = failed_ || !trimmed(rest_).starts_with(close);
  }

  std::string text() {
    if (quote_.empty()) return python_text();
    rest_.remove_prefix(quote_.size());
    const size_t end = rest_.find(quote_);
    failed_ = failed_ || end == rest_.npos;
    std::string text(rest_.substr(0, end));
    rest_.remove_prefix(failed_ ? 0 : end + quote_.size());
    return text;
  }

  std::string python_text() {
    const char quote = rest_.front();
    std::string text;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return text;
      }
      const bool escaped = rest_[i] == '\\' && i + 1 < rest_.size();
      text += escaped ? unescaped(rest_[++i]) : rest_[i];
    }
    failed_ = true;
    return text;
  }

  static char unescaped(char c) { return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c; }

  CallJson value(int depth) {
    if (failed_ || depth > kDeepest) {
      failed_ = true;
      return nullptr;
    }
    if (begins_text()) return text();
    if (take("{")) {
      // Only Python's own objects have ':' where its arguments have '='.
      Literals inner(rest_, quote_, ':');
      CallJson object = inner.object("}", depth);
      rest_ = inner.rest_;
      failed_ = inner.failed_;
      return object;
    }
    if (take("[")) {
      CallJson list = CallJson::array();
      while (!failed_ && !take("]")) {
        list.push_back(value(depth + 1));
        separate("]");
      }
      return list;
    }
    return bare();
  }

  /// A number or a word: true, True, None; in Gemma's, any text.
  CallJson bare() {
    const size_t end = std::min(rest_.find_first_of(",)]}"), rest_.size());
    const std::string_view word = trimmed(rest_.substr(0, end));
    rest_.remove_prefix(end);
    if (word == "True") return true;
    if (word == "False") return false;
    if (word == "None") return nullptr;
    CallJson value = parse_json(word);
    if (!value.is_discarded()) return value;
    failed_ = failed_ || quote_.empty() || word.empty();
    return std::string(word);
  }

  std::string_view rest_, quote_;
  char assigns_;
  bool failed_ = false;
};

Calls parse_braced(std::string_view body, std::string_view quote) {
  Literals literals(body, quote, ':');
  std::vector<ToolCall> calls;
  while (!literals.failed() && literals.take("call:")) {
    const std::string name = literals.name();
    literals.expect("{");
    calls.push_back(made_call(name, literals.object("}", 0)));
  }
  if (literals.failed() || calls.empty() || !literals.at_end()) return std::nullopt;
  return calls;
}

}  // namespace

Calls parse_gemma_calls(std::string_view body, const TextArguments& /*texts*/) {
  return parse_braced(body, "<|\"|>");
}

Calls parse_function_gemma_calls(std::string_view body, const TextArguments& /*texts*/) {
  return parse_braced(body, "<escape>");
}

Calls parse_python_calls(std::string_view body, const TextArguments& /*texts*/) {
  Literals literals(body, "", '=');
  const bool listed = literals.take("[");
  std::vector<ToolCall> calls;
  do {
    const std::string name = literals.name();
    literals.expect("(");
    calls.push_back(made_call(name, literals.object(")", 0)));
  } while (!literals.failed() && literals.take(","));
  if (listed) literals.expect("]");
  if (literals.failed() || !literals.at_end()) return std::nullopt;
  return calls;
}

}  // namespace sluice::server
