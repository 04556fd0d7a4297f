#include "sluice/cli/answer_stream.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

// More is no answer of a chat.
constexpr size_t kMostLine = 16 << 20, kMostText = 64 << 20;

/// A field of an object, where it is one and has it; else null.
const Json& field(const Json& object, const char* name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

int64_t count_of(const Json& value) { return value.is_number_integer() ? value.get<int64_t>() : 0; }

double number_of(const Json& value) { return value.is_number() ? value.get<double>() : 0; }

}  // namespace

std::string error_of(const Json& body) {
  const Json& error = field(body, "error");
  const Json& message = error.is_object() ? field(error, "message") : error;
  return message.is_string() ? message.get<std::string>() : "";
}

void AnswerStream::push(std::string_view bytes) {
  whole_ += is_stream_ ? "" : bytes.substr(0, kMostLine - std::min(kMostLine, whole_.size()));
  line_ += bytes;
  for (size_t end = line_.find('\n'); end != line_.npos; end = line_.find('\n')) {
    take_line(std::string_view(line_).substr(0, end));
    line_.erase(0, end + 1);
  }
  if (line_.size() > kMostLine) fail(ErrorKind::io, "a line of its answer does not end");
}

void AnswerStream::take_line(std::string_view line) {
  constexpr std::string_view kData = "data:";
  if (!line.starts_with(kData)) return;
  is_stream_ = true;
  line.remove_prefix(kData.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line == "[DONE]") {
    done_ = true;
    return;
  }
  const Json chunk = Json::parse(line, nullptr, false);
  if (chunk.is_discarded()) fail(ErrorKind::io, "an event of its answer is no JSON");
  if (const std::string error = error_of(chunk); !error.empty())
    fail(ErrorKind::io, "{}", printable(error));
  take_chunk(chunk);
}

void AnswerStream::take_chunk(const Json& chunk) {
  const Json& choices = field(chunk, "choices");
  if (choices.is_array() && !choices.empty()) {
    const Json& content = field(field(choices[0], "delta"), "content");
    if (content.is_string()) say(content.get_ref<const std::string&>());
    if (field(choices[0], "finish_reason") == "length")
      answer_.finish_reason = engine::FinishReason::max_tokens;
  }
  if (const Json& usage = field(chunk, "usage"); usage.is_object()) {
    answer_.prompt_tokens = count_of(field(usage, "prompt_tokens"));
    answer_.n_generated = count_of(field(usage, "completion_tokens"));
    answer_.reused_tokens = count_of(field(field(usage, "prompt_tokens_details"), "cached_tokens"));
  }
  if (const Json& timings = field(chunk, "timings"); timings.is_object()) {
    answer_.prefill_tps = number_of(field(timings, "prompt_per_second"));
    answer_.decode_tps = number_of(field(timings, "predicted_per_second"));
  }
}

void AnswerStream::say(const std::string& text) {
  if (answer_.text.size() + text.size() > kMostText)
    fail(ErrorKind::io, "its answer is longer than {} bytes", kMostText);
  answer_.text += text;
  on_text_(text);
}

}  // namespace sluice::cli
