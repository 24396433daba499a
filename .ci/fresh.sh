#!/bin/bash
# Type README's first commands on a bare Debian, word for word, as root and as a user with sudo; the tests once, as the
# user, since the stage `test` is root's. The system is made by debootstrap from this machine's own package source and kept
# in a cache; it is made anew after two weeks. Left out, with a line that says so, where it cannot be made: not root, no
# debootstrap, no package source.
set -u
cd "$(dirname "$0")/.." || exit 1
. .ci/rules.sh
suite=bookworm
cache=${XDG_CACHE_HOME:-/var/tmp}/palimpsest-fresh

skip() { echo "fresh: SKIPPED, nothing was tried on a bare system: $1"; exit 0; }
fail() { echo "fresh: FAILED: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || skip 'only root can make one'
command -v debootstrap >/dev/null || { apt-get install -y -q debootstrap || { apt-get update -q && apt-get install -y -q debootstrap; }; } >/dev/null 2>&1
command -v debootstrap >/dev/null || skip 'debootstrap is missing and cannot be installed'
unshare --mount --pid --fork --mount-proc true 2>/dev/null || skip 'mounts cannot be made here'

# ---- The bare system ----

# Where this machine gets its packages: "URI RELEASE COMPONENT" of the suite and its updates.
sources=$(apt-get indextargets --format '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
    awk -v suite="$suite" '$1 == "Packages" && $4 == "main" && $3 ~ ("^" suite) { print $2, $3, $4 }' | sort -u)
uri=$(awk -v suite="$suite" '$2 == suite { print $1; exit }' <<<"$sources")
[ -n "$uri" ] || skip "this machine has no package source for $suite"
include=
case $uri in https:*) include=--include=ca-certificates ;; esac

base=$cache/$suite-$(printf '%s\n' "$sources" "$(dpkg --print-architecture)" | cksum | cut -d' ' -f1)
mkdir -p "$cache/archives/partial"
[ -z "$(find "$base" -maxdepth 0 -mtime +14 2>/dev/null)" ] || rm -rf "$base"
if [ ! -d "$base" ]; then
    echo "fresh: making a bare $suite in $cache"
    rm -rf "$base.new"
    debootstrap --variant=minbase $include --cache-dir="$cache/archives" "$suite" "$base.new" "$uri" >"$cache/log" 2>&1 ||
        { tail -n 3 "$cache/log"; rm -rf "$base.new"; skip 'debootstrap failed'; }
    rm -f "$base.new"/var/cache/apt/archives/*.deb "$base.new"/var/lib/apt/lists/*_* 2>/dev/null
    sed 's/^/deb /' <<<"$sources" >"$base.new/etc/apt/sources.list"
    # How this machine reaches them: proxies, timeouts, checks.
    apt-config dump | grep -E '^Acquire::(http|https|Retries|Check)' >"$base.new/etc/apt/apt.conf.d/90machine"
    case $uri in https:*) cp /etc/ssl/certs/ca-certificates.crt "$base.new/etc/ssl/certs/" 2>/dev/null ;; esac
    touch "$base.new"
    mv "$base.new" "$base"
fi

# ---- What README says ----

readme() { # readme PATTERN: the first command of README.md that matches
    awk -v tools='make|sudo|apt-get' -f .ci/extract.awk README.md | cut -f2 | grep -E -m1 -- "$1"
}
prepare=$(readme '^(sudo )?apt-get .*install.* make')
# Where it has no command for that, it says what a stranger must have.
[ -n "$prepare" ] || ! grep -q '`git` and `make`' README.md || prepare='apt-get install -y git make'
first=$(readme '^make eval')
second=$(readme '^make test')
[ -n "$prepare" ] && [ -n "$first" ] && [ -n "$second" ] || fail 'README.md lacks the commands that a stranger types first'
decide "$first"
first_typed=$typed

# ---- Typing it ----

root=$cache/root
inside() { # inside USER COMMAND: in the system at $root, without anything of this session
    unshare --mount --pid --fork --mount-proc bash -c '
        mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/tmp" &&
            mount --bind "$4" "$1/var/cache/apt/archives" || exit 99
        exec chroot "$1" env -i HOME="/$5" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            su -s /bin/sh "$2" -c "cd \"/$5/palimpsest\" && $3"' - \
        "$root" "$1" "$2" "$cache/archives" "$([ "$1" = root ] && echo root || echo "home/$1")" </dev/null
}
typed() { # typed USER COMMAND WORD: it must end well and print the word
    local start
    start=$(date +%s)
    echo "fresh: $1 types: $2"
    inside "$1" "$2" >"$cache/log" 2>&1 || { tail -n 25 "$cache/log"; fail "$1: $2"; }
    grep -qE -- "$3" "$cache/log" || { tail -n 25 "$cache/log"; fail "$1: $2 prints no $3"; }
    echo "fresh: ... $(($(date +%s) - start)) s, $(grep -E -- "$3" "$cache/log" | tail -n 1)"
}
machine() { # machine USER: a system nobody has touched, with a clone of this commit
    rm -rf "$root"
    cp -a "$base" "$root"
    cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null
    local home=$root/root
    if [ "$1" != root ]; then
        echo "fresh: installing sudo and a user"
        inside root "cd / && apt-get update -q && apt-get install -y -q --no-install-recommends sudo && useradd -m $1 && \
            echo '$1 ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/$1" >"$cache/log" 2>&1 || { tail -n 5 "$cache/log"; fail 'no user with sudo'; }
        rm -f "$root"/var/lib/apt/lists/*_* 2>/dev/null
        home=$root/home/$1
    fi
    git clone -q --no-hardlinks . "$home/palimpsest" && git -C "$home/palimpsest" checkout -q --detach "$(git rev-parse HEAD)" || fail 'no clone'
    [ "$1" = root ] || chown -R --reference="$home" "$home/palimpsest"
}
mkdir -p "$base/root/palimpsest"
trap 'rm -rf "$root"' EXIT
for user in root stranger; do
    machine "$user"
    # Root has no sudo and needs none. A machine from nothing has no package lists; whoever wrote none into README meant
    # a machine that has them.
    plain=${prepare//sudo /}
    [[ $plain == *update* ]] || plain="apt-get update && $plain"
    [ "$user" = root ] || plain=${plain//apt-get/sudo apt-get}
    typed "$user" "$plain" make
    typed "$user" "$first_typed" 'wrote .*passkey-table\.md'
    [ "$user" = root ] || typed "$user" "$second" '^[0-9]+ passed, 0 failed'
done
echo "fresh: a bare $suite builds and evaluates as root and as a user with sudo, and passes its tests"
