#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the pinned Arize Phoenix from PyPI into .cache/phoenix and print the path of its command.
set -eu

version=20.26.1
top=$(cd "$(dirname "$0")/../../.." && pwd)
prefix=$top/.cache/phoenix
command=$prefix/bin/phoenix
mark=$prefix/.installed-$version

# One at a time: several test processes may want it at once.
mkdir -p "$top/.cache"
exec 9>"$top/.cache/phoenix.lock"
flock 9

if ! [ -x "$command" ] || ! [ -e "$mark" ]; then
	rm -rf "$prefix"
	"${PYTHON:-python3}" -m venv "$prefix" >&2
	timeout -k 10 1500 "$prefix/bin/python" -m pip install -q --disable-pip-version-check \
		-c "$top/tests/e2e/setup/phoenix-constraints.txt" "arize-phoenix==$version" >&2
	touch "$mark"
fi
printf '%s\n' "$command"
