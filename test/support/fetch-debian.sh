#!/bin/bash
# Unpacks packages of Debian, with what they depend on, under DIR/root: no root, no chroot, no dpkg.
# The mirror is the one of the machine's own apt sources.
#
#   fetch-debian.sh [--own-suite SUITE] [--without NAMES] DIR PACKAGE...
#
# DIR/root appears at the end, whole: a run that was cut off leaves none. They are of sid, with sid's C
# library and its loader; with --own-suite they are of SUITE, which must be the machine's own, without a
# C library, and run with the machine's. --without leaves out packages too: an expression, as in `libllvm[0-9]*|libz3-4`.
set -euo pipefail

suite=${VECTORD_TEST_DEBIAN_SUITE:-sid}
without=
while [[ $1 == --* ]]; do
  case $1 in
    --own-suite) suite=$2 without+='|libc6|libc-bin' ;;
    --without) without+="|$2" ;;
    *) echo "unknown option $1" >&2; exit 1 ;;
  esac
  shift 2
done
dir=$1
work=$dir/work
shift

for tool in apt-get dpkg-deb curl; do
  command -v "$tool" >/dev/null || { echo "$tool is not installed" >&2; exit 1; }
done
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null |
  grep -v security | head -n 1 || true)
[ -n "$mirror" ] || { echo "the machine's apt sources name no Debian mirror" >&2; exit 1; }

rm -rf "$work"
mkdir -p "$work"/{lists/partial,cache/archives/partial,etc/preferences.d,etc/apt.conf.d,root}
: > "$work/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
  > "$work/etc/sources.list"
apt=(apt-get -o "Dir=$work" -o "Dir::Etc=$work/etc" -o "Dir::Etc::sourcelist=$work/etc/sources.list"
  -o Dir::Etc::sourceparts=- -o "Dir::State=$work" -o "Dir::State::lists=$work/lists"
  -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
  -o Acquire::Check-Valid-Until=false -o APT::Install-Recommends=false -o Debug::NoLocking=1
  -o APT::Sandbox::User=root)
"${apt[@]}" update >/dev/null

# What a program needs to run here, less what only an installed system needs.
system='ceph-volume|systemd|udev|perl|python3[^/]*|libpython[^/]*|lvm2|cryptsetup|sudo|parted|gdisk'
system+='|smartmontools|nvme-cli|dmsetup|passwd|login|util-linux|coreutils|bash|dash|dpkg|apt|tar'
system+='|mount|e2fsprogs|hdparm|binutils[^/]*|psmisc|procps|init[^/]*|adduser|debconf|sysvinit[^/]*'
system+='|findutils|grep|sed|gzip|base-[^/]*|bsd[^/]*|cron[^/]*|diffutils|hostname|ncurses-[^/]*'
system+='|media-types|tzdata|uuid-runtime|xfsprogs|iproute2|kmod|logrotate|openssl'
system+='|openssl-provider-legacy|ca-certificates|ceph-mgr[^/]*|netbase|sensible-utils|wget'
system+=$without
"${apt[@]}" -y --print-uris install "$@" | sed -n "s/^'\([^']*\)'.*/\1/p" |
  grep -vE "/($system)_" > "$work/uris"

cd "$work/cache/archives"
xargs -P 6 -n 1 curl -sSfLO --retry 5 --retry-all-errors < "$work/uris"
for package in *.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work/root" --keep-directory-symlink \
    --exclude='./usr/share/doc*' --exclude='./usr/share/man*' --exclude='./usr/share/locale*'
done
rm -rf "$dir/root"
mv "$work/root" "$dir/root"
rm -rf "$work"
