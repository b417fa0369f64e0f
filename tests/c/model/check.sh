#!/bin/sh
# check.sh holds|caught FLAG...: run the model in one setting, in all its states, or until it fails.
# Called by the Makefile, which exports MODEL, BUILD, SPIN and CC.
set -eu
expected=$1
shift
optimise=-O2
[ "$expected" = holds ] || optimise=-O0 # it fails sooner than the compiler would optimise
folder=$BUILD/$expected/$(echo "$*" | tr -c 'A-Za-z0-9\n' _)
mkdir -p "$folder"
cd "$folder" # spin and pan use the current directory

give_up() {
    cat ./*.out
    echo "model: $1 $2"
    exit 255 # xargs then stops
} >&2

"$SPIN" "$@" -a "$MODEL" >spin.out 2>&1 || give_up "not understood with" "$*"
"$CC" "$optimise" -DSAFETY -DCOLLAPSE -o pan pan.c >cc.out 2>&1 || give_up "not compiled with" "$*"
./pan -n -m100000 >pan.out 2>&1 || true # the findings are in its output

errors=$(sed -n 's/.*errors: //p' pan.out)
states=$(awk '/states, stored/ {printf "%d", $1}' pan.out)
case $expected in
holds)
    [ "$errors" = 0 ] || give_up "is wrong with" "$*"
    ! grep -Eq 'not completed|depth too small|out of memory' pan.out ||
        give_up "is too large with" "$*"
    memory=$(awk '/total actual memory/ {printf "%d", $1}' pan.out)
    seconds=$(sed -n 's/.*elapsed time \([0-9.]*\).*/\1/p' pan.out)
    printf 'model: holds in all %10d states (%5.1f s, %4d MB) of %s\n' \
        "$states" "$seconds" "$memory" "$*"
    ;;
caught)
    case $errors in [1-9]*) ;; *) give_up "did not catch" "$*" ;; esac
    printf 'model: caught %s: %s\n' "$*" "$(sed -n 's/^pan:1: \([^(]*\) (.*/\1/p' pan.out)"
    ;;
esac
