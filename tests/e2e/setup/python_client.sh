#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install REQUIREMENT from PyPI into .cache/NAME, pinned by NAME-constraints.txt, and print the path of COMMAND.
# Usage: python_client.sh NAME REQUIREMENT COMMAND
set -eu

name=$1 requirement=$2
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
prefix=$top/.cache/$name
command=$prefix/bin/$3
constraints=$here/$name-constraints.txt
mark=$prefix/.installed-$(cksum <"$constraints" | cut -d ' ' -f 1)

if ! [ -x "$command" ] || ! [ -e "$mark" ]; then
	rm -rf "$prefix"
	"${PYTHON:-python3}" -m venv "$prefix" >&2
	"$prefix/bin/python" -m pip install -q --disable-pip-version-check \
		-c "$constraints" "$requirement" >&2
	touch "$mark"
fi
printf '%s\n' "$command"
