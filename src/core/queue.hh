#pragma once

#include <cstddef>

namespace holdfast {

template<class Item>
class Place;

// Items that wait for something, first in, first out; each is in it at most once. Owns nothing, and never needs
// memory: who comes next is noted in the items themselves, each of which has a place of its own for every queue
// that it may be in. An item must not go while it is in one.
template<class Item, Place<Item> Item::*place>
class Queue
{
public:
  Queue() = default;
  Queue( const Queue& ) = delete;
  Queue& operator=( const Queue& ) = delete;

  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] static bool has( const Item& item ) { return ( item.*place ).next_ != nullptr; }

  // Nothing changes if it is there already.
  void push_back( Item& item )
  {
    if ( not has( item ) ) {
      ( item.*place ).next_ = &item; // nobody
      ( empty() ? first_ : ( last_->*place ).next_ ) = &item;
      last_ = &item;
      ++size_;
    }
  }
  void push_front( Item& item )
  {
    if ( not has( item ) ) {
      ( item.*place ).next_ = empty() ? &item : first_;
      last_ = empty() ? &item : last_;
      first_ = &item;
      ++size_;
    }
  }
  // The first one, or nullptr.
  Item* pop_front()
  {
    Item* const item = first_;
    if ( item != nullptr ) {
      Item*& next = ( item->*place ).next_;
      first_ = next == item ? nullptr : next;
      next = nullptr;
      --size_;
    }
    return item;
  }
  void clear()
  {
    while ( pop_front() != nullptr ) {
    }
  }

private:
  Item* first_ = nullptr;
  Item* last_ = nullptr; // if there is a first
  std::size_t size_ = 0;
};

// An item's place in a queue.
template<class Item>
class Place
{
  template<class I, Place<I> I::*place>
  friend class Queue;
  Item* next_ = nullptr; // nullptr: it is not in the queue; itself: it is the last
};

} // namespace holdfast
