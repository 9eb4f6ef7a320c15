#!/usr/bin/env bash
# halab on a user's kind of machine: stock kernel, cgroup v2, a Docker with --privileged. Not part of CI: under emulation it takes most of an hour.
#
#   halab images save images.tar.zst                 where the images are built
#   bash tests/uservm/check.sh [images.tar.zst]      on any such machine, from a checkout; without a file the images are built there
#
# In a throw-away machine, by a runner that boots one, lays the checkout at /root/halab and the file at /root/, and runs this as root there:
#   RUNNER tests/uservm/check.sh images.tar.zst
#
# Every step prints what it does and its seconds; the first one that fails ends it. SLOW multiplies the time-outs (default 10: emulation).
# PART=host looks only at what the kernel and the engine decide (machines, networks, netem, IPMI) and does not wait for Kubernetes.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/../.." 2>/dev/null && pwd)
[ -e "$checkout/pyproject.toml" ] || checkout=/root/halab # laid there by a runner that copies this script alone
images=${1:-}
[ -z "$images" ] && [ -e /root/images.tar.zst ] && images=/root/images.tar.zst
slow=${SLOW:-10}
part=${PART:-all}
cd "$checkout"
lab=e2e-user

step() { # step WORDS -- COMMAND…
  local what=() begin=$SECONDS
  while [ "$1" != -- ]; do what+=("$1"); shift; done; shift
  echo "=== ${what[*]}"
  # Not `"$@" || …`: where a status is asked for like that, bash goes on after a command that failed, and only the last one would count.
  local code
  set +e; (set -e; "$@"); code=$?; set -e
  [ $code = 0 ] || { echo "FAILED: ${what[*]} ($((SECONDS - begin)) s)"; exit 1; }
  echo "--- ok: ${what[*]}: $((SECONDS - begin)) s"
}
has() { grep -q "$1" <<<"$2" || { echo "no '$1' in: $2"; return 1; }; }

install() { python3 -m venv .venv && .venv/bin/pip install --quiet --disable-pip-version-check .; }
halab() { .venv/bin/halab "$@"; }
doctor() { # its warnings about memory and sources are facts of the machine; a failure is not
  local tool=; command -v debootstrap >/dev/null || tool=missing
  halab doctor 1m1w --fix
  [ -z "$images" ] || [ -z "$tool" ] || ! command -v debootstrap || { echo "a build tool was installed, with the images here"; return 1; }
  [ -s /etc/modules-load.d/halab.conf ] || [ -e /proc/sys/net/bridge ] || { echo "br_netfilter is not loaded"; return 1; }
}
unbridge() { # as on a fresh host: `start` has to load it by itself
  modprobe -r br_netfilter 2>/dev/null || echo "in use or built in: not unloaded"
}
bridged() {
  [ "$(docker exec halab-$lab-w1 cat /proc/sys/net/bridge/bridge-nf-call-iptables)" = 1 ]
}
pod() {
  # To completion, on the worker: the scheduler, kubelet, the runtime, DNS and the way to the API's Service are in it.
  halab kubectl $lab -- run probe --image=halab/toolbox:1.0.0 --restart=Never --overrides='{"spec":{"nodeName":"w1"}}' --command -- sh -c 'nslookup kubernetes.default.svc.cluster.local'
  halab kubectl $lab -- wait --for=jsonpath='{.status.phase}'=Succeeded pod/probe --timeout=$((60 * slow))s
  has 10.43.0.1 "$(halab kubectl $lab -- logs probe)"
  halab kubectl $lab -- delete pod probe --wait=false
}
limit() { # on cgroup v2 a pod's memory limit must arrive in the kernel
  halab kubectl $lab -- run bounded --image=halab/toolbox:1.0.0 --restart=Never --overrides='{"spec":{"nodeName":"w1","containers":[{"name":"bounded","image":"halab/toolbox:1.0.0","command":["sleep","3600"],"resources":{"limits":{"memory":"64Mi"}}}]}}'
  halab kubectl $lab -- wait --for=condition=Ready pod/bounded --timeout=$((60 * slow))s
  [ -e /sys/fs/cgroup/cgroup.controllers ] || { echo "cgroup v1: not looked at"; return 0; }
  has 67108864 "$(halab exec $lab w1 -- sh -c 'cat $(find /sys/fs/cgroup/kubepods* -path "*pod*" -name memory.max)')"
  halab kubectl $lab -- delete pod bounded --force --wait=false
}
shaped() { # netem delays, corrupts and reorders here; the output says which means was used. Loss is nftables' everywhere
  local fault
  for fault in "latency --set delay=300ms --set jitter=10ms" "corrupt --set percent=20" "reorder"; do
    # shellcheck disable=SC2086 # a fault and its options
    has netem "$(halab fault inject $lab ${fault%% *} w1 ${fault#"${fault%% *}"} --for 2s)"
  done
  [ -z "$(halab exec $lab w1 -- tc qdisc show dev eth0 | grep netem)" ] || { echo "netem stays"; return 1; }
  has "packets dropped" "$(halab fault inject $lab loss w1 --set percent=30 --for 2s)"
}
power() { # IPMI on the management network, the engine's socket behind it
  has " on$" "$(halab power $lab w1 status)"
  has "eth0" "$(halab exec $lab m -- ip -br address show dev eth0)"
  has "172.29." "$(halab exec $lab m -- ip -br address show dev mgmt0)"
  halab power $lab w1 off
  has " off$" "$(halab power $lab w1 status)"
  halab power $lab w1 on
}
machines() { # booted, whatever Kubernetes does
  halab start 1m1w --name $lab --timeout 60 || echo "(Kubernetes is not ready yet: not waited for)"
  local name
  for name in m w1; do docker exec halab-$lab-$name systemctl is-active basic.target; done
  docker exec halab-$lab-m sh -c "for _ in \$(seq $((6 * slow))); do crm_mon -1 2>/dev/null | grep -q 'partition with quorum' && exit; sleep 1; done; crm_mon -1; exit 1"
}
nothing_left() {
  local left
  left=$(docker ps -aq --filter label=halab.lab; docker network ls -q --filter label=halab.lab; docker volume ls -q --filter label=halab.lab)
  [ -z "$left" ] || { echo "left: $left"; return 1; }
}
load() { if [ -n "$images" ]; then halab images load "$images"; else halab images build; fi; }

trap 'halab destroy '$lab' >/dev/null 2>&1 || true' EXIT
step install halab from the checkout -- install
step images -- load
step doctor -- doctor
step unload br_netfilter -- unbridge
if [ "$part" = host ]; then
  step start the machines of 1m1w -- machines
  step rules see bridged packets -- bridged
  step faults of the network: latency, corruption, reordering by netem, loss by nftables -- shaped
  step power by IPMI -- power
  step destroy -- halab destroy $lab
  step nothing is left -- nothing_left
  echo "ALL OF THE HOST'S PART OK in $SECONDS s"
  exit
fi
step start 1m1w -- halab start 1m1w --name $lab --timeout $((300 * slow))
step rules see bridged packets -- bridged
step status -- halab status $lab
step a pod on the worker resolves names -- pod
step a memory limit reaches the kernel -- limit
step faults of the network: latency, corruption, reordering by netem, loss by nftables -- shaped
step start again changes nothing -- halab start $lab --timeout $((300 * slow))
step power by IPMI -- power
step stop -- halab stop $lab
step start after stop -- halab start $lab --timeout $((300 * slow))
step a pod after the restart -- pod
step destroy -- halab destroy $lab
step nothing is left -- nothing_left
echo "ALL OK in $SECONDS s"
