#pragma once

#include "net/loop.hh"

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace holdfast {

// What other threads want to be done in the thread of this loop. It is done there in the order in which it was
// posted, some of it in each turn; what was not done is destroyed with us. Only post() and waiting() may be called
// by other threads.
class Mailbox : public Watcher
{
public:
  explicit Mailbox( Loop& loop );
  Mailbox( const Mailbox& ) = delete;
  Mailbox& operator=( const Mailbox& ) = delete;
  ~Mailbox() override;

  // `work` is something to be called once, without arguments; it need not be copyable.
  template<class Work>
  void post( Work work )
  {
    add( std::make_unique<LetterOf<Work>>( std::move( work ) ) );
  }
  // What was posted and has not been done.
  [[nodiscard]] std::size_t waiting() const;

  [[nodiscard]] std::uint32_t interest() const override;
  void ready( std::uint32_t events ) override;

private:
  struct Letter
  {
    Letter() = default;
    Letter( const Letter& ) = delete;
    Letter& operator=( const Letter& ) = delete;
    virtual ~Letter() = default;
    virtual void read() = 0;
  };
  template<class Work>
  struct LetterOf : Letter
  {
    explicit LetterOf( Work its_work ) : work( std::move( its_work ) ) {}
    void read() override { work(); }
    Work work;
  };

  void add( std::unique_ptr<Letter> letter );
  [[nodiscard]] std::unique_ptr<Letter> next();

  Loop& loop_;
  Fd bell_; // readable while there are letters
  mutable std::mutex mutex_ {};
  std::deque<std::unique_ptr<Letter>> letters_ {}; // under the mutex
};

} // namespace holdfast
