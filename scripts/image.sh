#!/usr/bin/env bash
# Builds the image with docker, buildah or podman, whichever works here. Its name is
# longshore:VERSION; another one by IMAGE=…
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
revision=$(git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || echo unknown)
image=${IMAGE:-longshore:$version}
arguments=(--build-arg "VERSION=$version" --build-arg "REVISION=$revision" --tag "$image" .)

if docker info >/dev/null 2>&1; then
  # The cache mounts need BuildKit, which older versions have to be asked for.
  DOCKER_BUILDKIT=1 docker build "${arguments[@]}"
elif command -v buildah >/dev/null; then
  buildah build --layers "${arguments[@]}"
elif command -v podman >/dev/null; then
  podman build "${arguments[@]}"
else
  echo "error: neither a running docker, nor buildah, nor podman is here" >&2
  exit 1
fi
echo "built $image ($revision)"
