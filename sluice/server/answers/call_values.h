#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/server/answers/tool_calls.h"

// What formats of tool calls are read with.
namespace sluice::server {

using CallJson = nlohmann::ordered_json;

std::string_view trimmed(std::string_view text);

/// One whole JSON value; discarded where it is none.
CallJson parse_json(std::string_view text);

/// What stands between `begin` and `end` at the front of `rest`, white space before them aside, and takes it away with
/// them. An empty `begin` is there already: then all up to `end` is what was asked for.
std::optional<std::string_view> take_between(std::string_view& rest, std::string_view begin,
                                             std::string_view end);

/// A value without quotes: text where the tool wants that, else JSON where it is some.
CallJson loose_value(std::string_view text, bool is_text);

/// arguments: an object.
ToolCall made_call(std::string_view name, const CallJson& arguments);

/// <BEGIN>KEY<END> pairs of any spelling, as one call's arguments.
struct PairMarks {
  std::string_view key_begin, key_end, value_begin, value_end;
};
/// Takes pairs from the front of `rest`; nullopt where one lacks its end.
std::optional<CallJson> take_pairs(std::string_view& rest, const PairMarks& marks,
                                   std::string_view tool, const TextArguments& texts);

}  // namespace sluice::server
