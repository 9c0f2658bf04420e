#pragma once

#include "core/time.hh"

#include <deque>
#include <set>
#include <utility>

namespace holdfast {

// Which of many have something to do in this turn: those to whom something happened, and those whose deadline has
// come. The others are not looked at, so a turn costs what happens in it, not how many there are.
//
//   agenda.begin( now );
//   while ( Item* item = agenda.next() ) { ...; agenda.put_off( *item, its deadline ); }
//
// Each comes in the order in which it was touched or due, and what is not taken in this turn is first in the next.
// An item that is put off to now, or to the past, comes in the next turn, not in this one: so the while loop ends.
class Agenda
{
public:
  // A part of everyone who may be on the agenda; belongs to it.
  class Item
  {
  public:
    explicit Item( Agenda& agenda ) : agenda_( agenda ) {}
    Item( const Item& ) = delete;
    Item& operator=( const Item& ) = delete;
    ~Item() { agenda_.remove( *this ); }

    // Something happened to it: it is looked at in this turn, or in the next one if this one has no time left.
    void touch() { agenda_.touch( *this ); }

  private:
    friend class Agenda;
    Agenda& agenda_;
    bool touched_ = false;
    Time due_ = never;
  };

  void begin( Time now )
  {
    while ( not due_.empty() and due_.begin()->first <= now ) {
      touch( *due_.begin()->second );
    }
  }

  // Whose turn it is, nullptr when nobody's. It has no deadline any more.
  [[nodiscard]] Item* next()
  {
    if ( touched_.empty() ) {
      return nullptr;
    }
    Item* const item = touched_.front();
    touched_.pop_front();
    item->touched_ = false;
    return item;
  }

  // Look at it again then, if nothing happens before; replaces an earlier deadline.
  void put_off( Item& item, Time until )
  {
    forget_deadline( item );
    if ( until != never and not item.touched_ ) {
      item.due_ = until;
      due_.emplace( until, &item );
    }
  }

  // When there is something to do, should nothing happen; `now` if there is now.
  [[nodiscard]] Time deadline( Time now ) const
  {
    if ( not touched_.empty() ) {
      return now;
    }
    return due_.empty() ? never : due_.begin()->first;
  }

private:
  void touch( Item& item )
  {
    if ( not item.touched_ ) {
      forget_deadline( item );
      item.touched_ = true;
      touched_.push_back( &item );
    }
  }

  void forget_deadline( Item& item )
  {
    if ( item.due_ != never ) {
      due_.erase( { item.due_, &item } );
      item.due_ = never;
    }
  }

  void remove( Item& item )
  {
    forget_deadline( item );
    if ( item.touched_ ) {
      std::erase( touched_, &item );
    }
  }

  std::deque<Item*> touched_ {};
  std::set<std::pair<Time, Item*>> due_ {};
};

} // namespace holdfast
