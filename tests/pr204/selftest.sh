#!/usr/bin/env bash
# The C peers against each other, without any of our Rust code: every launch x wrapper x peer profile x program, N = 1 to 4.
#
#     tests/pr204/selftest.sh [RUNS [PATTERN]]
#
# PATTERN, a regular expression, chooses cells by their names. One line a cell: how many runs (3), and ok or FAILED with the
# output of the first run that was wrong. Needs `make test-programs` and python3. Exit code 1 if anything failed.
set -u
cd "$(dirname "$0")/../../bin/test/pr204" || exit 2
runs=${1:-3} pattern=${2:-.} cells=0 total=0 failed=0
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT

# The numbers that a program must print in a job of $2 ranks, or nothing.
sum() {
    case $1 in
    turns-stub) echo $((10345000 + 30 * $2)) ;;
    scan-stub) echo 137861043092800 ;;
    idle-stub) echo 0 ;;
    esac
}

# What is wrong with the output of program $1 on $2 ranks, on standard input: every rank must have said its line once.
check() {
    local program=$1 nodes=$2 rank expected
    expected=$(sum "$program" "$nodes")
    cat >"$scratch/checked"
    for ((rank = 0; rank < nodes; rank++)); do
        case $program in
        exemple-stub) expected="^\[Proc $rank : localhost : stdout\] \[$rank\] Coucou, mon adresse de base est : 0x3ff9c000$" ;;
        truc-stub) expected="^\[Proc $rank : localhost : stdout\] number of arguments: 3$" ;;
        plain) expected="^\[Proc $rank : localhost : stdout\] argument 2: b c$" ;;
        *) expected="^\[Proc $rank : localhost : stdout\] rank $rank of $nodes: ok $(sum "$program" "$nodes")$" ;;
        esac
        [ "$(grep -cE "$expected" "$scratch/checked")" = 1 ] || echo "not once: $expected"
    done
}

# cell NAME PROGRAM NODES OPTION...: runs the launcher.
cell() {
    local name=$1 program=$2 nodes=$3 run code wrong arguments=()
    shift 3
    [[ $name =~ $pattern ]] || return 0
    case $program in
    plain) arguments=(a "b c") ;;
    truc-stub) arguments=("$scratch/file" "b c") ;;
    esac
    cells=$((cells + 1))
    for ((run = 1; run <= runs; run++)); do
        total=$((total + 1))
        timeout 30 ./launcher --hosts "$nodes" "$@" "./$program" "${arguments[@]}" >"$scratch/out" 2>"$scratch/err"
        code=$?
        wrong=$(check "$program" "$nodes" <"$scratch/out")
        if [ $code != 0 ] || [ -n "$wrong" ]; then
            failed=$((failed + 1))
            printf '%-60s run %d FAILED (exit code %d)\n%s\n' "$name" "$run" "$code" "$wrong"
            cat "$scratch/out" "$scratch/err"
            return
        fi
    done
    printf '%-60s %d runs ok\n' "$name" "$runs"
}

# refused NAME WORDS OPTION...: idle on two ranks must end with code 1 and these words, without a signal or a deadline.
refused() {
    local name=$1 words=$2 code
    shift 2
    [[ $name =~ $pattern ]] || return 0
    cells=$((cells + 1)) total=$((total + 1))
    timeout 30 ./launcher --hosts 2 "$@" ./idle-stub >"$scratch/out" 2>&1
    code=$?
    if [ $code = 1 ] && grep -qE "$words" "$scratch/out" && ! grep -q "ended by signal\|still ran" "$scratch/out"; then
        printf '%-60s refused ok\n' "$name"
        return
    fi
    failed=$((failed + 1))
    printf '%-60s FAILED (exit code %d), not: %s\n' "$name" "$code" "$words"
    cat "$scratch/out"
}

echo "what truc prints" >"$scratch/file"

