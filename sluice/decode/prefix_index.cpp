#include "sluice/decode/prefix_index.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace sluice::decode {
namespace {

using kernels::kKvBlockTokens;
using Tokens = std::span<const int32_t>;

/// Ends of sequences that a node keeps.
constexpr size_t kMaxEnds = 32;
/// Stretches from one state that is kept on a path to the next.
constexpr int64_t kStatesApart = 8;

uint64_t hash_of(Tokens tokens) {
  uint64_t hash = 0;  // collisions cost a comparison
  for (const int32_t token : tokens)
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
  return hash;
}

Tokens stretch_of(Tokens tokens, int64_t i) {
  return tokens.subspan(static_cast<size_t>(i * kKvBlockTokens), kKvBlockTokens);
}

/// Whether its memory comes back when the index does without it.
bool is_unused(const std::shared_ptr<residency::KvBlock>& block) {
  return block && block.use_count() == 1 && block->in_memory();
}

/// Whether its place in the file is free then.
bool is_unused_spilled(const std::shared_ptr<residency::KvBlock>& block) {
  return block && block.use_count() == 1 && !block->in_memory();
}

bool is_any(const std::shared_ptr<residency::KvBlock>& block) { return block != nullptr; }

bool begins_with(Tokens tokens, Tokens beginning) {
  return common_prefix(tokens, beginning) == std::ssize(beginning);
}

}  // namespace

int64_t common_prefix(Tokens a, Tokens b) {
  const size_t n = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first -
         a.begin();
}

struct PrefixIndex::Node {
  struct End {
    std::vector<int32_t> tokens;  // fewer than a stretch
    nn::KvStretch blocks;
    uint64_t last_use = 0;
  };

  Node* parent = nullptr;
  std::vector<int32_t> tokens;  // of this stretch; the root has none
  nn::KvStretch blocks;
  uint64_t last_use = 0;
  std::multimap<uint64_t, std::unique_ptr<Node>> children;  // by their tokens' hash
  std::vector<End> ends;
  bool had_end = false;  // within this stretch

  Node* child(Tokens of) const {
    const auto [first, last] = children.equal_range(hash_of(of));
    for (auto it = first; it != last; ++it) {
      if (std::ranges::equal(it->second->tokens, of)) return it->second.get();
    }
    return nullptr;
  }
};

/// The nodes from the root's child on that match.
struct PrefixIndex::Place {
  Node* root = nullptr;
  std::vector<Node*> path;
  Node* last() const { return path.empty() ? root : path.back(); }
};

struct PrefixIndex::Found {
  int64_t length = 0;
  std::vector<nn::KvStretch> stretches;
};

/// What may be given up: an end, a node without any below it, or an inner node's blocks that windows have passed.
struct PrefixIndex::Victim {
  uint64_t last_use = 0;
  Node* node = nullptr;
  int64_t stretch = 0;          // the node's
  std::optional<uint64_t> end;  // by its last use
};

PrefixIndex::PrefixIndex(std::shared_ptr<const nn::KvLayout> layout, residency::KvPool& pool,
                         Bytes cap)
    : layout_(std::move(layout)), pool_(pool), cap_(cap) {}
PrefixIndex::~PrefixIndex() = default;

Bytes PrefixIndex::bytes_of(const nn::KvStretch& blocks) const {
  Bytes sum;
  for (size_t g = 0; g < blocks.size(); ++g) {
    if (blocks[g]) sum = sum + layout_->groups[g].block_bytes;
  }
  return sum;
}

PrefixIndex::Place PrefixIndex::walk(std::string_view salt, Tokens tokens) {
  Place place;
  const auto root = roots_.find(salt);
  if (root == roots_.end()) return place;
  place.root = root->second.get();
  for (int64_t i = 0; (i + 1) * kKvBlockTokens <= std::ssize(tokens); ++i) {
    Node* const child = place.last()->child(stretch_of(tokens, i));
    if (child == nullptr) break;
    place.path.push_back(child);
  }
  return place;
}

bool PrefixIndex::restorable(int64_t length, std::span<const nn::KvStretch> stretches) const {
  for (size_t g = 0; g < layout_->groups.size(); ++g) {
    for (int64_t i = 0; i * kKvBlockTokens < length; ++i) {
      const auto& block = stretches[static_cast<size_t>(i)][g];
      if (layout_->groups[g].needs(i, length) && (!block || block->is_lost())) return false;
    }
  }
  return true;
}

