#!/bin/bash
# What the unit, sim and cli tests never run. A question, not a score: each uncovered branch of src/core gets a test, a
# reason, or is deleted. Writes build/coverage/report.html and prints a summary.
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset coverage
cmake --build build/coverage -j "${JOBS:-$(nproc)}"
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage -L '^(unit|sim|cli|fuzz)$' --no-label-summary --output-on-failure -j "${JOBS:-$(nproc)}"
gcovr --root . --object-directory build/coverage --filter 'src/' --filter 'apps/' --filter '.*/exported/' \
  --exclude-throw-branches --html-details build/coverage/report.html --json build/coverage/report.json
scripts/uncovered.py build/coverage/report.json src/core
echo "coverage: see build/coverage/report.html"
