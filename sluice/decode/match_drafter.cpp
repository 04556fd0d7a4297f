#include "sluice/decode/match_drafter.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice::decode {
namespace {

constexpr int32_t kGap = -1;
/// Places of a chain that are looked at, and tokens that are compared before each.
constexpr int kMostPlaces = 16;
constexpr int64_t kMostCompared = 64;
/// Matches that are shorter than the longest one by no more have a vote.
constexpr int64_t kVoters = 1;
/// Counters: what older guesses weigh against the next one, and how many were made in advance.
constexpr float kFade = 0.97F, kAssumed = 4;

/// Of guesses after a match of so many tokens, how many are right, before any was seen: measured on running text.
float assumed_chance(int64_t length) {
  constexpr std::array<float, 12> kChances{0,     0.35F, 0.55F, 0.65F, 0.75F, 0.75F,
                                           0.85F, 0.85F, 0.85F, 0.85F, 0.85F, 0.85F};
  return length < std::ssize(kChances) ? kChances[static_cast<size_t>(length)] : 0.93F;
}

}  // namespace

MatchDrafter::MatchDrafter(std::span<const int32_t> hint) {
  for (const int32_t token : hint) append(token);
  if (!hint.empty()) append(kGap);
  timeline_begin_ = text_.size();
}

/// Of the n tokens before `end`.
size_t MatchDrafter::slot(const Chain& chain, size_t end) const {
  uint64_t hash = 0;
  for (size_t i = end - static_cast<size_t>(chain.n); i < end; ++i)
    hash = (hash ^ static_cast<uint32_t>(text_[i])) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
  return (hash >> 20) & (chain.heads.size() - 1);
}

/// Twice as many slots, in which all places are entered again.
void MatchDrafter::grow(Chain& chain) {
  chain.heads.assign(std::max<size_t>(256, 2 * chain.heads.size()), kNowhere);
  for (auto end = static_cast<size_t>(chain.n); end < chain.before.size(); ++end) {
    int32_t& head = chain.heads[slot(chain, end)];
    chain.before[end] = std::exchange(head, static_cast<int32_t>(end));
  }
}

/// The new token follows a place, which is entered with it.
void MatchDrafter::append(int32_t token) {
  const size_t end = text_.size();
  for (Chain& chain : chains_) {
    if (chain.before.size() >= chain.heads.size()) grow(chain);
    int32_t before = kNowhere;
    if (std::ssize(text_) >= chain.n)
      before = std::exchange(chain.heads[slot(chain, end)], static_cast<int32_t>(end));
    chain.before.push_back(before);
  }
  text_.push_back(token);
}

/// Whether what was guessed has come.
void MatchDrafter::count() {
  if (!guess_) return;
  int64_t length = guess_->length;
  for (size_t i = 0; i < guess_->tokens.size() && guess_->size + i < text_.size(); ++i, ++length) {
    const bool is_right = text_[guess_->size + i] == guess_->tokens[i];
    Counter& counter = counters_[static_cast<size_t>(std::min(length, kLongest))];
    const float right = is_right ? 1.0F : 0.0F;
    for (const auto& [of, value] : {std::pair(&counter, right), std::pair(&text_guesses_, right),
                                    std::pair(&assumed_guesses_, assumed_chance(length))}) {
      of->right = of->right * kFade + value;
      of->all = of->all * kFade + 1;
    }
    if (!is_right) break;
  }
  guess_.reset();
}

/// Texts differ: where guesses after short matches are wrong more often than on others, so are those after long ones, which
/// come late.
float MatchDrafter::assumed_here(int64_t length) const {
  const auto odds = [](const Counter& counter) {
    return (counter.right + kAssumed) / (counter.all - counter.right + kAssumed);
  };
  const float assumed = assumed_chance(length);
  const float here = assumed / (1 - assumed) * odds(text_guesses_) / odds(assumed_guesses_);
  return here / (1 + here);
}

float MatchDrafter::chance(int64_t length) const {
  const Counter& counter = counters_[static_cast<size_t>(std::min(length, kLongest))];
  return (counter.right + kAssumed * assumed_here(length)) / (counter.all + kAssumed);
}

std::vector<MatchDrafter::Match> MatchDrafter::matches(const Chain& chain) const {
  std::vector<Match> found;
  const auto size = std::ssize(text_);
  if (size < chain.n || chain.heads.empty()) return found;
  int32_t place = chain.heads[slot(chain, text_.size())];
  for (int i = 0; i < kMostPlaces && place != kNowhere; ++i) {
    const int64_t most = std::min<int64_t>(place, kMostCompared);
    int64_t length = 0;
    while (length < most && text_[static_cast<size_t>(place - 1 - length)] ==
                                text_[static_cast<size_t>(size - 1 - length)])
      ++length;
    if (length >= chain.n && text_[static_cast<size_t>(place)] != kGap)
      found.push_back({place, length});
    place = chain.before[static_cast<size_t>(place)];
  }
  return found;
}

std::optional<MatchDrafter::Match> MatchDrafter::best_match() const {
  std::vector<Match> found;
  for (const Chain& chain : chains_) {
    found = matches(chain);
    if (!found.empty()) break;
  }
  if (found.empty()) return std::nullopt;
  const int64_t longest = std::ranges::max(found, {}, &Match::length).length;
  std::erase_if(found, [&](const Match& match) { return match.length < longest - kVoters; });
  const auto votes_for = [&](int32_t token) {
    float votes = 0;
    for (const Match& match : found) {
      if (text_[static_cast<size_t>(match.place)] == token)
        votes += std::exp2(static_cast<float>(match.length - longest));
    }
    return votes;
  };
  float all = 0;
  for (const Match& match : found) all += std::exp2(static_cast<float>(match.length - longest));
  Match best;
  best.share = 0;
  for (const Match& match : found) {  // the last place first
    const float share = votes_for(text_[static_cast<size_t>(match.place)]) / all;
    if (share > best.share || (share == best.share && match.length > best.length))
      best = {match.place, match.length, share};
  }
  return best;
}

Draft MatchDrafter::draft(std::span<const int32_t> timeline, int64_t most) {
  const size_t known = text_.size() - timeline_begin_;
  for (const int32_t token : timeline.subspan(std::min(known, timeline.size()))) append(token);
  count();
  Draft draft;
  const auto match = best_match();
  if (!match) return draft;
  for (int64_t i = 0; i < most; ++i) {
    const auto at = static_cast<size_t>(match->place + i);
    const int32_t token = at < text_.size() ? text_[at] : draft.tokens[at - text_.size()];
    if (token == kGap) break;
    draft.tokens.push_back(token);
    draft.chances.push_back(chance(match->length + i) * (i == 0 ? match->share : 1));
  }
  guess_ = Guess{text_.size(), match->length, draft.tokens};
  return draft;
}

}  // namespace sluice::decode