PrefixIndex::Found PrefixIndex::search(std::string_view salt, Tokens tokens) {
  Found found;
  const Place place = walk(salt, tokens);
  if (place.root == nullptr) return found;
  const uint64_t now = ++clock_;
  for (Node* node : place.path) {
    node->last_use = now;
    found.stretches.push_back(node->blocks);
  }
  found.length = std::ssize(place.path) * kKvBlockTokens;
  const Tokens rest = tokens.subspan(static_cast<size_t>(found.length));
  int64_t most = 0;
  uint64_t* last_use = nullptr;
  nn::KvStretch* blocks = nullptr;
  const bool only_whole = layout_->has_states();  // a state is that of its last token
  const auto look_at = [&](Tokens at, nn::KvStretch& of, uint64_t& use) {
    if (const int64_t n = common_prefix(at, rest);
        n > most && (!only_whole || n == std::ssize(at))) {
      most = n;
      blocks = &of;
      last_use = &use;
    }
  };
  for (auto& [hash, child] : place.last()->children)
    look_at(child->tokens, child->blocks, child->last_use);
  for (Node::End& end : place.last()->ends) look_at(end.tokens, end.blocks, end.last_use);
  if (blocks != nullptr) {
    found.stretches.push_back(*blocks);
    if (restorable(found.length + most, found.stretches)) {
      found.length += most;
      *last_use = now;
      return found;
    }
    found.stretches.pop_back();
  }
  while (found.length > 0 && !restorable(found.length, found.stretches)) {
    found.stretches.pop_back();
    found.length -= kKvBlockTokens;
  }
  return found;
}

nn::KvCache PrefixIndex::find(std::string_view salt, Tokens tokens) {
  const Found found = search(salt, tokens);
  return {layout_, pool_, found.length, found.stretches};
}

int64_t PrefixIndex::length_of(std::string_view salt, Tokens tokens) {
  return search(salt, tokens).length;
}

std::vector<nn::KvStretch> PrefixIndex::stretches(std::string_view salt, Tokens tokens) {
  std::vector<nn::KvStretch> all;
  for (const Node* node : walk(salt, tokens).path) all.push_back(node->blocks);
  return all;
}

void PrefixIndex::add(std::string_view salt, Tokens tokens, std::span<const Sealed> sealed) {
  if (cap_.count == 0 || sealed.empty()) return;
  auto& root = roots_.try_emplace(std::string(salt)).first->second;
  if (!root) root = std::make_unique<Node>();
  const int64_t first = sealed[0].stretch;
  const Place place = walk(salt, tokens.first(static_cast<size_t>(first * kKvBlockTokens)));
  if (std::ssize(place.path) != first) return;  // what comes before was given up
  const uint64_t now = ++clock_;
  for (Node* node : place.path) node->last_use = now;
  Node* node = place.last();
  for (const Sealed& stretch : sealed) {
    const Tokens of = stretch_of(tokens, stretch.stretch);
    Node* child = node->child(of);
    if (child == nullptr) {
      auto made = std::make_unique<Node>();
      made->parent = node;
      made->tokens.assign(of.begin(), of.end());
      made->blocks.resize(stretch.blocks.size());
      child = node->children.emplace(hash_of(of), std::move(made))->second.get();
    }
    for (size_t g = 0; g < stretch.blocks.size(); ++g) {
      const bool has_it = child->blocks[g] && !child->blocks[g]->is_lost();
      if (has_it || !stretch.blocks[g]) continue;
      if (!child->blocks[g]) held_ = held_ + layout_->groups[g].block_bytes;
      child->blocks[g] = stretch.blocks[g];
    }
    child->last_use = now;
    std::erase_if(node->ends, [&](const Node::End& end) {
      if (layout_->has_states() || !begins_with(of, end.tokens)) return false;
      child->had_end = true;
      held_ = difference(held_, bytes_of(end.blocks));
      return true;
    });
    node = child;
  }
  thin(*node);
  shrink_to(cap_);
}

void PrefixIndex::release(nn::KvStretch& blocks, size_t group) {
  if (!blocks[group]) return;
  held_ = difference(held_, layout_->groups[group].block_bytes);
  blocks[group].reset();
}

