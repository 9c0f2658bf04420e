#pragma once

#include "net/wire.hh"
#include "probe/pair.hh"

#include <array>
#include <memory>
#include <utility>

namespace holdfast {

// Only copies, but over TLS: our wire (src/net) carries the bytes on one of its two sides, and that is all.
class Sealed : public Pair
{
public:
  Sealed( Loop& loop, Fd local, std::unique_ptr<Wire> wire )
    : local_( loop, std::move( local ) ), wire_( std::move( wire ) ), link_( loop, wire_->socket().get() )
  {
    local_.may_read
      = [this] { return wire_->is_open() and not local_ended_ and out_.size() == 0 and not wire_->owes(); };
    local_.may_write = [this] { return in_.size() > 0; };
    local_.read = [this] { read_local(); };
    local_.write = [this] {
      if ( give( local_, in_ ) ) {
        read_link(); // what the wire holds already
      }
      touch();
    };
    link_.may_read = [this] { return wire_->is_open() ? in_.size() == 0 : not wire_->opens_when_writable(); };
    link_.may_write
      = [this] { return wire_->is_open() ? out_.size() > 0 or wire_->owes() : wire_->opens_when_writable(); };
    link_.read = [this] { wire_->is_open() ? read_link() : open(); };
    link_.write = [this] { wire_->is_open() ? send_on() : open(); };
    open();
  }

private:
  void touch()
  {
    local_.loop.touch( local_ );
    link_.loop.touch( link_ );
  }

  void open()
  {
    over_ = over_ or not wire_->open();
    if ( not over_ and wire_->is_open() ) {
      read_link(); // what came with the end of the handshake
    }
    touch();
  }

  void read_local()
  {
    if ( take( local_, out_, local_ended_ ) ) {
      send_on();
    }
  }

  void send_on()
  {
    if ( wire_->flush() and out_.size() > 0 ) {
      const std::array slice { iovec { .iov_base = out_.content().data(), .iov_len = out_.size() } };
      const Transfer sent = wire_->send( slice );
      out_.consume( sent.count );
      over_ = over_ or sent.kind == Transfer::Kind::failed;
    }
    if ( local_ended_ and not all_said_ and out_.size() == 0 and not wire_->owes() ) {
      all_said_ = true;
      wire_->say_no_more();
      over_ = over_ or link_ended_;
    }
    touch();
  }

  void read_link()
  {
    while ( not over_ and not link_ended_ and in_.size() == 0 ) {
      const std::size_t room = in_.room().size();
      const Transfer got = wire_->receive( in_.room() );
      in_.end += got.count;
      link_ended_ = got.kind == Transfer::Kind::ended;
      over_ = over_ or got.kind == Transfer::Kind::failed;
      give( local_, in_ );
      if ( got.count < room ) {
        break;
      }
    }
    if ( link_ended_ and in_.size() == 0 ) {
      end_writing( local_.fd );
      over_ = over_ or local_ended_;
    }
    touch();
  }

  Buffer out_ {}, in_ {};
  bool local_ended_ = false, link_ended_ = false, all_said_ = false;
  Socket local_;
  std::unique_ptr<Wire> wire_;
  Socket link_;
};

} // namespace holdfast
