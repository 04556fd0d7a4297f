#include "sluice/server/answers/channel_splitter.h"

#include <algorithm>
#include <utility>

#include "sluice/decode/begun_mark.h"
#include "sluice/server/answers/call_values.h"

namespace sluice::server {
namespace {

using Marks = ChannelMarks;

constexpr auto npos = std::string_view::npos;
constexpr size_t kLongestHeader = 1024;
constexpr std::string_view kEnds[] = {Marks::kEnd, Marks::kCall, Marks::kReturn, Marks::kStart};
constexpr std::string_view kTo = "to=";

/// Where a message ends; npos while it goes on.
size_t find_end(std::string_view text) {
  size_t at = npos;
  for (const std::string_view mark : kEnds) at = std::min(at, text.find(mark));
  return at;
}

bool may_begin_header(std::string_view text) {
  text = trimmed(text);
  const auto agrees = [&](std::string_view mark) {
    return text.starts_with(mark) || mark.starts_with(text);
  };
  return agrees(Marks::kStart) || agrees(Marks::kChannel) || agrees(Marks::kMessage) ||
         agrees(kTo) || agrees(Marks::kEnd) || agrees(Marks::kCall) || agrees(Marks::kReturn);
}

/// The word behind `before`; empty where that is not there.
std::string_view word_behind(std::string_view header, std::string_view before) {
  const size_t at = header.find(before);
  if (at == npos) return {};
  header.remove_prefix(at + before.size());
  return header.substr(0, header.find_first_of(" <\n"));
}

}  // namespace

std::vector<Piece> ChannelSplitter::push(std::string_view text) {
  std::vector<Piece> pieces;
  held_ += text;
  while (!held_.empty() && step(pieces)) {
  }
  return pieces;
}

std::vector<Piece> ChannelSplitter::finish() {
  std::vector<Piece> pieces;
  if (mode_ == Mode::call) call_is_text();
  if (mode_ == Mode::header && held_.find("<|") == held_.npos) {
    mode_ = Mode::text;
    begins_ = true;
  }
  const std::string rest = std::exchange(held_, {});
  if (mode_ == Mode::text) say(Piece::Kind::text, rest, pieces);
  if (mode_ == Mode::reasoning) say(Piece::Kind::reasoning, rest, pieces);
  if (mode_ == Mode::arguments) calls_.end(pieces);
  return pieces;
}

/// Understands some of what is held; false when more has to come first.
bool ChannelSplitter::step(std::vector<Piece>& pieces) {
  switch (mode_) {
    case Mode::header:
      return step_header();
    case Mode::text:
      return step_words(Piece::Kind::text, pieces);
    case Mode::reasoning:
      return step_words(Piece::Kind::reasoning, pieces);
    case Mode::call:
      return step_call(pieces);
    case Mode::arguments:
      return step_arguments(pieces);
    case Mode::call_rest:
      return step_call_rest();
  }
  return false;
}

bool ChannelSplitter::step_header() {
  if (drop_end()) return true;  // one too many
  const size_t end = held_.find(Marks::kMessage);
  if (!may_begin_header(held_) || std::min(end, held_.size()) > kLongestHeader) {
    if (held_.starts_with(Marks::kStart)) held_.erase(0, Marks::kStart.size());  // or it ends it
    begins_ = true;
    mode_ = Mode::text;
    return true;
  }
  if (end == npos) return false;
  header_ = held_.substr(0, end + Marks::kMessage.size());
  held_.erase(0, header_.size());
  begin_message(header_);
  return true;
}

void ChannelSplitter::begin_message(std::string_view header) {
  const std::string_view channel = word_behind(header, Marks::kChannel);
  const std::string_view recipient = word_behind(header, kTo);
  begins_ = true;
  mode_ = channel == "analysis" ? Mode::reasoning : Mode::text;
  if (recipient.empty()) return;
  tool_ = recipient.substr(recipient.starts_with(Marks::kFunctions) ? Marks::kFunctions.size() : 0);
  json_ = {};
  scanned_ = 0;
  if (markup_.calls_tools && markup_.offers(tool_)) {
    mode_ = Mode::call;
  } else if (mode_ == Mode::text) {
    call_is_text();
  }
}

bool ChannelSplitter::step_words(Piece::Kind kind, std::vector<Piece>& pieces) {
  const size_t end = find_end(held_);
  const size_t n = end == npos ? held_.size() - decode::begun_mark(held_, kEnds) : end;
  say(kind, std::string_view(held_).substr(0, n), pieces);
  held_.erase(0, n);
  return end != npos && end_message();
}

bool ChannelSplitter::step_call(std::vector<Piece>& pieces) {
  const size_t first = held_.find_first_not_of(" \t\r\n");
  if (first == npos) return false;
  if (held_[first] != '{') {
    call_is_text();
    return true;
  }
  if (markup_.calls_as_they_come) {
    held_.erase(0, first);
    calls_.begin(tool_, pieces);
    mode_ = Mode::arguments;
    return true;
  }
  const size_t end = json_.push(std::string_view(held_).substr(scanned_));
  if (end == npos) {
    scanned_ = held_.size();
    return false;
  }
  const CallJson arguments =
      parse_json(std::string_view(held_).substr(first, scanned_ + end - first));
  if (!arguments.is_object()) {
    call_is_text();
    return true;
  }
  calls_.whole(made_call(tool_, arguments), pieces);
  held_.erase(0, scanned_ + end);
  mode_ = Mode::call_rest;
  return true;
}

bool ChannelSplitter::step_arguments(std::vector<Piece>& pieces) {
  const size_t end = json_.push(held_);
  calls_.add(held_.substr(0, end), pieces);
  held_.erase(0, end);
  if (end == npos) return false;
  calls_.end(pieces);
  mode_ = Mode::call_rest;
  return true;
}

bool ChannelSplitter::step_call_rest() {
  const size_t end = find_end(held_);
  held_.erase(0, end == npos ? held_.size() - decode::begun_mark(held_, kEnds) : end);
  return end != npos && end_message();
}

void ChannelSplitter::call_is_text() {
  held_.insert(0, header_);
  // Its own start would end it.
  if (held_.starts_with(Marks::kStart))
    held_.erase(0, std::min(held_.find(Marks::kChannel), held_.find(kTo)));
  begins_ = true;
  mode_ = Mode::text;
}

/// The mark that ends it is held; the one that begins the next is a part of that.
bool ChannelSplitter::end_message() {
  drop_end();
  mode_ = Mode::header;
  return true;
}

bool ChannelSplitter::drop_end() {
  for (const std::string_view mark : {Marks::kEnd, Marks::kCall, Marks::kReturn}) {
    if (!held_.starts_with(mark)) continue;
    held_.erase(0, mark.size());
    return true;
  }
  return false;
}

void ChannelSplitter::say(Piece::Kind kind, std::string_view text, std::vector<Piece>& pieces) {
  if (text.empty()) return;
  bool& said = kind == Piece::Kind::text ? said_text_ : said_reasoning_;
  std::string words = std::exchange(begins_, false) && said ? "\n\n" : "";
  said = true;
  words += text;
  if (!pieces.empty() && pieces.back().kind == kind) {
    pieces.back().text += words;
  } else {
    pieces.push_back({.kind = kind, .text = std::move(words)});
  }
}

}  // namespace sluice::server