/// On the way from a new leaf to the root.
void PrefixIndex::thin(Node& leaf) {
  int64_t depth = 0;
  for (const Node* node = &leaf; node->parent != nullptr; node = node->parent) ++depth;
  int64_t distance = 0;  // stretches to the next place below from which something goes on
  for (Node* node = &leaf; node->parent != nullptr; node = node->parent, ++distance, --depth) {
    if (node->had_end || !node->ends.empty() || node->children.size() > 1) distance = 0;
    for (size_t g = 0; g < layout_->groups.size(); ++g) {
      const nn::KvLayout::Group& group = layout_->groups[g];
      const int64_t needed = group.recurrent ? 1 : group.window / kKvBlockTokens + 1;
      // Of states some in between, and of what is not in few bits: where others will leave this path is not known.
      const bool alone = group.recurrent || (group.keeps_first && needed == 1);
      const bool kept = alone && depth % kStatesApart == 0;
      if (group.passes(depth - 1) && distance > needed && !kept) release(node->blocks, g);
    }
  }
}

Bytes PrefixIndex::unused() const {
  Bytes sum;
  const auto count = [&](const nn::KvStretch& blocks) {
    for (size_t g = 0; g < blocks.size(); ++g) {
      if (is_unused(blocks[g])) sum = sum + layout_->groups[g].block_bytes;
    }
  };
  const std::function<void(const Node&)> visit = [&](const Node& node) {
    count(node.blocks);
    for (const Node::End& end : node.ends) count(end.blocks);
    for (const auto& [hash, child] : node.children) visit(*child);
  };
  for (const auto& [salt, root] : roots_) visit(*root);
  return sum;
}

void PrefixIndex::add_whole(std::string_view salt, Tokens tokens, const nn::KvCache& kv) {
  std::vector<Sealed> sealed;
  for (int64_t i = 0; i < std::ssize(tokens) / kKvBlockTokens; ++i)
    sealed.push_back({i, kv.stretch(i)});
  add(salt, tokens, sealed);
  add_end(salt, tokens, kv);
}

void PrefixIndex::add_end(std::string_view salt, Tokens tokens, const nn::KvCache& kv) {
  const int64_t stretch = std::ssize(tokens) / kKvBlockTokens;
  const Tokens rest = tokens.subspan(static_cast<size_t>(stretch * kKvBlockTokens));
  if (cap_.count == 0 || rest.empty()) return;
  if (layout_->has_states() && kv.length() != std::ssize(tokens)) return;
  auto& root = roots_.try_emplace(std::string(salt)).first->second;
  if (!root) root = std::make_unique<Node>();
  const Place place = walk(salt, tokens);
  if (std::ssize(place.path) != stretch) return;
  Node* const node = place.last();
  const uint64_t now = ++clock_;
  const bool by_token = !layout_->has_states();  // a longer one's blocks have the shorter one's too
  for (const auto& [hash, child] : node->children) {
    if (by_token && begins_with(child->tokens, rest)) {
      child->had_end = true;
      return;
    }
  }
  for (const Node::End& end : node->ends) {
    if (by_token ? begins_with(end.tokens, rest) : std::ranges::equal(end.tokens, rest)) return;
  }
  std::erase_if(node->ends, [&](const Node::End& end) {
    if (!by_token || !begins_with(rest, end.tokens)) return false;
    held_ = difference(held_, bytes_of(end.blocks));
    return true;
  });
  if (node->ends.size() >= kMaxEnds) {
    const auto oldest = std::ranges::min_element(node->ends, {}, &Node::End::last_use);
    held_ = difference(held_, bytes_of(oldest->blocks));
    node->ends.erase(oldest);
  }
  node->ends.push_back({{rest.begin(), rest.end()}, kv.stretch(stretch), now});
  held_ = held_ + bytes_of(node->ends.back().blocks);
  shrink_to(cap_);
}

std::vector<PrefixIndex::Victim> PrefixIndex::victims(Wanted wanted_block) {
  std::vector<Victim> all;
  const auto wanted = [&](const nn::KvStretch& blocks, int64_t i, bool passed_only) {
    for (size_t g = 0; g < blocks.size(); ++g) {
      if (passed_only && !layout_->groups[g].passes(i)) continue;
      if (wanted_block(blocks[g])) return true;
    }
    return false;
  };
  const std::function<void(Node&, int64_t)> visit = [&](Node& node, int64_t stretch) {
    for (const Node::End& end : node.ends) {
      if (wanted(end.blocks, stretch + 1, false))
        all.push_back({end.last_use, &node, stretch, end.last_use});
    }
    const bool is_inner = !node.children.empty() || !node.ends.empty();
    if (node.parent != nullptr && wanted(node.blocks, stretch, is_inner))
      all.push_back({node.last_use, &node, stretch, std::nullopt});
    for (auto& [hash, child] : node.children) visit(*child, stretch + 1);
  };
  for (auto& [salt, root] : roots_) visit(*root, -1);
  std::ranges::stable_sort(all, {}, &Victim::last_use);
  return all;
}

