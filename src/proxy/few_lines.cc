#include "proxy/few_lines.hh"

#include <utility>

namespace holdfast {

namespace {

using namespace std::chrono_literals;

constexpr Duration stretch = 1s;
constexpr unsigned said_max = 20; // in a stretch: about a screen

} // namespace

FewLines::FewLines( Log& log, std::string kind ) : log_( log ), kind_( std::move( kind ) ) {}

void FewLines::say( Time now, spdlog::level::level_enum level, std::string_view line )
{
  if ( not log_.should_log( level ) ) {
    return;
  }
  tick( now );
  if ( now - since_ >= stretch ) {
    since_ = now;
    said_ = 0;
  }
  if ( said_ < said_max or log_.should_log( spdlog::level::debug ) ) {
    ++said_;
    log_.log( level, line );
  } else {
    ++more_;
  }
}

void FewLines::tick( Time now )
{
  if ( now >= deadline() ) {
    log_.info( "{} more {} within a second (--log-level debug tells of each)", std::exchange( more_, 0 ), kind_ );
  }
}

Time FewLines::deadline() const
{
  return more_ == 0 ? never : since_ + stretch;
}

} // namespace holdfast
