#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sluice/server/ask.h"

namespace sluice::server {

/// How much of a call the prompt holds already, and how the model ends it.
struct CallForm {
  enum class Begun {
    nothing,  ///< the marker alone: {"name": "f", "arguments": {...}}
    quote,    ///< {"name": "
    name,     ///< {"name": "f", "arguments":<space>
  };
  Begun begun = Begun::nothing;
  std::string_view arguments = "arguments";  ///< their key
  bool in_list = false;                      ///< a ']' ends it
};

/// What the rest of a call may be, in llguidance's variant of Lark: of any of `tools`, or with Begun::name of the only
/// one. Arguments are an object, which fits the tool's schema where it is strict.
std::string call_grammar(const Json& tools, const CallForm& form);

/// The same of a call on a channel (answers/channel_splitter.h), behind "functions.", or named: behind its header.
std::string channel_call_grammar(const Json& tools, bool named);

/// Whether a tool's arguments have to fit its schema.
bool is_strict(const Json& tool);

}  // namespace sluice::server