/// Returns the bytes that the pool has got back.
uint64_t PrefixIndex::give_up(const Victim& victim) {
  uint64_t freed = 0;
  Node& node = *victim.node;
  const auto release = [&](nn::KvStretch& blocks, bool passed_only) {
    for (size_t g = 0; g < blocks.size(); ++g) {
      if (!blocks[g] || (passed_only && !layout_->groups[g].passes(victim.stretch))) continue;
      held_ = difference(held_, layout_->groups[g].block_bytes);
      if (is_unused(blocks[g])) freed += layout_->groups[g].block_bytes.count;
      blocks[g].reset();
    }
  };
  if (victim.end) {
    const auto end = std::ranges::find(node.ends, *victim.end, &Node::End::last_use);
    release(end->blocks, false);
    node.ends.erase(end);
    return freed;
  }
  const bool is_inner = !node.children.empty() || !node.ends.empty();
  release(node.blocks, is_inner);
  if (!is_inner) {
    auto& siblings = node.parent->children;
    siblings.erase(
        std::ranges::find_if(siblings, [&](const auto& of) { return of.second.get() == &node; }));
  }
  return freed;
}

/// Gives up what was spilled and used before then. False when there is nothing.
bool PrefixIndex::forget_spilled(uint64_t before) {
  const auto oldest = victims(is_unused_spilled);
  if (oldest.empty() || oldest.front().last_use >= before) return false;
  give_up(oldest.front());
  return true;
}

Bytes PrefixIndex::spill(Bytes wanted) {
  const residency::KvSpill* const file = pool_.spill();
  if (file == nullptr || !file->may_write_unused()) return {};
  struct Unused {
    uint64_t last_use;
    size_t group;
    std::weak_ptr<residency::KvBlock> block;  // what is forgotten meanwhile is gone
  };
  std::vector<Unused> all;
  const auto add = [&](const nn::KvStretch& blocks, uint64_t last_use) {
    for (size_t g = 0; g < blocks.size(); ++g) {
      if (!layout_->groups[g].recurrent && is_unused(blocks[g]))
        all.push_back({last_use, g, blocks[g]});
    }
  };
  const std::function<void(const Node&)> visit = [&](const Node& node) {
    add(node.blocks, node.last_use);
    for (const Node::End& end : node.ends) add(end.blocks, end.last_use);
    for (const auto& [hash, child] : node.children) visit(*child);
  };
  for (const auto& [salt, root] : roots_) visit(*root);
  std::ranges::stable_sort(all, {}, &Unused::last_use);
  Bytes got;
  for (const Unused& unused : all) {
    if (got >= wanted) break;
    while (!file->has_place_for_unused()) {
      if (!forget_spilled(unused.last_use)) return got;
    }
    const nn::KvLayout::Group& group = layout_->groups[unused.group];
    const auto block = unused.block.lock();
    if (block && block->spill(group.parts)) got = got + group.block_bytes;
  }
  return got;
}

bool PrefixIndex::evict(Bytes wanted) {
  uint64_t freed = 0;
  while (freed < wanted.count) {
    const auto round = victims(is_unused);
    if (round.empty()) return false;
    for (const Victim& victim : round) {
      freed += give_up(victim);
      if (freed >= wanted.count) break;
    }
  }
  return true;
}

void PrefixIndex::shrink_to(Bytes most) {
  while (held_ > most) {
    const auto round = victims(is_any);
    if (round.empty()) return;
    for (const Victim& victim : round) {
      give_up(victim);
      if (held_ <= most) break;
    }
  }
}

void PrefixIndex::drop(std::string_view salt) {
  const auto root = roots_.find(salt);
  if (root == roots_.end()) return;
  const std::function<void(const Node&)> count = [&](const Node& node) {
    held_ = difference(held_, bytes_of(node.blocks));
    for (const Node::End& end : node.ends) held_ = difference(held_, bytes_of(end.blocks));
    for (const auto& [hash, child] : node.children) count(*child);
  };
  count(*root->second);
  roots_.erase(root);
}

int64_t PrefixIndex::n_stretches() const {
  int64_t n = 0;
  const std::function<void(const Node&)> count = [&](const Node& node) {
    n += std::ssize(node.children);
    for (const auto& [hash, child] : node.children) count(*child);
  };
  for (const auto& [salt, root] : roots_) count(*root);
  return n;
}

}  // namespace sluice::decode
