#pragma once

#include "core/frame_batch.hh"
#include "core/frame_reader.hh"
#include "core/memory.hh"
#include "core/recovery.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// What the tests of the core share: bytes as text, memory as plain vectors, chance as a number.

namespace holdfast::test {

using Bytes = std::vector<std::byte>;

inline std::span<const std::byte> raw( std::string_view text )
{
  return std::as_bytes( std::span { text } );
}

inline std::string text( std::span<const std::byte> bytes )
{
  return { reinterpret_cast<const char*>( bytes.data() ), bytes.size() };
}

// `count` bytes of an endless stream. Each byte is a function of its position, so that whatever is lost, doubled or
// moved shows; streams of different seeds differ.
inline std::string stream( Position from, std::size_t count, std::uint64_t seed = 0 )
{
  std::string out( count, '\0' );
  for ( std::size_t i = 0; i < count; ++i ) {
    const std::uint64_t x = ( from + i + seed * 1000003 ) * 0x9e3779b97f4a7c15U;
    out[i] = static_cast<char>( x >> 56U );
  }
  return out;
}

// What a local program does: appends as much of `bytes` as is taken; returns how much.
inline std::size_t write_into( Outflow& outflow, std::string_view bytes )
{
  std::array<std::span<std::byte>, 16> slices;
  const std::size_t filled = outflow.writable( slices );
  std::size_t done = 0;
  for ( std::size_t i = 0; i < filled and done < bytes.size(); ++i ) {
    const std::size_t size = std::min( slices[i].size(), bytes.size() - done );
    std::ranges::copy( raw( bytes.substr( done, size ) ), slices[i].begin() );
    done += size;
  }
  outflow.commit( done );
  return done;
}

class Chance
{
public:
  explicit Chance( std::uint64_t seed ) : engine_( seed ) {}

  // From 0 up to, but without, `n`. The remainder's bias is far below anything a test could see.
  std::size_t below( std::size_t n ) { return n == 0 ? 0 : static_cast<std::size_t>( engine_() % n ); }
  std::size_t between( std::size_t least, std::size_t most ) { return least + below( most - least + 1 ); }
  bool once_in( std::size_t n ) { return below( n ) == 0; }

private:
  std::mt19937_64 engine_;
};

// A pool with memory of its own.
class TestPool
{
public:
  explicit TestPool( Pool::Index chunks, Pool::Index hot_max = 2 )
    : memory_( std::make_unique_for_overwrite<std::byte[]>( chunks * Pool::chunk_size ) )
    , next_( chunks )
    , labels_( chunks )
    , pool_( { memory_.get(), chunks * Pool::chunk_size }, next_, labels_, hot_max )
  {}
  // What a process leaves that dies: labels, and the chunks that have an owner. The rest is scribbled over.
  TestPool( const TestPool& dead )
    : memory_( std::make_unique_for_overwrite<std::byte[]>( dead.next_.size() * Pool::chunk_size ) )
    , next_( dead.next_.size(), 0xa5a5a5a5 )
    , labels_( dead.labels_ )
    , pool_( { memory_.get(), next_.size() * Pool::chunk_size }, next_, labels_, 2 )
  {
    for ( Pool::Index chunk = 0; chunk < next_.size(); ++chunk ) {
      const auto into = std::span { memory_.get() + chunk * Pool::chunk_size, Pool::chunk_size };
      if ( labels_[chunk].owner != 0 ) {
        std::ranges::copy( dead.pool_.bytes( chunk ), into.begin() );
      } else {
        std::ranges::fill( into, std::byte { 0xa5 } );
      }
    }
  }
  TestPool& operator=( const TestPool& ) = delete;
  ~TestPool() = default;

  std::span<Pool::Label> labels() { return labels_; }
  [[nodiscard]] std::span<std::byte> bytes() { return { memory_.get(), next_.size() * Pool::chunk_size }; }
  [[nodiscard]] std::size_t size() const { return next_.size(); }
  Pool& operator*() { return pool_; }
  Pool* operator->() { return &pool_; }

private:
  std::unique_ptr<std::byte[]> memory_;
  std::vector<Pool::Index> next_;
  std::vector<Pool::Label> labels_;
  Pool pool_;
};

// All the memory of one process.
class TestMemory
{
public:
  TestMemory( Pool::Index outflow_chunks, Pool::Index inflow_chunks, std::size_t sessions, std::size_t tunnels = 4 )
    : outflow_( outflow_chunks )
    , inflow_( inflow_chunks )
    , tunnel_records_( tunnels )
    , tunnels_( tunnel_records_ )
    , records_( sessions )
    , slots_( records_ )
  {}
  // What its successor finds when a process of that side has died; `found` says what that is.
  TestMemory( const TestMemory& dead, Side side )
    : in_place( dead.in_place )
    , outflow_( dead.outflow_ )
    , inflow_( static_cast<Pool::Index>( dead.inflow_.size() ) )
    , tunnel_records_( dead.tunnel_records_ )
    , tunnels_( tunnel_records_ )
    , records_( dead.records_ )
    , slots_( records_ )
    , found( survey( side, tunnel_records_, records_, outflow_.labels() ) )
  {
    tunnels_.recover( tunnel_records_.size() );
    slots_.recover( records_.size() );
    outflow_->recover( outflow_.size(), []( std::span<std::byte> chunk ) { wipe( chunk ); } );
  }
  Memory memory() { return { *outflow_, *inflow_, slots_, nullptr, nullptr, in_place ? &fresh_ : nullptr }; }
  bool in_place = false; // payloads stay until Tunnel::deliver_fresh(); to be set before memory() is asked for
  Pool& outflow() { return *outflow_; }
  Pool& inflow() { return *inflow_; }
  Slots<SessionRecord>& slots() { return slots_; }
  Slots<TunnelRecord>& tunnels() { return tunnels_; }
  std::vector<SessionRecord>& records() { return records_; }
  std::vector<TunnelRecord>& tunnel_records() { return tunnel_records_; }
  std::span<Pool::Label> labels() { return outflow_.labels(); }
  // All bytes of both pools.
  [[nodiscard]] std::array<std::span<std::byte>, 2> bytes() { return { outflow_.bytes(), inflow_.bytes() }; }
  [[nodiscard]] bool all_back() { return outflow_->used() == 0 and inflow_->used() == 0 and slots_.used() == 0; }

private:
  Fresh fresh_ {};
  TestPool outflow_;
  TestPool inflow_;
  std::vector<TunnelRecord> tunnel_records_;
  Slots<TunnelRecord> tunnels_;
  std::vector<SessionRecord> records_;
  Slots<SessionRecord> slots_;

public:
  Survey found {};
};

// Everything in a batch, as one string.
inline std::string gathered( const FrameBatch& batch )
{
  std::string out;
  for ( const auto slice : batch.slices() ) {
    out += text( slice );
  }
  return out;
}

inline std::string frame( FrameHeader header, std::string_view payload = {} )
{
  Bytes out;
  append_frame( out, header, raw( payload ) );
  return text( out );
}

// The smallest greeting a FrameReader lets pass; what it says is not looked at.
inline std::string greeting( FrameType type )
{
  return frame( FrameHeader { .type = type }, "?" );
}

} // namespace holdfast::test
