#include "net/mailbox.hh"

#include "net/clock.hh"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

// What one thread wants done in another one's loop.

namespace holdfast {
namespace {

using namespace std::chrono_literals;

// What is in it, in as many turns as that takes: a machine that stops us in the middle uses up our share of one.
void read_all( Loop& loop, const Mailbox& mailbox )
{
  for ( int turns = 0; mailbox.waiting() > 0 and turns < 100; ++turns ) {
    loop.wait( read_clock() + 1s );
  }
}

TEST( Mailbox, WhatWasPostedIsDoneInItsOrder )
{
  Loop loop;
  Mailbox mailbox { loop };
  std::vector<int> done;
  for ( int i = 0; i < 3; ++i ) {
    mailbox.post( [&done, number = std::make_unique<int>( i )] { done.push_back( *number ); } );
  }
  EXPECT_EQ( mailbox.waiting(), 3U );
  EXPECT_TRUE( done.empty() ) << "not before its turn";
  read_all( loop, mailbox );
  EXPECT_EQ( done, ( std::vector<int> { 0, 1, 2 } ) );
  EXPECT_EQ( mailbox.waiting(), 0U );
}

TEST( Mailbox, WhoReadsMayPost )
{
  Loop loop;
  Mailbox mailbox { loop };
  int done = 0;
  mailbox.post( [&] { mailbox.post( [&] { ++done; } ); } );
  read_all( loop, mailbox );
  EXPECT_EQ( done, 1 );
}

TEST( Mailbox, TakesNoMoreThanItsShareOfATurn )
{
  Loop loop;
  Mailbox mailbox { loop };
  int done = 0;
  for ( int i = 0; i < 3; ++i ) {
    mailbox.post( [&] {
      std::this_thread::sleep_for( 6ms );
      ++done;
    } );
  }
  loop.wait( read_clock() + 1s );
  EXPECT_EQ( done, 1 );
  read_all( loop, mailbox );
  EXPECT_EQ( done, 3 ) << "none of it is forgotten";
}

TEST( Mailbox, WhatWasNotDoneIsDestroyed )
{
  Loop loop;
  const auto shared = std::make_shared<int>();
  {
    Mailbox mailbox { loop };
    mailbox.post( [shared] { FAIL(); } );
    EXPECT_EQ( shared.use_count(), 2 );
  }
  EXPECT_EQ( shared.use_count(), 1 );
}

TEST( Mailbox, WakesALoopThatWaits )
{
  Loop loop;
  Mailbox mailbox { loop };
  constexpr int posts = 4 * 1000;
  int done = 0;
  std::vector<std::thread> threads;
  for ( int t = 0; t < 4; ++t ) {
    threads.emplace_back( [&] {
      for ( int i = 0; i < posts / 4; ++i ) {
        mailbox.post( [&done] { ++done; } );
        if ( i % 100 == 0 ) {
          std::this_thread::sleep_for( 1ms ); // it sleeps again
        }
      }
    } );
  }
  const Time end = read_clock() + 30s;
  while ( done < posts and read_clock() < end ) {
    loop.wait( end );
  }
  EXPECT_EQ( done, posts );
  for ( std::thread& thread : threads ) {
    thread.join();
  }
}

} // namespace
} // namespace holdfast
