#pragma once

#include "core/outflow.hh"
#include "core/pool.hh"
#include "core/types.hh"

#include <cstdint>
#include <span>
#include <vector>

namespace holdfast {

// What must be known about a session to go on with it after our process died; plain data in memory which may
// outlive it.
struct alignas( 64 ) SessionRecord
{
  SessionId session = 0;  // 0: this slot is free
  Position delivered = 0; // the peer's stream, written into the local socket up to here
  OutflowRecord outflow {};
  std::int32_t fd = -1; // of the local socket
};

// The records of all sessions of the process, a fixed number of slots.
class Slots
{
public:
  explicit Slots( std::span<SessionRecord> records ) : records_( records ) {}

  // A fresh record, or nullptr when there are as many sessions as there may be.
  [[nodiscard]] SessionRecord* take()
  {
    if ( not free_.empty() ) {
      SessionRecord* const record = free_.back();
      free_.pop_back();
      *record = {};
      return record;
    }
    if ( fresh_ == records_.size() ) {
      return nullptr;
    }
    SessionRecord* const record = &records_[fresh_++];
    *record = {};
    return record;
  }
  void give( SessionRecord* record )
  {
    *record = {};
    free_.push_back( record );
  }
  [[nodiscard]] std::size_t used() const { return fresh_ - free_.size(); }

private:
  std::span<SessionRecord> records_;
  std::size_t fresh_ = 0;
  std::vector<SessionRecord*> free_ {};
};

// The memory that all sessions of a process share. Owns nothing.
struct Memory
{
  Pool& outflow; // local bytes until they are acknowledged; may outlive the process
  Pool& inflow;  // the peer's bytes until they are delivered; a copy, ordinary memory
  Slots& slots;
};

} // namespace holdfast
