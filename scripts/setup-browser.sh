#!/usr/bin/env bash
# Chromium, in which the tests look at the report page. Without it they skip and say so; nothing else needs it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

for browser in chromium chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null; then exit 0; fi
done
apt_install chromium fonts-dejavu-core || echo "setup: no browser, so the tests that look at the report page will be skipped" >&2
