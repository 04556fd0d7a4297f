#include "sluice/text/gbnf.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

constexpr int kDeepest = 64;        // parentheses in parentheses
constexpr int kMostRepeats = 2000;  // as llama.cpp has it
constexpr size_t kMostRules = 10'000;
constexpr size_t kMostParts = 100'000;  // of a rule, with those of the rules in it

/// A piece of a rule: alternatives, a sequence, or something that stands for itself.
struct Expression {
  enum class Kind { alternatives, sequence, literal, set, rule };
  Kind kind = Kind::sequence;
  std::string text = {};  // of a literal, or of a set as an expression of Rust's regex crate
  size_t rule = 0;
  int least = 1, most = 1;  // most -1: any number
  std::vector<Expression> parts = {};
};

struct Rule {
  std::string name;
  size_t line = 0;  // where it is first named
  std::optional<Expression> body;
  bool recurs = false, may_be_empty = false;
  size_t parts = 0;  // where it does not recur
};

void append_utf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::vector<Rule> rules() {
    skip_space(true);
    while (at_ < text_.size()) {
      const size_t rule = index_of(name());
      skip_space(true);
      if (!take("::=")) wrong("wanted ::= behind a rule's name");
      if (rules_[rule].body) wrong("the rule is defined twice: " + rules_[rule].name);
      skip_space(true);
      rules_[rule].body = alternatives(0);
      skip_space(false);
      if (at_ < text_.size() && peek() != '\n' && peek() != '\r') wrong("wanted the line's end");
      skip_space(true);
    }
    for (const Rule& rule : rules_) {
      if (!rule.body)
        fail(ErrorKind::bad_request, "the grammar, line {}: there is no rule {}", rule.line,
             printable_name(rule.name));
    }
    return std::move(rules_);
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, std::min(at_, text_.size())), '\n');
    fail(ErrorKind::bad_request, "the grammar, line {}: {}", line, printable_name(what));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(std::string_view wanted) {
    if (!text_.substr(at_).starts_with(wanted)) return false;
    at_ += wanted.size();
    return true;
  }

  void skip_space(bool over_lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  }

  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    if (at_ == begin) wrong("wanted a rule's name");
    return std::string(text_.substr(begin, at_ - begin));
  }

  size_t index_of(const std::string& name) {
    const auto [found, added] = indices_.try_emplace(name, rules_.size());
    if (added) {
      if (rules_.size() == kMostRules) wrong("there are too many rules");
      const auto line = 1 + std::ranges::count(text_.substr(0, at_), '\n');
      rules_.push_back({.name = name, .line = static_cast<size_t>(line), .body = std::nullopt});
    }
    return found->second;
  }

  Expression alternatives(int depth) {
    if (depth == kDeepest) wrong(fmt::format("nests deeper than {} parentheses", kDeepest));
    Expression all{.kind = Expression::Kind::alternatives};
    do {
      skip_space(true);
      all.parts.push_back(sequence(depth));
    } while (take("|"));
    return all;
  }

  Expression sequence(int depth) {
    Expression all{.kind = Expression::Kind::sequence};
    while (true) {
      skip_space(depth > 0);
      const char c = peek();
      Expression item;
      if (c == '"') {
        item = literal();
      } else if (c == '[') {
        item = set();
      } else if (take(".")) {
        item = {.kind = Expression::Kind::set, .text = "[\\x{0}-\\x{10FFFF}]"};
      } else if (take("(")) {
        item = alternatives(depth + 1);
        skip_space(true);
        if (!take(")")) wrong("wanted ')'");
      } else if (is_name(c)) {
        item = {.kind = Expression::Kind::rule, .rule = index_of(name())};
      } else {
        return all;
      }
      repeat(item);
      all.parts.push_back(std::move(item));
    }
  }

  /// Repetitions of what is repeated are put into parentheses of their own.
  void repeat(Expression& item) {
    while (true) {
      int least = 1, most = 1;
      if (take("*")) {
        least = 0, most = -1;
      } else if (take("+")) {
        most = -1;
      } else if (take("?")) {
        least = 0;
      } else if (take("{")) {
        range(least, most);
      } else {
        return;
      }
      if (item.least != 1 || item.most != 1) {
        if (++n_nested_ > kDeepest) wrong("repeats what is repeated too often");
        Expression whole{.kind = Expression::Kind::sequence};
        whole.parts.push_back(std::move(item));
        item = std::move(whole);
      }
      item.least = least;
      item.most = most;
    }
  }

  void range(int& least, int& most) {
    skip_space(false);
    least = peek() == ',' ? 0 : number();
    skip_space(false);
    most = least;
    if (take(",")) {
      skip_space(false);
      most = peek() == '}' ? -1 : number();
      skip_space(false);
    }
    if (!take("}")) wrong("wanted '}' behind a number of repetitions");
    if (most >= 0 && most < least) wrong("the most repetitions are fewer than the least");
  }

  int number() {
    int value = -1;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc{} || value < 0 || value > kMostRepeats)
      wrong(fmt::format("wanted a number of repetitions from 0 to {}", kMostRepeats));
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  Expression literal() {
    Expression result{.kind = Expression::Kind::literal};
    for (take("\""); !take("\"");) append_utf8(character(), result.text);
    return result;
  }

  Expression set() {
    take("[");
    std::string text = take("^") ? "[^" : "[";
    bool empty = true;
    while (!take("]")) {
      const uint32_t first = character();
      uint32_t last = first;
      if (peek() == '-' && text_.substr(at_, 2) != "-]" && take("-")) last = character();
      if (last < first) wrong("a range of characters goes backwards");
      text += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", first, last);
      empty = false;
    }
    if (empty) wrong("a set of no characters");
    return {.kind = Expression::Kind::set, .text = text + "]"};
  }

  /// One character, or what an escape stands for.
  uint32_t character() {
    if (at_ >= text_.size() || peek() == '\n') wrong("a literal or a set does not end");
    if (take("\\")) return escaped();
    const auto byte = static_cast<unsigned char>(text_[at_]);
    const size_t n = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    uint32_t code = n == 1 ? byte : byte & (0xFFU >> (n + 1));
    for (size_t i = 1; i < n; ++i)  // the whole is UTF-8
      code = (code << 6) | (static_cast<unsigned char>(text_[at_ + i]) & 0x3FU);
    at_ += n;
    return code;
  }

  uint32_t escaped() {
    const char c = peek();
    ++at_;
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '"':
      case '\\':
      case '[':
      case ']':
      case '-':
      case '^':
      case '/':
        return static_cast<unsigned char>(c);
      default:
        wrong("an escape is unknown");
    }
  }

  uint32_t hex(size_t digits) {
    uint32_t code = 0;
    const std::string_view text = text_.substr(std::min(at_, text_.size()), digits);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code, 16);
    const bool whole = text.size() == digits && end == text.data() + text.size();
    if (error != std::errc{} || !whole || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      wrong("an escape is no character");
    at_ += digits;
    return code;
  }

  std::string_view text_;
  size_t at_ = 0;
  int n_nested_ = 0;
  std::vector<Rule> rules_;
  std::map<std::string, size_t> indices_;
};