# Every launch. wrapped-later and bare-later have sockets that do not listen yet.
declare -A launches=(
    [ref]="--wrap ref --wrapper ./ref/dsmwrap" [seed]="--wrap seed --wrapper ./seed/dsmwrap"
    [rank]="--wrap rank --wrapper ./rank/dsmwrap" [ref-later]="--wrap ref --wrapper ./ref/dsmwrap --listen-later"
    [seed-eager]="--wrap seed --wrapper ./seed/dsmwrap --env PR204_EAGER=1 --listen-later"
    [rank-later]="--wrap rank --wrapper ./rank/dsmwrap --listen-later"
    [bare]="--launch bare" [bare-later]="--launch bare --listen-later" [bare-3-4]="--launch bare --no-variables --listen-later"
    [bare-split]="--launch bare --split 7" [ref-close]="--wrap ref --wrapper ./ref/dsmwrap --close --split 500"
    [seed-split]="--wrap seed --wrapper ./seed/dsmwrap --split 3" [rank-split]="--wrap rank --wrapper ./rank/dsmwrap --split 3"
    [ete7]="--launch ete7" [ete7-split]="--launch ete7 --split 100"
)
for launch in $(printf '%s\n' "${!launches[@]}" | sort); do
    for nodes in 1 2 3 4; do
        for program in plain truc-stub exemple-stub idle-stub scan-stub turns-stub; do
            for profile in bcast seed8; do
                [ $profile = bcast ] || { [ $nodes -le 2 ] && [[ $program =~ ^(scan|turns|idle|exemple) ]]; } || continue
                # shellcheck disable=SC2086
                cell "$launch, $nodes ranks, $program, $profile" $program $nodes ${launches[$launch]} --env PR204_PEER=$profile
            done
        done
    done
done
for program in idle-stub scan-stub turns-stub; do
    cell "bare, 8 ranks, $program, bcast" $program 8 --launch bare
done

# Streams that lie or end early. A lie about the size meets the wrapper in wrap/rank, else the library.
for launch in bare "pr204 --wrap ref --wrapper ./ref/dsmwrap" "pr204 --wrap seed --wrapper ./seed/dsmwrap" \
    "pr204 --wrap rank --wrapper ./rank/dsmwrap"; do
    for lie in nodes-zero nodes-negative nodes-huge; do
        # shellcheck disable=SC2086
        refused "$lie, $launch" "join a job of|number of processes" --launch $launch --hostile $lie
    done
    # shellcheck disable=SC2086
    {
        refused "rank-range, $launch" "be rank|another rank" --launch $launch --hostile rank-range
        refused "no-nul, $launch" "without an end" --launch $launch --hostile no-nul
        refused "port-zero, $launch" "port that is none" --launch $launch --hostile port-zero
        refused "cut 3, $launch" "early|launcher's stream|announced themselves" --launch $launch --cut 3
        refused "cut 8, $launch" "early|launcher's stream" --launch $launch --cut 8
        refused "cut 1500, $launch" "early|launcher's stream" --launch $launch --cut 1500
    }
done
refused "nodes-zero, ete7" "join a job of|DSMEXEC_RANKNUM" --launch ete7 --hostile nodes-zero
refused "rank-range, ete7" "be rank" --launch ete7 --hostile rank-range
refused "no-nul, ete7" "without an end" --launch ete7 --hostile no-nul
refused "port-zero, ete7" "port that is none" --launch ete7 --hostile port-zero
refused "cut 1500, ete7" "early" --launch ete7 --cut 1500

# What was said on the wire, byte for byte, against bytes packed by another program from the description.
for form in ref seed rank bare ete7; do
    for nodes in 1 2 4; do
        [[ "capture, $form, $nodes ranks" =~ $pattern ]] || continue
        cells=$((cells + 1)) total=$((total + 1)) wrong="the launcher failed"
        # shellcheck disable=SC2086
        timeout 30 ./launcher --hosts $nodes ${launches[$form]} --capture "$scratch/capture" ./idle-stub >"$scratch/out" 2>&1 &&
            wrong=$(python3 ../../../tests/pr204/capture.py $form $nodes "$scratch/capture" 2>&1) || {
            failed=$((failed + 1))
            printf 'capture, %s, %d ranks FAILED: %s\n' $form $nodes "$wrong"
            continue
        }
        printf '%-60s bytes ok\n' "capture, $form, $nodes ranks"
    done
done

printf '%d cells, %d runs, %d failed\n' "$cells" "$total" "$failed"
[ "$failed" = 0 ] && [ "$cells" -gt 0 ]
