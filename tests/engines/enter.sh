#!/bin/bash
# PID 1 of another engine's namespaces: puts it on its own root and runs it until standard input ends.
#
#   unshare --mount --net --pid --fork --kill-child bash enter.sh ROOT CONFIGURATION FOLDER…
#
# The FOLDERs are at the same path inside and outside: the engine's socket, which a lab's controllers are given, and its data.
set -eu
root=$1 configuration=$2
shift 2
mount --bind "$root" "$root" # a mount point of its own, as pivot_root wants it
mount --rbind /sys "$root/sys" # with the host's cgroups
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
for folder; do
  mkdir -p "$root$folder"
  mount --bind "$folder" "$root$folder"
done
# Not chroot: containerd looks for the mount that holds its root, and finds none for `/` there.
cd "$root"
mkdir run/before
pivot_root . run/before
umount -l /run/before
ip link set lo up # labs publish their API on 127.0.0.1
exec 3<&0 # what runs in the background loses standard input
dockerd --config-file "$configuration" 3<&- &
engine=$!
# The runner holds the other end of 3; when it closes that, the engine gets its signal.
(cat <&3 >/dev/null && kill -TERM "$engine") &
wait "$engine" # not exec: PID 1 buries the containers' shims, which bash does meanwhile
