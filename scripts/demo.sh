#!/usr/bin/env bash
# A demo on this machine: a volume in .demo/volume, filled from webpage/, with the sidecar
# beside it, and nginx on top where nginx is installed. Installs nothing, listens on
# loopback only. Ctrl-C ends it; the volume stays for the next time.
#
# Ports, by environment: DEMO_SITE_PORT (8088), DEMO_UPLOAD_PORT (8089), DEMO_PROBES_PORT (8090).
# shellcheck disable=SC2317  # end_children is reached by trap
set -euo pipefail
cd "$(dirname "$0")/.."

demo=$PWD/.demo
# Debian keeps nginx where the PATH of ordinary users does not look.
PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "error: $*" >&2
  exit 1
}

command -v curl >/dev/null || fail "the demo needs curl"
# Settings meant for another Longshore would change this one.
for name in "${!LONGSHORE_@}"; do
  unset "$name"
done

mkdir -p "$demo/volume"
exec {lock}>"$demo/lock"
flock --nonblock "$lock" || fail "a demo is running here already"

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_port VARIABLE DEFAULT: what the environment says, else the default or the next
# free one after it, in tens, so that the three never meet.
choose_port() {
  local -n chosen=$1
  if [[ -n ${chosen:-} ]]; then
    if answers "$chosen"; then fail "$1=$chosen: something listens there already"; fi
    return
  fi
  chosen=$2
  while answers "$chosen"; do
    chosen=$((chosen + 10))
    ((chosen < 65536)) || fail "no free port for $1"
  done
}
choose_port DEMO_SITE_PORT 8088
choose_port DEMO_UPLOAD_PORT 8089
choose_port DEMO_PROBES_PORT 8090
upload=http://127.0.0.1:$DEMO_UPLOAD_PORT
probes=http://127.0.0.1:$DEMO_PROBES_PORT

children=()
end_children() {
  trap '' INT TERM
  trap - EXIT
  local child
  for child in "${children[@]}"; do
    kill -TERM "$child" 2>/dev/null || true
  done
  # Five seconds to leave, then no more asking.
  local tries=50
  for child in "${children[@]}"; do
    while ((tries-- > 0)) && kill -0 "$child" 2>/dev/null; do sleep 0.1; done
    kill -KILL "$child" 2>/dev/null || true
  done
  wait
}
trap end_children EXIT
trap 'echo; echo "The demo has ended. The volume stays in .demo/volume; make demo-clean removes it."; end_children; exit 0' INT TERM

echo "Building (development profile; the first time takes a few minutes) …"
cargo build --locked --bin longshore
longshore=${CARGO_TARGET_DIR:-target}/debug/longshore

if [[ ! -e $demo/index.html ]]; then
  sed -e 's/The cargo is ashore\./This one came by curl./' -e 's/Your volume was empty/Ahoy/' \
    webpage/index.html >"$demo/index.html"
fi
# A new token every time. The file first, so that nobody else reads it in between.
token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
rm -f "$demo/token"
(umask 077 && printf '%s\n' "$token" >"$demo/token")

echo "Filling .demo/volume from webpage/ …"
"$longshore" fill --volume "$demo/volume" --from webpage

site=$upload/site/
open=(--public-read)
note="the sidecar itself, since nginx is not installed here"
if command -v nginx >/dev/null; then
  site=http://127.0.0.1:$DEMO_SITE_PORT/
  open=()
  note="nginx, which knows nothing of Longshore"
fi

"$longshore" serve --volume "$demo/volume" --token-file "$demo/token" "${open[@]}" \
  --listen "127.0.0.1:$DEMO_UPLOAD_PORT" --probes "127.0.0.1:$DEMO_PROBES_PORT" --grace 3s &
sidecar=$!
children+=("$sidecar")

# wait_for URL CHILD: until it answers at all, or the child is gone, or 15 s are over.
wait_for() {
  local tries=150
  until curl --silent --output /dev/null --max-time 2 ${3:+"$3"} "$1"; do
    kill -0 "$2" 2>/dev/null || fail "it ended before it answered at $1"
    ((tries-- > 0)) || fail "no answer from $1 within 15 s"
    sleep 0.1
  done
}
wait_for "$probes/readyz" "$sidecar" --fail

if ((${#open[@]} == 0)); then
  web=$demo/nginx
  mkdir -p "$web"
  {
    # A root that starts it may keep its home closed to www-data, so it stays root here.
    (($(id -u) != 0)) || echo "user root;"
    cat <<NGINX
worker_processes 1;
pid "$web/nginx.pid";
events {}
http {
$(for kind in client_body proxy fastcgi uwsgi scgi; do echo "  ${kind}_temp_path \"$web/$kind\";"; done)
  $([[ -e /etc/nginx/mime.types ]] && echo "include /etc/nginx/mime.types;")
  access_log off;
  server {
    listen 127.0.0.1:$DEMO_SITE_PORT;
    root "$demo/volume";
  }
}
NGINX
  } >"$web/nginx.conf"
  nginx -e stderr -p "$web" -c "$web/nginx.conf" -g "daemon off;" &
  children+=("$!")
  wait_for "$site" "$!"
fi

cat <<TEXT

  the site   $site   ($note)
  uploads    $upload/site/
  metrics    $probes/metrics
  token      $token

Change the page (edit .demo/index.html as you like), then reload it:

  curl -T $(printf %q "$demo/index.html") -H "Authorization: Bearer $token" $upload/site/

Bring the old page back:

  curl -X POST -H "Authorization: Bearer $token" $upload/v1/rollback

See what happened:

  curl -H "Authorization: Bearer $token" $upload/v1/releases

Ctrl-C ends the demo.

TEXT

wait -n || true
fail "the sidecar or nginx ended by itself"
