#include "sluice/server/answers/marked_splitter.h"

#include <algorithm>
#include <utility>

#include "sluice/decode/begun_mark.h"
#include "sluice/server/answers/call_opening.h"

namespace sluice::server {
namespace {

constexpr auto npos = std::string::npos;
constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kBetweenBareCalls = " \t\r\n;,";
constexpr size_t kLongestName =
    256;  // between a marker and the arguments, where they have no end marker

}  // namespace

MarkedSplitter::MarkedSplitter(Markup markup)
    : markup_(std::move(markup)),
      mode_(markup_.begins_in_reasoning ? Mode::reasoning : Mode::text),
      drops_space_(markup_.begins_in_reasoning) {
  if (!markup_.think_begin.empty()) begins_.push_back(markup_.think_begin);
  if (!markup_.calls_tools) return;
  for (const CallFormat& format : call_formats()) begins_.push_back(format.begin);
}

std::vector<Piece> MarkedSplitter::push(std::string_view text) {
  std::vector<Piece> pieces;
  held_ += text;
  while (!held_.empty() && step(pieces)) {
  }
  return pieces;
}

std::vector<Piece> MarkedSplitter::finish() {
  std::vector<Piece> pieces;
  while (mode_ == Mode::call) {
    end_call(held_.size(), false, pieces);
    while (!held_.empty() && step(pieces)) {
    }
  }
  if (mode_ == Mode::arguments || mode_ == Mode::call_rest) {
    held_.clear();
    calls_.end(pieces);
  }
  const bool between_calls = markup_.bare_calls && !said_text_ && calls_.n_calls() > 0;
  if (mode_ == Mode::text && !between_calls) {
    say(Piece::Kind::text, std::exchange(held_, {}), pieces);
    said_text_ = said_text_ || !space_.empty();
    if (!space_.empty()) pieces.push_back({.text = std::exchange(space_, {})});
  }
  if (mode_ == Mode::reasoning) say(Piece::Kind::reasoning, std::exchange(held_, {}), pieces);
  return pieces;
}

/// Understands some of what is held; false when more has to come first.
bool MarkedSplitter::step(std::vector<Piece>& pieces) {
  switch (mode_) {
    case Mode::text:
      return step_text(pieces);
    case Mode::reasoning:
      return step_reasoning(pieces);
    case Mode::call:
      return step_call(pieces);
    case Mode::arguments:
      return step_arguments(pieces);
    case Mode::call_rest:
      return step_call_rest(pieces);
    case Mode::behind_call:
      return step_behind_call();
  }
  return false;
}

MarkedSplitter::Found MarkedSplitter::find_marker() const {
  Found found;
  const auto look_for = [&](std::string_view marker, const CallFormat* format) {
    const size_t at = held_.find(marker);
    if (at < found.at) found = {at, marker.size(), format};
  };
  if (!markup_.think_begin.empty()) look_for(markup_.think_begin, nullptr);
  if (markup_.calls_tools) {
    for (const CallFormat& format : call_formats()) look_for(format.begin, &format);
  }
  return found;
}

bool MarkedSplitter::step_text(std::vector<Piece>& pieces) {
  if (markup_.bare_calls && !said_text_) {
    const size_t first = held_.find_first_not_of(calls_.n_calls() > 0 ? kBetweenBareCalls : kSpace);
    if (first == npos) return false;
    if (held_[first] == '{') {
      space_ += held_.substr(0, first);
      held_.erase(0, first);
      begin_call(bare_call_format());
      return true;
    }
  }
  const Found found = find_marker();
  if (found.at == npos) {
    say_all_but(decode::begun_mark(held_, begins_), Piece::Kind::text, pieces);
    return false;
  }
  say(Piece::Kind::text, std::string_view(held_).substr(0, found.at), pieces);
  held_.erase(0, found.at + found.size);
  if (found.format != nullptr) {
    begin_call(*found.format);
  } else {
    mode_ = Mode::reasoning;
    space_.clear();
    drops_space_ = true;
  }
  return true;
}

bool MarkedSplitter::step_reasoning(std::vector<Piece>& pieces) {
  const size_t end = held_.find(markup_.think_end);
  if (end == npos) {
    say_all_but(decode::begun_mark(held_, {markup_.think_end}), Piece::Kind::reasoning, pieces);
    return false;
  }
  say(Piece::Kind::reasoning, std::string_view(held_).substr(0, end), pieces);
  held_.erase(0, end + markup_.think_end.size());
  mode_ = Mode::text;
  space_.clear();
  drops_space_ = true;
  return true;
}

void MarkedSplitter::begin_call(const CallFormat& format) {
  mode_ = Mode::call;
  format_ = &format;
  json_ = {};
  scanned_ = 0;
  may_come_ = markup_.calls_as_they_come;
}

bool MarkedSplitter::step_call(std::vector<Piece>& pieces) {
  if (may_come_) return begin_arguments(pieces);
  const std::optional<size_t> end = body_end();
  if (!end) return false;
  end_call(*end, true, pieces);
  return true;
}

/// Tells the call whose beginning is held, once it is known for one that can be told as it comes.
bool MarkedSplitter::begin_arguments(std::vector<Piece>& pieces) {
  CallOpening opening = find_opening(held_);
  if (opening.kind == CallOpening::Kind::more) return false;
  may_come_ = false;
  const bool bare = format_ == &bare_call_format();
  if (opening.kind == CallOpening::Kind::other || (bare && !markup_.offers(opening.name)))
    return true;
  space_.clear();
  calls_.begin(std::move(opening.name), pieces);
  held_.erase(0, opening.arguments);
  mode_ = Mode::arguments;
  return true;
}

bool MarkedSplitter::step_arguments(std::vector<Piece>& pieces) {
  const size_t end = json_.push(held_);
  calls_.add(held_.substr(0, end), pieces);
  held_.erase(0, end);
  if (end == npos) return false;
  mode_ = Mode::call_rest;
  json_ = {};
  json_.push("{");
  return true;
}

/// What stands behind the arguments, as far as the object's end, tells nothing.
bool MarkedSplitter::step_call_rest(std::vector<Piece>& pieces) {
  const size_t end = json_.push(held_);
  held_.erase(0, end);
  if (end == npos) return false;
  calls_.end(pieces);
  leave_call();
  return true;
}

/// Models may leave the end marker out.
bool MarkedSplitter::step_behind_call() {
  const size_t first = held_.find_first_not_of(kSpace);
  if (first == npos) return false;
  const std::string_view rest = std::string_view(held_).substr(first);
  if (rest.starts_with(format_->end)) {
    held_.erase(0, first + format_->end.size());
  } else if (format_->end.starts_with(rest)) {
    return false;
  }
  mode_ = Mode::text;
  return true;
}

void MarkedSplitter::leave_call() {
  mode_ = Mode::behind_call;
  space_.clear();
  drops_space_ = true;
}

/// How much of what is held is the call; nullopt while it goes on.
std::optional<size_t> MarkedSplitter::body_end() {
  return format_->end.empty() ? json_end() : marked_end();
}

/// Where the end marker stands, or JSON closes. In a string of a JSON body the marker is a part of that string.
std::optional<size_t> MarkedSplitter::marked_end() {
  const size_t first = held_.find_first_not_of(kSpace);
  if (first == npos) return std::nullopt;
  const bool is_json = format_->has_json && (held_[first] == '{' || held_[first] == '[');
  while (true) {
    const size_t end = held_.find(format_->end, scanned_);
    // What may become the marker waits.
    const size_t to = end == npos ? held_.size() - decode::begun_mark(held_, {format_->end}) : end;
    while (scanned_ < to) {
      const size_t closed = json_.push(std::string_view(held_).substr(scanned_++, 1));
      if (is_json && closed != npos) return scanned_;
    }
    if (end == npos) return std::nullopt;
    if (!is_json || !json_.in_string()) return end;
    for (; scanned_ < end + format_->end.size(); ++scanned_)
      json_.push(std::string_view(held_).substr(scanned_, 1));
  }
}

/// Where the JSON closes that the body is, or that follows a name.
std::optional<size_t> MarkedSplitter::json_end() {
  if (scanned_ == 0) {
    const size_t first = held_.find_first_not_of(kSpace);
    if (first == npos) return std::nullopt;
    const bool is_json = held_[first] == '{' || held_[first] == '[';
    const size_t begin = is_json ? first : held_.find('{');
    if (begin > kLongestName + first) {
      if (held_.size() <= kLongestName + first) return std::nullopt;
      return kLongestName + first;  // no call begins so
    }
    scanned_ = begin;
  }
  const size_t end = json_.push(std::string_view(held_).substr(scanned_));
  if (end != npos) return scanned_ + end;
  scanned_ = held_.size();
  return std::nullopt;
}

/// The first `body` bytes are a call, or text if they do not parse. ended: by what ends a call, not by the answer's
/// end.
void MarkedSplitter::end_call(size_t body, bool ended, std::vector<Piece>& pieces) {
  const std::string said = std::string(format_->begin) + held_.substr(0, body);
  // Models that end an answer behind a call leave its marker out; JSON alone shows that it is whole.
  const size_t first = std::min(held_.find_first_not_of(kSpace), held_.size());
  const bool whole = ended || held_[first] == '{' || held_[first] == '[';
  auto calls = whole
                   ? format_->parse(std::string_view(held_).substr(0, body), markup_.text_arguments)
                   : std::nullopt;
  held_.erase(0, body);
  const auto is_offered_call = [this](const ToolCall& call) { return markup_.offers(call.name); };
  if (calls && format_ == &bare_call_format() && !std::ranges::all_of(*calls, is_offered_call))
    calls.reset();
  if (calls) {
    leave_call();
    for (ToolCall& call : *calls) calls_.whole(std::move(call), pieces);
  } else {
    mode_ = Mode::text;
    say(Piece::Kind::text, said, pieces);
  }
}

void MarkedSplitter::say_all_but(size_t keep, Piece::Kind kind, std::vector<Piece>& pieces) {
  const size_t n = held_.size() - keep;
  say(kind, std::string_view(held_).substr(0, n), pieces);
  held_.erase(0, n);
}

/// White space at the end waits: if a call or the end of reasoning follows it, it goes.
void MarkedSplitter::say(Piece::Kind kind, std::string_view text, std::vector<Piece>& pieces) {
  if (drops_space_) text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  if (text.empty()) return;
  drops_space_ = false;
  std::string said = std::exchange(space_, {}) + std::string(text);
  if (!begins_.empty() || kind == Piece::Kind::reasoning) {
    const size_t last = said.find_last_not_of(kSpace);
    const size_t n = last == npos ? 0 : last + 1;
    space_ = said.substr(n);
    said.resize(n);
  }
  if (said.empty()) return;
  if (kind == Piece::Kind::text) said_text_ = true;
  if (!pieces.empty() && pieces.back().kind == kind) {
    pieces.back().text += said;
  } else {
    pieces.push_back({.kind = kind, .text = std::move(said)});
  }
}

}  // namespace sluice::server
