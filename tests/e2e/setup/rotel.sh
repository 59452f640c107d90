#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetch the pinned rotel collector from npm into .cache/rotel and print the path of its command.
set -eu

version=0.0.8-alpha
top=$(cd "$(dirname "$0")/../../.." && pwd)
prefix=$top/.cache/rotel
package=$prefix/node_modules/@streamfold/rotel-linux-x64
command=$package/bin/rotel-agent

# One at a time: several test processes may want it at once.
mkdir -p "$top/.cache"
exec 9>"$top/.cache/rotel.lock"
flock 9

if ! [ -x "$command" ] || ! grep -q "\"version\": \"$version\"" "$package/package.json"; then
	command -v npm >/dev/null || {
		echo "rotel.sh: npm is not installed (Debian: apt-get install npm)" >&2
		exit 1
	}
	mkdir -p "$prefix"
	timeout -k 10 1500 npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error \
		"@streamfold/rotel-linux-x64@$version" >&2
fi
printf '%s\n' "$command"
