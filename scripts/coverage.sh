#!/bin/bash
# What the unit, sim and cli tests never run. A question, not a score: each uncovered branch of src/core gets a test, a
# reason, or is deleted. Writes build/coverage/report.html and prints a summary.
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset coverage
cmake --build build/coverage -j "${JOBS:-$(nproc)}"
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage -L '^(unit|sim|cli|fuzz)$' --no-label-summary --output-on-failure -j "${JOBS:-$(nproc)}"
# -s: the numbers on the screen as well; the filter leaves out tests and system headers.
gcovr --root . --object-directory build/coverage --filter 'src/' --filter 'apps/' --exclude-throw-branches \
  --html-details build/coverage/report.html --print-summary
echo "coverage: see build/coverage/report.html"
