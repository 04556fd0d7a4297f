#!/usr/bin/env bash
# Installs what building Sluice needs from the system's packages: Debian 12, Ubuntu 24.04 (apt) or macOS
# (brew). Safe to call again: it looks first and touches nothing when nothing is missing.
#   tools/setup.sh           what `make run` and `make build` need
#   tools/setup.sh --test    and what `make test`, `make lint` and `make bench` need
#   tools/setup.sh --fuzz    and clang, for `make fuzz`
#   tools/setup.sh --arm     and what `make test-arm` needs (apt only)
#   tools/setup.sh --browser and Chromium without a window, for `make test-page` (apt only)
set -euo pipefail
cd "$(dirname "$0")/.."

readonly RUST_MINOR=85 # Rust 1.85: rust/text/Cargo.toml says so too
readonly RUST_LINKS=.cache/rust/bin # the Makefile has it first on PATH

say() { echo "setup: $*"; }
die() { echo "setup: error: $*" >&2; exit 1; }

# at_least 3.25 3.31.4: whether the second version is the first or newer
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# The version in a program's --version; "0" when there is no such program.
version_of() { { "$@" --version 2>/dev/null || echo 0; } | grep -oE '[0-9]+(\.[0-9]+)*' | head -n 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    command -v sudo >/dev/null || die "not root and no sudo: cannot run '$*'"
    sudo "$@"
  fi
}

rust_is_there() {
  PATH="$PWD/$RUST_LINKS:${HOME:-}/.cargo/bin:$PATH"
  at_least 1.$RUST_MINOR "$(version_of cargo)" && at_least 1.$RUST_MINOR "$(version_of rustc)"
}

# --- Debian and Ubuntu

APT_PACKAGES=(
  g++ cmake ninja-build ccache pkg-config git python3 python3-venv python3-dev ca-certificates
  libcurl4-openssl-dev libssl-dev nlohmann-json3-dev libcli11-dev libfmt-dev libspdlog-dev libedit-dev liburing-dev
  libsqlite3-dev prometheus-cpp-dev
)
APT_TEST_PACKAGES=(libgtest-dev libbenchmark-dev clang-format clang-tidy)

