#pragma once

#include "core/memory.hh"
#include "net/left.hh"

#include <cstddef>
#include <cstdint>
#include <unordered_map>

namespace holdfast {

// Finds for the records of a process that died the sockets they speak of, and writes down in them what it had done
// with these and had no time to write (net/ledger.hh). It is what survey() asks.
class Reunion
{
public:
  struct Tally
  {
    std::size_t read = 0;    // sessions for which bytes that were read had to be booked,
    std::size_t written = 0; // and bytes that were written
    std::size_t failed = 0;  // whose connection was reset, or is not there
  };

  // `read_most`, `written_most`: bytes that one call can have moved.
  Reunion( Left& left, std::size_t read_most, std::size_t written_most )
    : left_( left ), read_most_( read_most ), written_most_( written_most )
  {}

  // Returns false if the record cannot be of the socket that it names.
  [[nodiscard]] bool mend( SessionRecord& record );
  // The socket of a session that has one, once; none if its connection has failed, or has been let go.
  [[nodiscard]] Fd take( const SessionRecord& record );
  [[nodiscard]] const Tally& tally() const { return tally_; }

private:
  bool book( SessionRecord& record, const Fd& socket );
  void fail( SessionRecord& record );

  Left& left_;
  std::size_t read_most_;
  std::size_t written_most_;
  std::unordered_map<std::uint32_t, Fd> sockets_ {}; // by slot
  Tally tally_ {};
};

} // namespace holdfast
