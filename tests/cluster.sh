#!/bin/bash
# Three hosts out of namespaces on this machine, each with its own name, network and process numbers, that share one directory:
# workers of shard=auto, of which one is killed with its host and one stands still beyond its lease; a part each, one on a disk
# that is full; and, for a program of `make MPI=1`, mpirun over two hosts with addresses, of which one dies. All make the
# tables and weights of one process. Needs root, unshare and ip; exit code 5 where namespaces cannot be made. The
# repository must be built.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
say() { echo "cluster: $*"; }
unshare --uts --net --pid --fork --mount-proc true 2>/dev/null || { say "no namespaces here: cannot tell"; exit 5; }
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
# The network between hosts is nobody else's.
[ -n "${PAL_CLUSTER:-}" ] || PAL_CLUSTER=1 exec unshare --net --mount bash "$root/tests/cluster.sh" "$@"
ip link set lo up
dir=$(mktemp -d)
hosts=()
finish() {
    for pid in "${hosts[@]}"; do kill -9 "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
failed=0
fail() { say "FAILED: $*"; failed=1; }

words=(eval task=passkey len=1K,4K n=6 depths=0,50,100 model=passkey-local,passkey-infini-delta,passkey-transformer-xl
    plots=0 checkpoint=0.05 threads=1)
# host NAME WORDS...: a host of that name runs the program; when the host dies, everything on it does.
host() {
    local name=$1
    shift
    unshare --uts --net --pid --fork --kill-child --mount-proc \
        sh -c 'hostname "$0" && exec "$@"' "$name" env XDG_CACHE_HOME="$dir/cache-$name" "$P" "$@" >"$dir/$name" 2>&1 &
    hosts+=($!)
}
"$P" "${words[@]}" results="$dir/one" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one run"; }

# ---- Leases: node1 dies, node2 is late ----
for name in node1 node2 node3; do host $name "${words[@]}" results="$dir/run" shard=auto lease=2; done
leases=$dir/run/shards/passkey/leases
for ((i = 0; i < 600; i++)); do
    [ "$(cat "$leases"/*.done 2>/dev/null | cut -d' ' -f1 | sort -u | wc -l)" = 3 ] && break
    sleep 0.05
done
kill -9 "${hosts[0]}"
wait "${hosts[0]}" 2>/dev/null
late=$(pgrep -P "${hosts[1]}" | head -n 1)
kill -STOP "$late" 2>/dev/null
wait "${hosts[2]}" || { cat "$dir/node3"; fail "node3 ended with an error"; }
grep -q 'was left by node[12], process' "$dir/node3" || { cat "$dir/node3"; fail "node3 took nothing over"; }
kill -CONT "$late" 2>/dev/null
wait "${hosts[1]}" || { cat "$dir/node2"; fail "the late host ended with an error"; }
"$P" merge results="$dir/run" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge"; }
for table in passkey-cells.csv passkey-table.md; do cmp "$dir/one/$table" "$dir/run/$table" || fail "another $table"; done

# ---- A part for each host, and one that is unlike ----
host node1 "${words[@]}" results="$dir/dealt" shard=1/3
host node2 "${words[@]}" results="$dir/dealt" shard=2/3
wait "${hosts[3]}" && wait "${hosts[4]}" || fail "node1 and node2"
host node3 "${words[@]}" results="$dir/dealt" shard=3/3 seed=2
wait "${hosts[5]}" && fail "a host with another request was taken"
grep -q 'on node[12] has the request .* but shard 3/3 on node3 has' "$dir/node3" || { cat "$dir/node3"; fail "the unlike host is not named"; }
host node3 "${words[@]}" results="$dir/dealt" shard=3/3
wait "${hosts[6]}" || fail "node3"
"$P" merge results="$dir/dealt" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge of parts"; }
cmp "$dir/one/passkey-cells.csv" "$dir/dealt/passkey-cells.csv" || fail "another table of parts"
say "three hosts, one dead, one late, one unlike: the tables of one run"

# ---- Hosts that last, with addresses and a file system of their own ----
# They see each other's processes: what enters a host by its number must find it.
ip link add pal-br type bridge && ip link set pal-br up || { say "no bridge here: cannot tell"; exit 5; }
for i in 1 2 3; do
    unshare --uts --net --mount sh -c "hostname node$i && mount -t tmpfs -o size=64m none /var/tmp && exec sleep 1000" &
    hosts+=($!)
    echo $! >"$dir/pid-10.77.0.$i"
    ip link add pal-ve$i type veth peer name pal-eth || exit 5
    for ((k = 0; k < 100; k++)); do [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/$$/ns/net)" ] && break; sleep 0.02; done
    ip link set pal-eth netns $! && ip link set pal-ve$i master pal-br up
    nsenter -t $! -n sh -c "ip link set lo up; ip link set pal-eth name eth0; ip addr add 10.77.0.$i/24 dev eth0; ip link set eth0 up"
done
on() { # on NUMBER COMMAND...
    local pid
    pid=$(cat "$dir/pid-10.77.0.$1")
    shift
    nsenter -t "$pid" -u -n -m env TMPDIR=/var/tmp XDG_CACHE_HOME=/var/tmp "$@"
}

# ---- A disk that is full: the part says so, and goes on when there is room; its journal is then carried to the others ----
mkdir "$dir/small"
on 2 mount -t tmpfs -o size=48k none "$dir/small"
small=("${words[@]}" checkpoint=0)
on 2 "$P" "${small[@]}" results="$dir/small" shard=2/2 >"$dir/out" 2>&1
code=$?
[ $code = 4 ] && [ "$(grep -c '^palimpsest: ' "$dir/out")" = 1 ] && grep -q '^palimpsest: .*small/.*No space left' "$dir/out" ||
    { cat "$dir/out"; fail "the full disk is not said (exit code $code)"; }
had=$(on 2 sh -c "grep -hs '\"kind\":\"sample\"' $dir/small/shards/passkey/*.jsonl" | wc -l)
on 2 mount -o remount,size=8m "$dir/small"
on 2 "$P" "${small[@]}" results="$dir/small" shard=2/2 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "going on after a full disk"; }
on 1 "$P" "${small[@]}" results="$dir/carried" shard=1/2 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "the part beside the full disk"; }
on 2 sh -c "cp $dir/small/shards/passkey/*.jsonl $dir/carried/shards/passkey/"
"$P" merge results="$dir/carried" plots=0 >"$dir/out" 2>&1 || { cat "$dir/out"; fail "merge after a full disk"; }
cmp "$dir/one/passkey-cells.csv" "$dir/carried/passkey-cells.csv" || fail "another table after a full disk"
say "a disk that was full after $had samples: nothing is lost"