apt_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
# Not `| grep -q`, which ends at the first hit: apt-cache may then fail to write the rest, and so the pipe.
apt_has() { [[ $(apt-cache policy "$1" 2>/dev/null) =~ Candidate:\ [^\(] ]]; }

apt_update_once() {
  [ -z "${apt_updated:-}" ] || return 0
  say "updating apt's package lists"
  as_root apt-get update -qq || die "apt-get update failed"
  apt_updated=yes
}

# Boost's headers, 1.81 or later: Debian 12's libboost-dev is older, its libboost1.81-dev is not.
apt_boost_package() { apt_has libboost1.81-dev && echo libboost1.81-dev || echo libboost-dev; }

# Rust packages that are new enough, by name; Debian 12's rustc is not, its rustc-web is.
apt_rust_packages() {
  local minor
  if apt_has rustc-web; then
    echo rustc-web cargo-web
    return
  fi
  minor=$(apt-cache search --names-only '^cargo-1\.[0-9]+$' | grep -oE '^cargo-1\.[0-9]+' | cut -d. -f2 | sort -n | tail -n 1)
  if [ -n "$minor" ] && [ "$minor" -ge "$RUST_MINOR" ]; then
    echo "rustc-1.$minor" "cargo-1.$minor"
  elif at_least 1.$RUST_MINOR "$(apt-cache policy cargo | sed -n 's/ *Candidate: \([0-9.]*\).*/\1/p')"; then
    echo rustc cargo
  fi
}

# Versioned packages install cargo-1.85 and rustc-1.85, which nothing looks for.
link_versioned_rust() {
  local tool path
  mkdir -p $RUST_LINKS
  for tool in cargo rustc rustdoc; do
    path=$(find /usr/bin -name "$tool-1.*" | sort -V | tail -n 1)
    [ -z "$path" ] || ln -sf "$path" "$RUST_LINKS/$tool"
  done
}

apt_setup() {
  local package missing=() rust=()
  [ $test = no ] || APT_PACKAGES+=("${APT_TEST_PACKAGES[@]}")
  apt_has libboost-dev || apt_update_once
  APT_PACKAGES+=("$(apt_boost_package)")
  for package in "${APT_PACKAGES[@]}"; do
    apt_installed "$package" || missing+=("$package")
  done
  if ! rust_is_there; then
    apt_update_once
    read -ra rust <<<"$(apt_rust_packages)"
    [ ${#rust[@]} -gt 0 ] || die "no Rust >= 1.$RUST_MINOR in this system's packages: install it with rustup"
    missing+=("${rust[@]}")
  fi
  if [ ${#missing[@]} = 0 ]; then
    say "all packages are there"
    return
  fi
  apt_update_once
  for package in "${missing[@]}"; do
    apt_has "$package" || die "package $package cannot be had from this system's package sources"
  done
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install failed for: ${missing[*]}"
  rust_is_there || link_versioned_rust
}

apt_install_one() {
  apt_installed "$1" && return
  apt_update_once
  say "installing $1"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null || die "apt-get install failed for: $1"
}

# Its run-time libraries are only recommended by what clang-tidy brought already: hence by name.
apt_setup_fuzz() {
  apt_install_one clang
  apt_install_one "libclang-rt-$(version_of clang | cut -d. -f1)-dev"
}

ARM_PACKAGES=(g++-aarch64-linux-gnu qemu-user googletest)

apt_setup_arm() {
  local package missing=()
  for package in "${ARM_PACKAGES[@]}"; do
    apt_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} != 0 ] || return 0
  apt_update_once
  say "installing ${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install failed for: ${missing[*]}"
}

# Debian's package without a window is half the size of the whole browser.
apt_setup_browser() {
  local package
  for package in chromium-headless-shell chromium chromium-browser; do
    ! apt_installed "$package" || return 0
  done
  apt_update_once
  for package in chromium-headless-shell chromium chromium-browser; do
    apt_has "$package" || continue
    say "installing $package"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
      die "apt-get install failed for: $package"
    return 0
  done
  die "no Chromium in this system's package sources: install one and name it in SLUICE_BROWSER"
}

# --- macOS

BREW_PACKAGES=(cmake ninja ccache pkg-config python@3.12 curl openssl@3 nlohmann-json cli11 fmt spdlog boost prometheus-cpp)
BREW_TEST_PACKAGES=(googletest google-benchmark clang-format)

brew_setup() {
  local package missing=()
  xcode-select -p >/dev/null 2>&1 || die "no compiler: run 'xcode-select --install' first"
  command -v brew >/dev/null || die "Homebrew is not installed"
  [ $test = no ] || BREW_PACKAGES+=("${BREW_TEST_PACKAGES[@]}")
  for package in "${BREW_PACKAGES[@]}"; do
    brew list --versions "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  rust_is_there || missing+=(rust)
  if [ ${#missing[@]} = 0 ]; then
    say "all packages are there"
    return
  fi
  say "installing ${missing[*]}"
  brew install --quiet "${missing[@]}" || die "brew install failed for: ${missing[*]}"
}

# ---

test=no fuzz=no arm=no browser=no
case "${1:-}" in
  "") ;;
  --test) test=yes ;;
  --fuzz) fuzz=yes ;;
  --arm) arm=yes ;;
  --browser) browser=yes ;;
  *) die "unknown option $1 (only --test, --fuzz, --arm and --browser are known)" ;;
esac

if [ "$(uname)" = Darwin ]; then
  [ $arm = no ] || die "the emulated Arm tests are for Debian and Ubuntu; on an Arm Mac 'make test' runs the same"
  [ $browser = no ] || die "install Chromium or Chrome yourself and name it in SLUICE_BROWSER; then 'make test-page' runs"
  brew_setup
elif command -v apt-get >/dev/null; then
  # shellcheck source=/dev/null
  . /etc/os-release
  apt_setup
  [ $fuzz = no ] || apt_setup_fuzz
  [ $arm = no ] || apt_setup_arm
  [ $browser = no ] || apt_setup_browser
  at_least 12 "$(version_of g++)" || die "g++ is $(version_of g++), Sluice needs 12 or newer"
else
  die "this system has neither apt nor brew; Debian 12, Ubuntu 24.04 and macOS are known"
fi
at_least 3.25 "$(version_of cmake)" || die "cmake is $(version_of cmake), Sluice needs 3.25 or newer"
rust_is_there || die "cargo is $(version_of cargo) and rustc $(version_of rustc), Sluice needs Rust 1.$RUST_MINOR or newer"
say "cmake $(version_of cmake), cargo $(version_of cargo) at $(command -v cargo)"
