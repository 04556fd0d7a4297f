#include "sluice/server/answers/call_values.h"

#include "sluice/io/formats/json_excess.h"

namespace sluice::server {
namespace {

constexpr size_t kDeepest = 100;  // writing JSON recurses
constexpr std::string_view kSpace = " \t\r\n";

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

CallJson parse_json(std::string_view text) {
  if (io::find_excess(text, {.depth = kDeepest})) return CallJson(CallJson::value_t::discarded);
  return CallJson::parse(text, nullptr, false);
}

std::optional<std::string_view> take_between(std::string_view& rest, std::string_view begin,
                                             std::string_view end) {
  if (!begin.empty()) rest = trimmed(rest);
  if (!rest.starts_with(begin)) return std::nullopt;
  const size_t stop = rest.find(end, begin.size());
  if (stop == rest.npos) return std::nullopt;
  const std::string_view taken = rest.substr(begin.size(), stop - begin.size());
  rest.remove_prefix(stop + end.size());
  return taken;
}

CallJson loose_value(std::string_view text, bool is_text) {
  if (!is_text) {
    CallJson value = parse_json(trimmed(text));
    if (!value.is_discarded()) return value;
  }
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return std::string(text);
}

ToolCall made_call(std::string_view name, const CallJson& arguments) {
  return {std::string(name), arguments.dump(-1, ' ', false, CallJson::error_handler_t::replace)};
}

std::optional<CallJson> take_pairs(std::string_view& rest, const PairMarks& marks,
                                   std::string_view tool, const TextArguments& texts) {
  CallJson arguments = CallJson::object();
  while (const auto key = take_between(rest, marks.key_begin, marks.key_end)) {
    const auto value = take_between(rest, marks.value_begin, marks.value_end);
    if (!value) return std::nullopt;
    arguments[std::string(*key)] = loose_value(*value, is_text(texts, tool, *key));
  }
  return arguments;
}

}  // namespace sluice::server