using Kind = Expression::Kind;

void collect(const Expression& expression, std::vector<size_t>& rules) {
  if (expression.kind == Kind::rule) rules.push_back(expression.rule);
  for (const Expression& part : expression.parts) collect(part, rules);
}

bool may_be_empty(const Expression& expression, const std::vector<Rule>& rules) {
  if (expression.least == 0) return true;
  const auto part = [&](const Expression& of) { return may_be_empty(of, rules); };
  switch (expression.kind) {
    case Kind::alternatives:
      return std::ranges::any_of(expression.parts, part);
    case Kind::sequence:
      return std::ranges::all_of(expression.parts, part);
    case Kind::literal:
      return expression.text.empty();
    case Kind::set:
      return false;
    case Kind::rule:
      return rules[expression.rule].may_be_empty;
  }
  return false;
}

/// With the parts of the rules in it, which an expression over characters repeats.
size_t count_parts(const Expression& expression, const std::vector<Rule>& rules) {
  size_t n = expression.kind == Kind::rule ? rules[expression.rule].parts : 1;
  for (const Expression& part : expression.parts) n += count_parts(part, rules);
  return n;
}

/// Which rules come back to themselves, or lead to one that does: the others, in turn, are those all of whose rules are
/// known not to. Which may be empty is then known of those, too.
void find_recursion(std::vector<Rule>& rules) {
  std::vector<std::vector<size_t>> users(rules.size());
  std::vector<size_t> n_open(rules.size()), ready;
  for (size_t i = 0; i < rules.size(); ++i) {
    std::vector<size_t> used;
    collect(*rules[i].body, used);
    n_open[i] = used.size();
    for (const size_t rule : used) users[rule].push_back(i);
    rules[i].recurs = true;
    if (used.empty()) ready.push_back(i);
  }
  while (!ready.empty()) {
    const size_t rule = ready.back();
    ready.pop_back();
    rules[rule].recurs = false;
    rules[rule].may_be_empty = may_be_empty(*rules[rule].body, rules);
    rules[rule].parts = count_parts(*rules[rule].body, rules);
    if (rules[rule].parts > kMostParts) {
      fail(ErrorKind::bad_request,
           "the grammar, line {}: {} is longer than {} parts when written out", rules[rule].line,
           printable_name(rules[rule].name), kMostParts);
    }
    for (const size_t user : users[rule]) {
      if (--n_open[user] == 0) ready.push_back(user);
    }
  }
}

