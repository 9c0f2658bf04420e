#pragma once

#include "core/fresh.hh"
#include "core/inflow.hh"
#include "core/initiation.hh"
#include "core/outflow.hh"
#include "core/pool.hh"
#include "core/secrets.hh"
#include "core/stores.hh"
#include "core/types.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace holdfast {

// What must be known to go on after our process died: plain data in memory which may outlive it. A record lies in a
// slot; `slot` says which one, so that a record and the labels of its chunks can find each other.

struct alignas( 64 ) TunnelRecord
{
  std::uint32_t slot = 0;
  std::uint8_t used = 0;     // 0: this slot is free
  std::uint8_t agreed = 0;   // 0 or 1: both sides know id and secret (a cproxy may still be looking for its sproxy)
  std::uint64_t attempt = 0; // the highest proved: of the link that carries the tunnel
  std::uint64_t attempts = 0; // opener: hellos said
  SessionId last_session = 0; // opened by us, or the highest the peer ever named
  std::uint64_t run = 0;      // of the client
  Id instance {};             // of the client
  Id id {};
  SecretsRecord secrets {};
  Digest identity {};                // acceptor: of the client whose tunnel it is
  std::array<std::byte, 16> home {}; // acceptor: where it was made from, as an IPv6 address
  std::uint32_t made = 0;            // acceptor: when, in tenths of seconds of the machine's uptime
};

struct alignas( 64 ) SessionRecord
{
  SessionId session = 0; // 0: this slot is free
  std::uint32_t slot = 0;
  std::uint32_t tunnel = 0; // the slot of its tunnel
  OutflowRecord outflow {};
  InflowRecord inflow {};
  std::uint64_t cookie = 0;      // of the local socket, by which the kernel knows it; 0: there is none yet
  std::uint8_t syn = 0;          // 0 or 1: the kernel counts the socket's SYN among the bytes we wrote
  std::uint8_t connected = 0;    // 0 or 1: the target is
  std::uint8_t known = 0;        // 0 or 1: the peer has spoken of this session: it knows it
  std::uint8_t named = 0;        // 0 or 1: we have named it to the peer, on any link
  std::uint8_t released = 0;     // 0 or 1: the local socket is closed
  std::uint8_t reset_ours = 0;   // a ResetReason, or 0
  std::uint8_t reset_theirs = 0; // a ResetReason, or 0
  std::uint8_t blamed = 0;       // crashes in a row that happened while this session was served
  [[nodiscard]] std::uint32_t owner() const { return slot + 1; } // on the labels of its chunks
};

[[nodiscard]] inline bool is_free( const TunnelRecord& record )
{
  return record.used == 0;
}
[[nodiscard]] inline bool is_free( const SessionRecord& record )
{
  return record.session == 0;
}
inline void make_free( TunnelRecord& record )
{
  record.used = 0;
  keep_order();
  wipe( record.secrets );
}
inline void make_free( SessionRecord& record )
{
  record.session = 0;
}

// A fixed number of slots for records.
template<class Record>
class Slots
{
public:
  // Starts with all of them free, whatever lies there.
  explicit Slots( std::span<Record> records ) : records_( records ) {}
  // Instead: those that are not free are taken; they are among the first `most`. The others are made free once
  // more: a process may have died in the middle of that. Call before anything else.
  void recover( std::size_t most )
  {
    for ( Record& record : records_.first( std::min( most, records_.size() ) ) ) {
      if ( is_free( record ) ) {
        make_free( record );
      }
    }
    for ( fresh_ = std::min( most, records_.size() ); fresh_ > 0 and is_free( records_[fresh_ - 1] ); ) {
      --fresh_;
    }
    for ( std::size_t slot = fresh_; slot-- > 0; ) {
      if ( is_free( records_[slot] ) ) {
        free_.push_back( &records_[slot] );
      }
    }
  }

  // A fresh record that knows its slot, or nullptr when all are taken. It counts as free in the memory until its
  // taker has said in it what it is.
  [[nodiscard]] Record* take()
  {
    if ( full() ) {
      return nullptr;
    }
    Record* record = nullptr;
    if ( free_.empty() ) {
      record = &records_[fresh_++];
    } else {
      record = free_.back();
      free_.pop_back();
    }
    *record = {};
    record->slot = static_cast<std::uint32_t>( record - records_.data() );
    return record;
  }
  void give( Record* record )
  {
    make_free( *record );
    free_.push_back( record );
  }
  [[nodiscard]] std::size_t used() const { return fresh_ - free_.size(); }
  [[nodiscard]] bool full() const { return used() == records_.size(); }
  // Those that are not free, in the memory as well.
  template<class F>
  void for_each( F f )
  {
    for ( Record& record : records_.first( fresh_ ) ) {
      if ( not is_free( record ) ) {
        f( record );
      }
    }
  }

private:
  std::span<Record> records_;
  std::size_t fresh_ = 0;
  std::vector<Record*> free_ {};
};

// What all sessions of one client may hold of each pool, in chunks. One for each: if they shared one, programs that
// do not read could keep those that would free their memory from being heard.
struct Quotas
{
  explicit Quotas( Pool::Index most ) : outflow { .most = most }, inflow { .most = most } {}
  Quota outflow;
  Quota inflow;
};

// The memory that all sessions of a process share. Owns nothing.
struct Memory
{
  Pool& outflow; // local bytes until they are acknowledged; may outlive the process
  Pool& inflow;  // the peer's bytes until they are delivered; a copy, ordinary memory
  Slots<SessionRecord>& slots;
  Quotas* quotas = nullptr; // the client's whose sessions these are; none: only the pools bound them
  // Where it is written whom our process serves: the owner() of that session, or 0. May outlive the process, and
  // then says who was served when it crashed. Or nullptr.
  std::uint32_t* serves = nullptr;
  // Payloads of frames stay where they are until Tunnel::deliver_fresh(). Or nullptr: they may go when receive()
  // returns.
  Fresh* fresh = nullptr;
};

// Our process serves the session with this owner() from now on, or none (0).
inline void note_served( const Memory& memory, std::uint32_t owner )
{
  if ( memory.serves != nullptr ) {
    keep_order();
    *memory.serves = owner;
    keep_order();
  }
}

} // namespace holdfast
