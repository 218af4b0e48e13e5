#!/bin/bash
# A real S3 server for tests, without root: Ceph's gateway over a monitor and one in-memory OSD.
#
#   s3-server.sh up ROOT DIR MON_PORT S3_PORT    starts it; its pid files lie in DIR/run
#   s3-server.sh down DIR                        stops what those pid files name, and only that
#
# ROOT holds unpacked Debian packages (fetch-debian.sh). Everything listens on 127.0.0.1 alone, data
# lives in the memory of the OSD, and the account is one for tests on a server that nobody else sees.
set -eu

# shellcheck disable=SC2317
stop() {
  local dir=$1 name pid
  for name in client.rgw osd.0 mon.a; do
    pid=$(cat "$dir/run/$name.pid" 2>/dev/null || true)
    # A pid that was given to another process since is not ours.
    if [ -z "$pid" ] || ! grep -qsa "$dir/ceph.conf" "/proc/$pid/cmdline"; then continue; fi
    kill -9 "$pid" || true # There is nothing on a disk to leave tidy.
  done
}

if [ "$1" = down ]; then
  stop "$2"
  exit 0
fi

root=$2 dir=$3 mon_port=$4 s3_port=$5
lib=$(dirname "$(find "$root/usr/lib" -maxdepth 3 -name 'librados.so.2' | head -n 1)")
loader=$(find "$root/usr/lib64" "$root/usr/lib" "$lib" -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
run() {
  local program=$1
  shift
  "$loader" --library-path "$lib:$lib/ceph" --argv0 "$program" "$root/usr/bin/$program" "$@"
}

mkdir -p "$dir"/{mon,osd,rgw,run,log}
fsid=$(cat /proc/sys/kernel/random/uuid)
cat > "$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon_host = [v2:127.0.0.1:$mon_port/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc secure
ms_mon_service_mode = crc secure
ms_bind_ipv6 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_crush_chooseleaf_type = 0
osd_crush_update_on_start = false
mon_allow_pool_size_one = true
osd_pool_default_pg_autoscale_mode = off
mon_max_pg_per_osd = 1000
plugin_dir = $lib/ceph
erasure_code_dir = $lib/ceph/erasure-code
osd_class_dir = $lib/rados-classes
run_dir = $dir/run
admin_socket = $dir/run/\$name.asok
log_file = $dir/log/\$name.log
pid_file = $dir/run/\$name.pid
crash_dir = $dir/log
heartbeat_file =
[mon]
mon_data = $dir/mon
mon_cluster_log_file = $dir/log/cluster.log
[osd]
osd_data = $dir/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$s3_port tcp_nodelay=1
rgw_data = $dir/rgw
rgw_thread_pool_size = 64
CONF

trap 'stop "$dir"' ERR
run monmaptool --create --addv a "[v2:127.0.0.1:$mon_port]" --fsid "$fsid" "$dir/monmap"
run osdmaptool --createsimple 1 "$dir/osdmap" --clobber
run ceph-mon -c "$dir/ceph.conf" -i a --mkfs --monmap "$dir/monmap" --osdmap "$dir/osdmap"
run ceph-mon -c "$dir/ceph.conf" -i a
run ceph-osd -c "$dir/ceph.conf" -i 0 --mkfs
run ceph-osd -c "$dir/ceph.conf" -i 0
run radosgw -c "$dir/ceph.conf" -n client.rgw
run radosgw-admin -c "$dir/ceph.conf" -n client.rgw user create --uid=vectord \
  --display-name=vectord --access-key="$VECTORD_TEST_S3_KEY" --secret="$VECTORD_TEST_S3_SECRET"
