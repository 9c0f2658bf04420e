#pragma once

namespace holdfast {

// What this process adds to its size when the kernel looks for one to end because there is no memory left (proc(5),
// oom_score_adj), from never_ended to 1000, the first one. 0 if it cannot be read.
[[nodiscard]] int oom_score_adjustment();

inline constexpr int never_ended = -1000;

// To make it less than somebody with a privilege (CAP_SYS_RESOURCE) had made it takes that privilege. False: it is
// as it was.
bool adjust_oom_score( int adjustment );

// The least that we may have.
void ask_to_be_spared();

} // namespace holdfast
