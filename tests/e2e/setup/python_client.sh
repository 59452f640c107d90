#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install REQUIREMENTs from PyPI into .cache/NAME, pinned by NAME-constraints.txt, and print the path of COMMAND.
# Usage: python_client.sh NAME COMMAND REQUIREMENT...
set -eu

name=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
prefix=$top/.cache/$name
command=$prefix/bin/$2
shift 2
constraints=$here/$name-constraints.txt
mark=$prefix/.installed-$(cksum <"$constraints" | cut -d ' ' -f 1)

# One at a time: several test processes may want it at once.
mkdir -p "$top/.cache"
exec 9>"$top/.cache/$name.lock"
flock 9

if ! [ -x "$command" ] || ! [ -e "$mark" ]; then
	rm -rf "$prefix"
	"${PYTHON:-python3}" -m venv "$prefix" >&2
	timeout -k 10 1500 "$prefix/bin/python" -m pip install -q --disable-pip-version-check --no-compile \
		-c "$constraints" "$@" >&2
	touch "$mark"
fi
printf '%s\n' "$command"
