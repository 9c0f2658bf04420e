#pragma once

#include "sim/hosts.hh"
#include "sim/world.hh"

#include <optional>
#include <string>
#include <string_view>

namespace holdfast::sim {

// One hour of one session on a path that is bad in one way: by default somebody types, is silent for seconds or
// minutes, and types again. However bad it is, it is no reason to look for another link; only when it dies.
struct Impairment
{
  std::string_view name;
  Path path;
  bool bulk = false; // instead of typing: as much as goes, both ways
  Duration busy {};  // both hosts are late by up to so much, again and again
  bool even = false; // the path leaves nothing to chance: not even a dial beside the link is in order
  bool dies = false; // every few minutes, without a word
};

[[nodiscard]] const Impairment* find_impairment( std::string_view name );

class PathWorld
{
public:
  PathWorld( std::uint64_t seed, const Impairment& impairment, bool trace );
  // What went wrong, or nothing.
  [[nodiscard]] std::optional<std::string> run( Tally& tally );

private:
  struct Busy
  {
    Time until {}; // the host gets no turn before
    Time due {};   // it had wanted one then
  };

  [[nodiscard]] Time next_event();
  void step();
  [[nodiscard]] bool ready( Busy& busy );
  void programs_live();
  void type( test::Program& app );
  void pump( test::Program& program );
  void die();
  void look_for_a_dial();
  void fail( const std::string& what );

  test::Chance chance_;
  const Impairment& impairment_;
  test::TestCrypto crypto_;
  Network network_;
  Stage stage_;
  Near near_;
  Far far_;
  Busy near_busy_ {};
  Busy far_busy_ {};
  Time next_key_;
  Time last_key_;
  std::size_t typed_ = 0;
  std::size_t echoed_ = 0;
  std::size_t moved_ = 0; // bulk bytes read, both ways
  Time next_death_ = never;
  std::size_t deaths_ = 0;
  std::size_t links_before_ = 0;      // the last death, or that were dialled until the first was taken
  std::optional<Time> noticed_by_ {}; // a death must be
  std::optional<std::string> failure_ {};
  std::size_t steps_ = 0;
  bool trace_;
};

} // namespace holdfast::sim
