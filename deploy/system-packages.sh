#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages that a target needs, or say exactly which ones are missing.
# Usage: system-packages.sh build|test
set -eu

build="gcc libc6-dev make python3-dev python3-venv libpcap-dev zlib1g-dev libzstd-dev libbrotli-dev"
tests="clang libclang-rt-14-dev iproute2 util-linux tcpdump e2fsprogs procps"

case "${1:-}" in
build) wanted=$build ;;
test) wanted="$build $tests" ;;
*)
	echo "usage: $0 build|test" >&2
	exit 2
	;;
esac

installed() {
	dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

missing=
for package in $wanted; do
	case $package in
	# A Python or Node.js from elsewhere brings its own headers, venv and npm.
	python3-dev) python3 -c 'import os, sysconfig as s; raise SystemExit(not os.path.exists(s.get_path("include") + "/Python.h"))' 2>/dev/null && continue ;;
	python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null && continue ;;
	esac
	installed "$package" || missing="$missing $package"
done
if [ "$1" = test ] && ! command -v npm >/dev/null 2>&1; then
	missing="$missing nodejs npm"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "heron-otel needs these packages (Debian names):$missing" >&2
	echo "Install them with this system's package manager, then run make again." >&2
	exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
	as_root=sudo
else
	echo "heron-otel needs packages that only root can install. Run this, then make again:" >&2
	echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
	exit 1
fi
echo "installing system packages:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of names
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
