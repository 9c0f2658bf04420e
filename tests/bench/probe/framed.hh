#pragma once

#include "probe/pair.hh"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace holdfast {

// With frames and retention.
struct Header
{
  enum class Kind : std::uint32_t
  {
    data,
    acknowledgement,
    end
  };
  std::uint32_t length = 0;
  Kind kind = Kind::data;
  std::uint64_t position = 0;
};

// One end of a link: local bytes are kept until the other end has delivered them.
class Framed : public Pair
{
public:
  Framed( Loop& loop, Fd local, Fd link ) : local_( loop, std::move( local ) ), link_( loop, std::move( link ) )
  {
    local_.may_read
      = [this] { return not local_ended_ and outgoing_.empty() and kept() + payload_max <= ring_size; };
    local_.may_write = [this] { return payload_ > 0 and arrived_.size() > 0; };
    local_.read = [this] { read_local(); };
    local_.write = [this] { deliver(); };
    link_.may_read = [this] { return not link_ended_ and arrived_.end < arrived_.bytes.size(); };
    link_.may_write = [this] { return not outgoing_.empty(); };
    link_.read = [this] { read_link(); };
    link_.write = [this] { flush(); };
  }

private:
  static constexpr std::size_t payload_max = 131072;
  static constexpr std::size_t ring_size = 1U << 20U;

  [[nodiscard]] std::size_t kept() const { return read_ - acknowledged_; }

  void touch()
  {
    local_.loop.touch( local_ );
    link_.loop.touch( link_ );
  }

  void read_local()
  {
    const std::size_t at = read_ % ring_size;
    const auto room = std::span { ring_ }.subspan( at, std::min( payload_max, ring_size - at ) );
    const Transfer got = receive( local_.fd, room );
    over_ = over_ or got.kind == Transfer::Kind::failed;
    if ( got.kind == Transfer::Kind::ended ) {
      local_ended_ = true;
      say( { .kind = Header::Kind::end, .position = read_ }, {} );
    } else if ( got.count > 0 ) {
      say( { .length = static_cast<std::uint32_t>( got.count ), .position = read_ }, room.first( got.count ) );
      read_ += got.count;
    }
    flush();
  }

  void say( Header header, std::span<std::byte> payload )
  {
    headers_.resize( headers_.size() + sizeof header );
    std::memcpy( headers_.data() + headers_.size() - sizeof header, &header, sizeof header );
    if ( not payload.empty() ) {
      payload_out_ = payload;
    }
    outgoing_ = { { .iov_base = headers_.data(), .iov_len = headers_.size() } };
    if ( not payload_out_.empty() ) {
      outgoing_.push_back( { .iov_base = payload_out_.data(), .iov_len = payload_out_.size() } );
    }
  }

  void flush()
  {
    if ( not outgoing_.empty() ) {
      const Transfer sent = send( link_.fd, outgoing_ );
      over_ = over_ or sent.kind == Transfer::Kind::failed;
      std::size_t count = sent.count;
      const std::size_t of_headers = std::min( count, headers_.size() );
      headers_.erase( headers_.begin(), headers_.begin() + static_cast<std::ptrdiff_t>( of_headers ) );
      payload_out_ = payload_out_.subspan( count - of_headers );
      outgoing_.clear();
      if ( not headers_.empty() ) {
        outgoing_.push_back( { .iov_base = headers_.data(), .iov_len = headers_.size() } );
      }
      if ( not payload_out_.empty() ) {
        outgoing_.push_back( { .iov_base = payload_out_.data(), .iov_len = payload_out_.size() } );
      }
    }
    touch();
  }

  void read_link()
  {
    if ( take( link_, arrived_, link_ended_ ) ) {
      deliver();
    }
    over_ = over_ or ( link_ended_ and arrived_.size() == 0 );
  }

  // Takes frames apart as far as the local socket takes their bytes.
  void deliver()
  {
    while ( not over_ ) {
      if ( payload_ > 0 ) {
        const auto part = arrived_.content().first( std::min<std::size_t>( payload_, arrived_.size() ) );
        if ( part.empty() ) {
          break;
        }
        const Transfer sent = send( local_.fd, part );
        over_ = over_ or sent.kind == Transfer::Kind::failed;
        arrived_.consume( sent.count );
        payload_ -= static_cast<std::uint32_t>( sent.count );
        delivered_ += sent.count;
        if ( sent.count < part.size() ) {
          break;
        }
      } else if ( arrived_.size() < sizeof( Header ) or not next_frame() ) {
        break;
      }
    }
    make_room();
    if ( delivered_ - told_ >= payload_max and outgoing_.empty() ) {
      told_ = delivered_;
      say( { .kind = Header::Kind::acknowledgement, .position = delivered_ }, {} );
    }
    flush();
  }

  // False: it was the last one.
  bool next_frame()
  {
    Header header;
    std::memcpy( &header, arrived_.content().data(), sizeof header );
    arrived_.consume( sizeof header );
    switch ( header.kind ) {
      case Header::Kind::data: payload_ = header.length; break;
      case Header::Kind::acknowledgement: acknowledged_ = header.position; break;
      case Header::Kind::end:
        end_writing( local_.fd );
        their_end_ = true;
        break;
    }
    over_ = over_ or ( their_end_ and local_ended_ and outgoing_.empty() );
    return not over_;
  }

  void make_room()
  {
    if ( arrived_.begin > 0 and arrived_.bytes.size() - arrived_.end < sizeof( Header ) ) {
      std::memmove( arrived_.bytes.data(), arrived_.content().data(), arrived_.size() );
      arrived_.end -= arrived_.begin;
      arrived_.begin = 0;
    }
  }

  std::vector<std::byte> ring_ = std::vector<std::byte>( ring_size );
  std::uint64_t read_ = 0, acknowledged_ = 0, delivered_ = 0, told_ = 0;
  std::vector<std::byte> headers_ {};
  std::span<std::byte> payload_out_ {};
  std::vector<iovec> outgoing_ {}; // headers, then the payload behind the last one
  Buffer arrived_ {};
  std::uint32_t payload_ = 0; // of the frame that is being delivered, yet to come
  bool local_ended_ = false, link_ended_ = false, their_end_ = false;
  Socket local_, link_;
};

} // namespace holdfast
