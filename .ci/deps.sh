#!/bin/sh
# Install what building, testing or plotting needs and this machine lacks. What is there is left alone: each package
# is looked for by what it provides. Usage: deps.sh [build] [test] [checks] [plots] [datasets] [models] [mpi]; CC names the compiler to look for.
set -u

missing= # packages to install
optional= # those whose absence stops nothing

need() { # need PACKAGE COMMAND...: the command tells whether what the package provides is there
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
have_header() {
    echo "#include <$1>" | ${CC:-gcc} -E -x c - # CC may be a wrapper and its compiler
}
have_fuzzer() {
    echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -o /dev/null -x c -
}
have_any() { # have_any COMMAND...: one of them is enough
    for tool in "$@"; do
        command -v "$tool" && return
    done
    return 1
}
have_lib() { # pkg-config itself may be missing too
    command -v pkg-config && pkg-config --exists "$1"
}

for part in "$@"; do
    case $part in
    build)
        compiler=${CC:-gcc}
        case $compiler in */* | *' '*) compiler=gcc ;; esac # a path or a wrapper is the caller's own affair
        [ -n "${CC:-}" ] && [ "$compiler" != "$CC" ] || need "$compiler" command -v "$compiler"
        need libc6-dev have_header stdlib.h
        need make command -v make
        need pkg-config command -v pkg-config
        need libopenblas-pthread-dev have_lib openblas
        need zlib1g-dev have_lib zlib
        need liblzma-dev have_lib liblzma
        need libbz2-dev have_header bzlib.h # Debian 12 has no bzip2.pc
        need libjansson-dev have_lib jansson
        need libssl-dev have_lib libcrypto
        need libexpat1-dev have_lib expat
        need libpcre2-dev have_lib libpcre2-8
        need libunistring-dev have_header uninorm.h # it has no .pc
        ;;
    test) need libcmocka-dev have_lib cmocka ;;
    mpi)
        have_lib ompi-c >/dev/null 2>&1 || have_lib mpich >/dev/null 2>&1 || need libopenmpi-dev false
        need openmpi-bin command -v mpirun
        ;;
    datasets) need npm command -v npm ;;
    models)
        need curl have_any curl wget python3
        need unzip have_any unzip bsdtar python3
        need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
        ;;
    checks)
        need valgrind command -v valgrind
        need clang command -v clang
        need clang-format command -v clang-format
        need libclang-rt-dev have_fuzzer
        ;;
    plots) command -v gnuplot >/dev/null 2>&1 || optional=gnuplot-nox ;;
    *)
        echo "deps: unknown part '$part'; use build, test, checks, plots, datasets, models or mpi" >&2
        exit 2
        ;;
    esac
done

wanted=$(echo $missing $optional)
[ -n "$wanted" ] || exit 0
echo "deps: missing: $wanted"

cannot() { # cannot REASON
    if [ -z "$missing" ]; then
        echo "deps: $1; going on without $optional (no plots)"
        exit 0
    fi
    echo "deps: $1. Type this, then try again:" >&2
    echo "  ${sudo_shown}apt-get update && ${sudo_shown}apt-get install -y $wanted" >&2
    exit 1
}

sudo= sudo_shown=
if [ "$(id -u)" != 0 ]; then
    sudo_shown='sudo '
    sudo='sudo -n' # without a terminal nobody can type a password
    if [ -t 0 ]; then sudo=sudo; fi
fi
command -v apt-get >/dev/null 2>&1 || cannot 'there is no apt-get here; install the like of these with your own package manager'
if [ -n "$sudo" ]; then
    command -v sudo >/dev/null 2>&1 || cannot 'not root, and there is no sudo'
    $sudo true 2>/dev/null || cannot 'sudo is refused'
fi

export DEBIAN_FRONTEND=noninteractive
install() {
    echo "deps: ${sudo_shown}apt-get install -y --no-install-recommends $wanted"
    $sudo apt-get install -y -q --no-install-recommends $wanted
}
refresh() {
    echo "deps: ${sudo_shown}apt-get update"
    $sudo apt-get update -q
}
# A fresh machine has no package lists, an old one stale lists: ask for new ones only then.
ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || refresh || cannot 'apt-get update failed'
install || { refresh && install; } || cannot 'apt-get could not install them'
echo 'deps: done'
