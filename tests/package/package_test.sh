#!/usr/bin/env bash
# package_test.sh CMAKE SOURCE_DIR BUILD_DIR MPIEXEC
# Installs the build, and builds examples/own_loop with find_package(Lockstep) alone; two ranks of it must end with the
# same parameters, and a single process must run too. The environment comes from lockstep_add_script_test.
set -euo pipefail
cmake=$1 source=$2 build=$3 mpiexec=$4

work=$build/package_test
prefix=$work/prefix
rm -rf "$work"
mkdir -p "$work"
clean_up() { if (($1 == 0)); then rm -rf "$work"; else echo "package_test: failed; what it made is in $work" >&2; fi; }
trap 'clean_up $?' EXIT

fail() { echo "package_test: $*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$prefix" >"$work/install.log" || { cat "$work/install.log"; fail "cmake --install"; }

# Nothing of the source or build tree may be needed: no path of theirs in the package, and every header that an
# installed header includes is installed as well.
config=$prefix/lib/cmake/Lockstep
[[ -d $config ]] || config=$(dirname "$(find "$prefix" -name LockstepConfig.cmake)")
if grep -n "$source/\(comm\|sampler\|trainer\|launch\)\|$build/" "$config"/LockstepTargets*.cmake; then
  fail "the installed targets name the source or build tree"
fi
if grep -n "lockstep_compile_options" "$config"/LockstepTargets*.cmake; then
  fail "the installed targets carry our own warning flags"
fi
while IFS=: read -r header include; do
  include=${include#*\"}
  include=${include%%\"*}
  [[ -e $prefix/include/lockstep/$include ]] || fail "$header includes \"$include\", which is not installed"
done < <(grep -rHo '^#include "[^"]*"' "$prefix/include/lockstep")

# Our CUDA code is there for each generation of GPUs, and as PTX for those to come.
library=$(find "$prefix" -name liblockstep_comm.a)
for code in sm_80 sm_90 sm_100 compute_100; do
  [[ -n ${TORCH_CUDA_ARCH_LIST-} ]] || grep -qaw "$code" "$library" || fail "liblockstep_comm.a has no code for $code"
done

# Installed programs start from their new place.
for program in "$prefix"/bin/*; do
  [[ -e $program ]] || continue
  unresolved=$(ldd "$program" | grep 'not found' || true)
  [[ -z $unresolved ]] || fail "$program does not find its libraries: $unresolved"
  "$program" --help >/dev/null || fail "$program --help"
done

launcher=()
command -v ccache >/dev/null && launcher=(-D CMAKE_CXX_COMPILER_LAUNCHER=ccache)
"$cmake" -S "$source/examples/own_loop" -B "$work/own_loop" -G Ninja \
  -D CMAKE_PREFIX_PATH="$prefix" -D LOCKSTEP_VENV="$LOCKSTEP_VENV" "${launcher[@]}"
"$cmake" --build "$work/own_loop"

# Our CUDA code takes LibTorch's run time, and no static one beside it.
if grep -o 'cudart_static' "$work/own_loop/build.ninja"; then fail "own_loop is linked with a CUDA run time of its own"; fi

"$work/own_loop/own_loop" | tee "$work/one.txt"
grep -q '^rank 0 of 1: ' "$work/one.txt" || fail "a single process did not run as rank 0 of 1"

"$mpiexec" -n 2 "$work/own_loop/own_loop" | sort | tee "$work/two.txt"
[[ $(cut -d: -f1 "$work/two.txt") == $'rank 0 of 2\nrank 1 of 2' ]] || fail "mpiexec -n 2 did not run as two ranks"
mapfile -t losses < <(sed 's/.*loss \([^,]*\),.*/\1/' "$work/two.txt")
mapfile -t hashes < <(sed 's/.*parameters //' "$work/two.txt" | sort -u)
[[ ${losses[0]} != "${losses[1]}" ]] || fail "both ranks drew the same data, so that equal parameters prove nothing"
((${#hashes[@]} == 1)) || fail "the ranks ended with different parameters: ${hashes[*]}"
[[ ${hashes[0]} != "$(sed 's/.*parameters //' "$work/one.txt")" ]] || fail "two ranks trained as one alone would have"
