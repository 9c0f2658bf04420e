#!/bin/sh
# Watch a real telnet session live through changes of address, beside a direct one that dies (`make demo`).
#
# Network namespaces need root; as anybody else this asks sudo. Everything happens in namespaces of its own: the
# network of this machine is not touched, and nothing is left behind.
set -eu
here=$(dirname "$(readlink -f "$0")")
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "demo: network namespaces need root: run scripts/demo.sh as root" >&2; exit 1; }
  echo "demo: network namespaces need root, asking sudo"
  exec sudo "HOLDFAST_BIN=${HOLDFAST_BIN:-}" "TERM=${TERM:-dumb}" "$0" "$@"
fi
exec /usr/bin/python3 "$here/demo.py" "$@"
