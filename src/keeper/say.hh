#pragma once

namespace holdfast {

// A line on standard error as the proxies' log has it (proxy/log.hh): "2026-02-28 13:14:15.678 sproxy warning:
// ...". It is lost when nobody takes it: whoever says something goes on.
[[gnu::format( printf, 3, 4 )]] void say( const char* name, const char* level, const char* format, ... );

// The text of errno, until this is asked again. Only for a process with one thread.
[[nodiscard]] const char* last_error();

} // namespace holdfast
