#!/bin/sh
# What `make peer` compares with: PyTorch from PyPI in a virtual environment, and llama.cpp from its source there.
# Usage: sh tests/peer/setup.sh FOLDER "PEERS" (of torch, llama.cpp). What is there is left alone.
set -e
folder=$1 peers=${2:-torch}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$folder"
cd "$folder"
[ -x venv/bin/python ] || python3 -m venv venv || { echo 'a virtual environment is missing; type: sudo apt-get install -y python3-venv' >&2; exit 1; }
if ! cmp -s "$here/requirements.txt" venv/installed; then
    venv/bin/pip -q install -r "$here/requirements.txt"
    cp "$here/requirements.txt" venv/installed
fi
case " $peers " in *" llama.cpp "*) ;; *) exit 0 ;; esac
version=0.3.36
if [ ! -x llama_speed ]; then
    if [ ! -d llama.cpp ]; then
        venv/bin/pip -q download --no-deps --no-binary llama-cpp-python -d source "llama-cpp-python==$version"
        tar -xzf "source/llama_cpp_python-$version.tar.gz" -C source
        mv "source/llama_cpp_python-$version/vendor/llama.cpp" llama.cpp
    fi
    venv/bin/cmake -S llama.cpp -B llama.cpp/build -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/venv/bin/ninja" -DCMAKE_BUILD_TYPE=Release \
        -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF >llama.cpp/configure.log 2>&1
    venv/bin/cmake --build llama.cpp/build --target llama >llama.cpp/build.log 2>&1 || { tail llama.cpp/build.log >&2; exit 1; }
    cc -O2 -o llama_speed "$here/llama_speed.c" -Illama.cpp/include -Illama.cpp/ggml/include -Lllama.cpp/build/bin -lllama -lggml -lggml-base \
        "-Wl,-rpath,$PWD/llama.cpp/build/bin"
fi