class Writer {
 public:
  explicit Writer(const std::vector<Rule>& rules) : rules_(rules) {}

  std::string lark(size_t root) const {
    std::string text = "start: " + reference(root) + "\n";
    for (size_t i = 0; i < rules_.size(); ++i) {
      const Rule& rule = rules_[i];
      text += fmt::format("{}: {}\n", name(i), written(*rule.body, !rule.recurs));
      // A word has to have characters.
      if (!rule.recurs && rule.may_be_empty)
        text += fmt::format("{0}_SOME: {0} & /(.|\\n)+/\n", name(i));
    }
    return text;
  }

 private:
  std::string name(size_t rule) const {
    return fmt::format("{}{}", rules_[rule].recurs ? "r" : "T", rule);
  }

  /// From a rule that recurs, or the start.
  std::string reference(size_t rule) const {
    const bool some = !rules_[rule].recurs && rules_[rule].may_be_empty;
    return some ? fmt::format("({}_SOME)?", name(rule)) : name(rule);
  }

  /// in_word: in a rule that becomes one expression over characters.
  std::string written(const Expression& expression, bool in_word) const {
    if (expression.most == 0) return "\"\"";
    std::string text;
    switch (expression.kind) {
      case Kind::alternatives:
      case Kind::sequence:
        for (const Expression& part : expression.parts) {
          text += text.empty() ? "(" : expression.kind == Kind::alternatives ? " | " : " ";
          text += written(part, in_word);
        }
        text = text.empty() ? "\"\"" : text + ")";
        break;
      case Kind::literal:
        text = nlohmann::json(expression.text).dump(-1, ' ', /*ensure_ascii=*/true);
        break;
      case Kind::set:
        text = "/" + expression.text + "/";
        break;
      case Kind::rule:
        text = in_word ? name(expression.rule) : "(" + reference(expression.rule) + ")";
        break;
    }
    return text + repetition(expression);
  }

  static std::string repetition(const Expression& expression) {
    const int least = expression.least, most = expression.most;
    if (least == 1 && most == 1) return "";
    if (most > 0) return fmt::format("{{{},{}}}", least, most);
    return least == 0 ? "*" : least == 1 ? "+" : fmt::format("{{{},}}", least);
  }

  const std::vector<Rule>& rules_;
};

}  // namespace

std::string lark_of_gbnf(std::string_view gbnf) {
  Utf8Stream utf8;
  std::string checked = utf8.push(gbnf);
  if ((checked += utf8.finish()) != gbnf) fail(ErrorKind::bad_request, "the grammar is not UTF-8");
  std::vector<Rule> rules = Parser(gbnf).rules();
  const auto root = std::ranges::find(rules, "root", &Rule::name);
  if (root == rules.end()) fail(ErrorKind::bad_request, "the grammar has no rule called root");
  find_recursion(rules);
  return Writer(rules).lark(static_cast<size_t>(root - rules.begin()));
}

}  // namespace sluice::text
