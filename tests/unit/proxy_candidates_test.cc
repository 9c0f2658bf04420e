#include "proxy/candidates.hh"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

// Dials to a listener on 127.0.0.1 that accepts whatever comes and says nothing.

namespace holdfast {
namespace {

using namespace std::chrono_literals;

class CandidatesTest
  : public testing::Test
  , public LinkOwner
{
protected:
  Loop loop {};
  Fd listener = listen_on( literal_address( "127.0.0.1", 0 ).value() );
  Address there = local_address( listener.get() );
  std::vector<std::byte> scratch = std::vector<std::byte>( 1000 );
  std::vector<bool> resolved {};
  std::vector<std::string> failed {};
  Candidates candidates = to( *parse_host_port( there.text() ) );

  Candidates to( HostPort sproxy )
  {
    return { loop,
             *this,
             scratch,
             { .sproxy = std::move( sproxy ), .wire = clear_wire },
             { .resolved = [this]( bool first ) { resolved.push_back( first ); },
               .failed = [this]( const std::string& problem ) { failed.push_back( problem ); } } };
  }
  void frame_arrived( LinkLeg&, const Frame& ) override { FAIL() << "nobody says anything"; }

  std::ptrdiff_t under_way() { return candidates.end() - candidates.begin(); }
  void dial()
  {
    candidates.resolve();
    candidates.dial( loop.now(), false );
  }
  // Until every dial has come through.
  void wait()
  {
    const Time until = loop.now() + 5s;
    const auto is_reached = []( const Candidate& candidate ) { return candidate.link->reached(); };
    while ( loop.now() < until and not std::all_of( candidates.begin(), candidates.end(), is_reached ) ) {
      loop.wait( until );
    }
  }
};

TEST_F( CandidatesTest, BeforeTheNameIsKnownNothingIsDialled )
{
  candidates.dial( loop.now(), false );
  EXPECT_EQ( under_way(), 0 );
  dial();
  EXPECT_EQ( under_way(), 1 );
  candidates.resolve();
  EXPECT_EQ( resolved, std::vector<bool> { true } ) << "told once, for it stands for the same as before";
  EXPECT_TRUE( failed.empty() );
}

TEST_F( CandidatesTest, WhoAnsweredIsLeftAloneForAMomentUnlessTheNetworkChanges )
{
  dial();
  dial();
  EXPECT_EQ( under_way(), 2 ) << "nobody has answered yet";
  wait();
  candidates.dial( candidates.begin()->link->born() + 900ms, false ); // whatever the clock says by now
  EXPECT_EQ( under_way(), 2 );
  std::this_thread::sleep_for( 2ms );
  loop.wait( loop.now() );
  candidates.begin_anew( loop.now() );
  dial();
  EXPECT_EQ( under_way(), 3 );
}

TEST_F( CandidatesTest, ThereIsRoomForSixteenAndThoseWhoWereAnsweredStay )
{
  dial();
  wait();
  const LinkLeg* const answered = candidates.begin()->link.get();
  for ( int i = 0; i < 20; ++i ) {
    candidates.dial_beside( there );
  }
  EXPECT_EQ( under_way(), 16 );
  EXPECT_EQ( candidates.begin()->link.get(), answered );
  EXPECT_TRUE( ( candidates.end() - 1 )->beside );
}

TEST_F( CandidatesTest, WhereNoDialCanGoIsTold )
{
  Candidates nowhere = to( { .host = "255.255.255.255", .port = 5000 } ); // TCP knows no broadcast
  nowhere.resolve();
  nowhere.dial( loop.now(), false );
  EXPECT_EQ( nowhere.begin(), nowhere.end() );
  ASSERT_EQ( failed.size(), 1U );
  EXPECT_EQ( failed[0].substr( 0, 22 ), "255.255.255.255:5000: " );
}

TEST_F( CandidatesTest, AnAnswerIsWaitedForUntilItIsThereOrTheNetworkIsAnotherOne )
{
  dial();
  wait();
  Candidate& candidate = *candidates.begin();
  EXPECT_LT( candidates.patient_until(), loop.now() );
  candidate.hello = Hello {};
  candidate.said = loop.now();
  EXPECT_GT( candidates.patient_until(), loop.now() );
  EXPECT_EQ( candidates.deadline(), candidates.patient_until() );
  candidate.answered = true;
  EXPECT_LT( candidates.patient_until(), loop.now() );
  candidate.answered = false;
  candidates.begin_anew( loop.now() + 1ms );
  EXPECT_LT( candidates.patient_until(), loop.now() );
}

TEST_F( CandidatesTest, AHelloForANewTunnelMakesOthersWaitAndIsGivenUpSooner )
{
  dial();
  Candidate& candidate = *candidates.begin();
  const Time patient = candidate.until();
  EXPECT_FALSE( candidates.any_asks_for_new_tunnel() );
  candidate.hello = Hello { .purpose = Purpose::new_tunnel };
  EXPECT_TRUE( candidates.any_asks_for_new_tunnel() );
  EXPECT_LT( candidate.until(), patient );
  candidate.link->drop( "it is too late" );
  EXPECT_FALSE( candidates.any_asks_for_new_tunnel() );
}

TEST_F( CandidatesTest, ADetourGivesWayToTheWayTheKernelPrefersForAMoment )
{
  dial();
  dial();
  Candidate& detour = *( candidates.begin() + 1 );
  detour.way.interface = 1;
  EXPECT_FALSE( candidates.gives_way( detour, loop.now() ) ) << "the other one has got nowhere yet";
  wait();
  const Time moment = detour.link->born() + 900ms;
  EXPECT_TRUE( candidates.gives_way( detour, moment ) );
  EXPECT_FALSE( candidates.gives_way( *candidates.begin(), moment ) );
  EXPECT_FALSE( candidates.gives_way( detour, moment + 1s ) );
}

} // namespace
} // namespace holdfast
