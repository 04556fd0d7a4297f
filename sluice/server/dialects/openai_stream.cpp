#include "sluice/server/dialects/openai_stream.h"

#include <utility>

#include "sluice/server/dialects/errors.h"
#include "sluice/server/dialects/lmstudio.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {

const char* OpenAiStream::content_type() const { return kEventStream; }
std::string OpenAiStream::keep_alive() const { return kEventComment; }

void OpenAiStream::begin_chunks(std::string id, std::string_view object, const Head& head) {
  head_ = head;
  chunk_ = {{"id", std::move(id)},
            {"object", object},
            {"created", head.created},
            {"model", head.model},
            {"choices", Json::array()}};
}

void OpenAiStream::write_choice(std::string& out, Json choice) const {
  Json chunk = chunk_;
  chunk["choices"].push_back(std::move(choice));
  write_event(out, chunk);
}

void OpenAiStream::finish(const Usage& usage, std::string& out) {
  if (with_usage_ || shape_ == ChatShape::lmstudio) {
    Json chunk = chunk_;
    chunk["usage"] = openai_usage(usage);
    chunk["timings"] = timings(usage);
    if (shape_ == ChatShape::lmstudio) add_lmstudio(chunk, head_, usage, last_ending_);
    write_event(out, chunk);
  }
  out += "data: [DONE]\n\n";
}

void OpenAiStream::fail(const Refusal& refusal, std::string& out) {
  write_event(out, {{"error", openai_error_object(refusal)}});
}

}  // namespace sluice::server
