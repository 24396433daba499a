#!/bin/bash
# Three hosts out of namespaces on this machine, each with its own name, network and process numbers, that share one directory:
# workers of shard=auto, of which one is killed with its host and one stands still beyond its lease. The table is that of one
# run. Needs root and unshare; exit code 5 where namespaces cannot be made. The repository must be built.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
say() { echo "cluster: $*"; }
unshare --uts --net --pid --fork --mount-proc true 2>/dev/null || { say "no namespaces here: cannot tell"; exit 5; }
P=$(realpath "${PALIMPSEST:-build/palimpsest}")
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
[ "$failed" = 0 ] && say "three hosts, one dead, one late, one unlike: the tables of one run"
[ "$failed" = 0 ]
