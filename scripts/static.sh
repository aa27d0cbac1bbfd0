#!/usr/bin/env bash
# Builds the static binary for this architecture, as the Dockerfile does, and proves that
# it needs nothing around it: it fills a volume in a root that holds only itself.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(uname -m)-unknown-linux-gnu
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin longshore --target "$target"
binary=${CARGO_TARGET_DIR:-target}/$target/release/longshore
ls -l "$binary"

if (($(id -u) == 0)); then
  enter=(chroot)
elif unshare --map-root-user true 2>/dev/null; then
  enter=(unshare --map-root-user chroot)
else
  echo "NOT PROVED that it runs in an empty root: that takes root, or user namespaces." >&2
  exit 0
fi

root=$(mktemp -d "$PWD/target/empty-root.XXXXXX")
trap 'rm -rf "$root"' EXIT
cp "$binary" "$root/longshore"
cp -r webpage "$root/seed"
mkdir "$root/volume"
PATH=$PATH:/usr/sbin "${enter[@]}" "$root" /longshore --version
PATH=$PATH:/usr/sbin "${enter[@]}" "$root" /longshore fill --volume /volume
cmp webpage/index.html "$root/volume/index.html"
echo "proved: $binary fills a volume in an empty root"
