#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {

/// What a tool is called by the model, and by the client.
struct ResponsesTool {
  std::string visible = {};  ///< "mcp__files__read"
  std::string name = {};     ///< "read"
  std::string space = {};    ///< "mcp__files"; empty: none
  bool custom = false;       ///< its input is a text instead of JSON
};
using ResponsesTools = std::vector<ResponsesTool>;

/// The name by which the model knows a tool of a namespace.
std::string visible_name(const std::string& space, const std::string& name);

/// Functions, those in namespaces, and custom tools; what only OpenAI could run is left out with a warning.
ResponsesTools read_responses_tools(Fields& body, Asked& asked, const Limits& limits);

/// The items of `input` as messages.
void read_responses_input(Fields& body, Asked& asked, const Limits& limits);

/// echo: what of the request a response repeats: instructions, tools, temperature, ... kept: gets the response when it
/// has ended; null: nobody does.
std::unique_ptr<Writer> responses_writer(const Ask& ask, Json echo, ResponsesTools tools,
                                         std::shared_ptr<KeptResponse> kept);

}  // namespace sluice::server