# ---- MPI over two hosts ----
if ldd "$P" | grep -q libmpi && command -v mpirun >/dev/null; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    # As ssh would: AGENT HOST COMMAND...
    printf '%s\n' '#!/bin/sh' "host=\$1; shift" "exec nsenter -t \"\$(cat '$dir/pid-'\"\$host\")\" -u -n -m sh -c \"\$*\"" >"$dir/agent"
    chmod +x "$dir/agent"
    over() { # over WORDS...: one rank on each of two hosts
        on 1 timeout -k 5 120 mpirun --mca plm_rsh_agent "$dir/agent" --mca btl tcp,self --mca btl_tcp_if_include eth0 \
            --mca oob_tcp_if_include eth0 --bind-to none --host 10.77.0.1:1,10.77.0.2:1 -n 2 "$P" "$@"
    }
    received() { nsenter -t "$(cat "$dir/pid-10.77.0.2")" -n sed -n 's/^ *eth0: *\([0-9]*\).*/\1/p' /proc/net/dev; }
    train=(train recipe=bytes-tiny train_steps=40 log_every=4 checkpoint_every=4 batch_tokens=4K grad_parts=4 threads=1)
    "$P" "${train[@]}" out="$dir/one.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "one training"; }
    before=$(received)
    over "${train[@]}" out="$dir/two.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "a training over two hosts"; }
    cmp "$dir/one.safetensors" "$dir/two.safetensors" || fail "two hosts make other weights"
    crossed=$(($(received) - before)) least=$((40 * ($(stat -c %s "$dir/one.safetensors") - 8192)))
    [ $crossed -ge $least ] || fail "only $crossed bytes went from host to host, less than 40 gradients"
    # A host dies: everything on it.
    over "${train[@]}" out="$dir/dead.safetensors" >"$dir/out" 2>&1 &
    run=$!
    for ((i = 0; i < 1000; i++)); do
        [ ! -e "$dir/dead.safetensors.resume" ] && kill -0 $run 2>/dev/null || break
        sleep 0.02
    done
    host=$(cat "$dir/pid-10.77.0.2")
    for pid in $(pgrep --ns "$host" --nslist net); do [ "$pid" = "$host" ] || kill -9 "$pid" 2>/dev/null; done
    wait $run && fail "the training over a dead host ended well"
    grep -qi 'lost communication\|exited on signal 9\|daemon' "$dir/out" || { cat "$dir/out"; fail "no line about the dead host"; }
    [ ! -e "$dir/dead.safetensors" ] || fail "the host died too late"
    over "${train[@]}" out="$dir/dead.safetensors" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "going on after a dead host"; }
    cmp "$dir/one.safetensors" "$dir/dead.safetensors" || fail "after a dead host: other weights"
    for how in samples layers; do
        over "${words[@]}" ranks=$how results="$dir/over-$how" >"$dir/out" 2>&1 || { cat "$dir/out"; fail "$how over two hosts"; }
        for table in passkey-cells.csv passkey-table.md; do cmp "$dir/one/$table" "$dir/over-$how/$table" || fail "$how over hosts: $table"; done
    done
    say "MPI over two hosts, of which one died: weights and tables of one process; $crossed bytes of a training went across"
else
    say "no MPI: mpirun over hosts is not tried"
fi
[ "$failed" = 0 ]
