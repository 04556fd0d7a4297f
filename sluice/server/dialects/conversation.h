#pragma once

#include <string>
#include <string_view>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {

/// OpenAI's messages as Ask::Chat has them: developer is system, parts of a content are one string, a call's arguments
/// are an object. A last message with `prefix` sets chat.continues.
void read_openai_messages(Fields& body, std::string_view name, Ask::Chat& chat,
                          const Limits& limits);

/// A content that is a string or an array of parts, of which only text can be honoured; absent is "". Parts are
/// joined by line feeds. `types`: what a part of text is called ("text", "input_text", ...).
std::string read_text_parts(const Json* content, const std::string& path,
                            std::initializer_list<std::string_view> types);

/// {"role", "content"}
Json make_message(std::string_view role, std::string content);
/// A call for a message's tool_calls. arguments: JSON text; what is no object stays the string it is.
Json make_tool_call(std::string_view id, std::string_view name, const std::string& arguments);
/// {"type": "function", "function": {"name", "description", "parameters", "strict"}}
Json make_tool(std::string name, Json description, const Json* parameters, bool strict);

/// Appends a call to the last message if that is the assistant's, else to a new one.
void append_tool_call(Json& messages, Json call);

}  // namespace sluice::server
