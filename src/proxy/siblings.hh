#pragma once

#include "core/time.hh"
#include "net/wire.hh"
#include "proxy/owners.hh"

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace holdfast {

// A link on its way from the shard that accepted it to the one whose client said hello on it.
struct Passage
{
  std::unique_ptr<Wire> wire {};
  std::vector<std::byte> read {}; // the hello, and what was read behind it
  Time since {};                  // accepted
  Owners::Claim claim {};
};

// What one of the shards of an sproxy knows of the others.
struct Siblings
{
  Owners& owners;
  Owners::Shard self;
  std::function<void( Passage passage )> hand_over {}; // to the shard that the claim names, which is another one
};

} // namespace holdfast
