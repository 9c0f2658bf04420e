#!/bin/bash
# scripts/deps.sh GROUP...    groups: build test fuzz demo model soak systemd bench bench-handover bench-peers report dev
#
# Installs the Debian packages of these groups that are missing: says which, asks nothing, and is silent and instant
# when nothing is missing. HOLDFAST_DEPS=no turns it off.
#
# It leaves no network service behind. The telnet server is only unpacked, under build/tools, never installed (its
# package would bring an inetd). OpenSSH's and PostgreSQL's servers, and the relays to measure against, are installed
# with starting forbidden, without a database cluster, and are switched off for the next boot as well, unless they were
# there before.
set -euo pipefail
cd "$(dirname "$0")/.."

packages_of() {
  case $1 in
    build)
      echo g++ cmake ninja-build pkg-config libcli11-dev libfmt-dev libspdlog-dev libssl-dev libc-ares-dev libseccomp-dev
      [[ $(dpkg --print-architecture) != amd64 ]] || echo libipsec-mb-dev # nothing for others
      ;;
    # libkrb5-3 is what the unpacked telnet server needs beside libc
    demo) echo python3 iproute2 iputils-ping procps util-linux telnet login libkrb5-3 tmux ;;
    test)
      packages_of demo
      packages_of model
      packages_of fuzz
      echo libgtest-dev libgmock-dev binutils nftables valgrind strace python3-openssl expect openssh-client openssh-server postgresql-15
      ;;
    fuzz) echo python3 clang libclang-rt-14-dev libgtest-dev libgmock-dev ;;
    model) echo python3 spin gcc ;;
    soak) echo python3 iproute2 iputils-ping procps util-linux nftables ;;
    systemd) echo debootstrap util-linux ;;
    bench) echo python3 iproute2 util-linux libgtest-dev libgmock-dev ;;
    bench-handover) packages_of bench && echo iputils-ping procps nftables openssh-client openssh-server autossh mosh ;;
    bench-peers) packages_of bench && echo openssl openssh-client openssh-server socat haproxy nginx-light libnginx-mod-stream stunnel4 spiped ;;
    report) echo pandoc weasyprint fonts-dejavu-core ;;
    dev) echo clang clang-format clang-tidy gcovr ;;
    *)
      echo "deps: there is no group '$1' (groups: build test fuzz demo model soak systemd bench bench-handover bench-peers report dev)" >&2
      exit 2
      ;;
  esac
}

needs_telnetd() { # "$@" are groups
  [[ " $* " == *" test "* || " $* " == *" demo "* ]] || return 1
  local place
  for place in /usr/sbin/telnetd /usr/sbin/in.telnetd build/tools/usr/sbin/telnetd; do
    [[ -x $place ]] && return 1
  done
  return 0
}

# Root as it can be had without a dialogue; sudo may ask for a password where a person sits at the terminal.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

can_be_root() {
  [[ $(id -u) == 0 ]] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]
}

# --- what the installation of server packages must not do, and how that is undone -------------------------------

policy=/usr/sbin/policy-rc.d # asked by invoke-rc.d and deb-systemd-invoke before any service is started
cluster_settings=/etc/postgresql-common/createcluster.d/00-holdfast.conf
made_policy=no
made_cluster_settings=no
services_to_switch_off=()

forbid_starting() { # "$@" are the packages about to be installed
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\n# Written by scripts/deps.sh of Holdfast while it installs packages; removed afterwards.\nexit 101\n' \
      | as_root tee "$policy" >/dev/null
    made_policy=yes
    as_root chmod 755 "$policy"
  fi
  local package
  for package in "$@"; do
    case $package in
      openssh-server) services_to_switch_off+=(ssh) ;;
      haproxy | stunnel4) services_to_switch_off+=("$package") ;;
      nginx-light) services_to_switch_off+=(nginx) ;;
      postgresql-*)
        [[ -e /etc/init.d/postgresql ]] || services_to_switch_off+=(postgresql)
        if [[ ! -e $cluster_settings ]]; then
          as_root mkdir -p "${cluster_settings%/*}"
          echo 'create_main_cluster = false' | as_root tee "$cluster_settings" >/dev/null
          made_cluster_settings=yes
        fi
        ;;
    esac
  done
}

allow_starting_again() { # also on the way out after a failure
  [[ $made_policy == no ]] || as_root rm -f "$policy"
  [[ $made_cluster_settings == no ]] || as_root rm -f "$cluster_settings"
  made_policy=no
  made_cluster_settings=no
}

switch_off_services() {
  local service
  for service in "${services_to_switch_off[@]}"; do
    [[ -e /etc/init.d/$service ]] || continue
    as_root update-rc.d "$service" disable >/dev/null 2>&1 \
      || echo "deps: could not switch off the service '$service' for the next boot: update-rc.d $service disable" >&2
  done
}

# ------------------------------------------------------------------------------------------------------------------

unpack_telnetd() {
  mkdir -p build/tools
  local folder
  folder=$(mktemp -d)
  if (cd "$folder" && apt-get -qq download inetutils-telnetd) >"$folder/log" 2>&1; then
    dpkg -x "$folder"/inetutils-telnetd_*.deb build/tools
    rm -rf "$folder"
  else
    cat "$folder/log" >&2
    rm -rf "$folder"
    echo "deps: apt-get could not download inetutils-telnetd" >&2
    return 1
  fi
}

main() {
  [[ ${HOLDFAST_DEPS:-yes} != no ]] || exit 0
  local group wanted=() missing=() telnetd=no
  for group in "$@"; do
    # shellcheck disable=SC2207
    wanted+=($(packages_of "$group"))
  done
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: this is not a Debian system: install the counterparts of these packages, then use HOLDFAST_DEPS=no:" \
      "${wanted[*]}" >&2
    exit 1
  fi

  local -A installed=()
  local status name
  while read -r status name; do
    [[ $status != installed ]] || installed[$name]=yes
  done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
  for name in "${wanted[@]}"; do
    if [[ -z ${installed[$name]:-} ]]; then
      missing+=("$name")
      installed[$name]=yes # named once
    fi
  done
  # Any server of that kind will do, whatever its version.
  if compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
    local kept=()
    for name in "${missing[@]}"; do [[ $name == postgresql-* ]] || kept+=("$name"); done
    missing=("${kept[@]}")
  fi
  ! needs_telnetd "$@" || telnetd=yes
  [[ ${#missing[@]} -gt 0 || $telnetd == yes ]] || exit 0

  [[ ${#missing[@]} -eq 0 ]] || echo "deps: installing Debian packages: ${missing[*]}" >&2
  [[ $telnetd == no ]] || echo "deps: unpacking inetutils-telnetd under build/tools (it is not installed)" >&2
  if [[ ${#missing[@]} -gt 0 ]] && ! can_be_root; then
    echo "deps: this needs root, and sudo is not there or not allowed; as root run: apt-get install ${missing[*]}" >&2
    exit 1
  fi

  log=$(mktemp)
  trap 'allow_starting_again; rm -f "$log"' EXIT
  trap 'exit 130' INT TERM HUP
  ! can_be_root || run_quietly as_root apt-get -q update
  if [[ ${#missing[@]} -gt 0 ]]; then
    forbid_starting "${missing[@]}"
    run_quietly as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -q install -y --no-install-recommends "${missing[@]}"
    switch_off_services
  fi
  [[ $telnetd == no ]] || unpack_telnetd
  echo "deps: done" >&2
}

run_quietly() { # a command whose output matters only when it fails
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 8 "$log" >&2
    echo "deps: failed: $*" >&2
    exit 1
  fi
}

main "$@"
