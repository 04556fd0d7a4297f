#pragma once

#include <functional>
#include <string>

#include "sluice/server/ask.h"

namespace sluice::server {

/// What a chat template can show. Templates differ, and many raise on what they do not know.
struct TemplateAbilities {
  bool system = true;          ///< a first system message
  bool late_system = true;     ///< one behind the first user's
  bool repeated_roles = true;  ///< two messages of the same role in turn
  bool tools = true;           ///< the list of tools
  bool tool_calls = true;      ///< an assistant's calls
  bool tool_results = true;    ///< messages of role "tool"
  bool json_calls = false;     ///< calls as <tool_call>{"name": ...
  bool long_ids = true;        ///< ids of calls that are no 9 letters and digits (Mistral)
  bool operator==(const TemplateAbilities&) const = default;
};

/// Renders messages with tools (an array or null); throws where the template raises.
using Render = std::function<std::string(const Json& messages, const Json& tools)>;

/// Finds out by rendering a few short conversations.
TemplateAbilities probe_template(const Render& render);

/// A conversation (Ask::Chat) in the form that the template can show, in the order it has: what only stands in the
/// wrong place for the template becomes part of a user's message there, so that a prompt's beginning, which may be
/// cached, stays what it was. Tools that the template cannot list are described in the first message.
/// Returns the messages; `tools` becomes null where the template must not see them.
Json normalise_roles(const Json& messages, Json& tools, const TemplateAbilities& abilities);

}  // namespace sluice::server
