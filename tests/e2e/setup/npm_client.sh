#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install PACKAGE@VERSION from npm into .cache/NAME, with a Node of its own, and print the path of COMMAND.
# Usage: npm_client.sh NAME PACKAGE VERSION COMMAND
set -eu

node=24.21.0 # Qwen Code asks for 22 or newer
name=$1 package=$2 version=$3
top=$(cd "$(dirname "$0")/../../.." && pwd)
prefix=$top/.cache/$name
manifest=$prefix/node_modules/$package/package.json
command=$prefix/node_modules/.bin/$4

if ! [ -x "$command" ] || ! grep -q "\"version\": \"$version\"" "$manifest"; then
	command -v npm >/dev/null || {
		echo "npm_client.sh: npm is not installed (Debian: apt-get install npm)" >&2
		exit 1
	}
	mkdir -p "$prefix"
	npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error \
		"node@$node" "$package@$version" >&2
fi
printf '%s\n' "$command"
