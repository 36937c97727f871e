#!/usr/bin/env bash
# What all measurements share; sourced by their drivers, which set `measurement` to their name, and define
# `usage`, and `start SERVER WORDS…` where they have idle servers measured.
# shellcheck disable=SC2034,SC2154  # what is set here is used there, and the other way round

# Numbers with a point, whoever runs this.
export LC_ALL=C

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root

say() { printf '%s: %s\n' "$measurement" "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

# ---------------------------------------------------------------- options

profile=release
build=yes

# Reads what is first in `$@` as an option that all measurements have, and fails where it is none. Sets
# `taken` to how many words it is.
common_option() {
    taken=1
    case $1 in
    --profile)
        [[ $# -ge 2 ]] || fail "--profile needs a name, such as release"
        profile=$2
        taken=2
        ;;
    --no-build) build=no ;;
    --help | -h)
        usage
        exit 0
        ;;
    *)
        usage >&2
        fail "unknown option \`$1\`"
        ;;
    esac
}

# Sets `chosen` to those of the names `$3` and on that are in the list `$2`, in their own order; `$1` is the
# option that has the list.
choose() {
    local option=$1 list=$2 wanted known
    shift 2
    chosen=()
    for known in "$@"; do
        if [[ ,$list, == *,$known,* ]]; then chosen+=("$known"); fi
    done
    for wanted in ${list//,/ }; do
        [[ " $* " == *" $wanted "* ]] || fail "$option: no \`$wanted\`; there are $*"
    done
    [[ ${#chosen[@]} -gt 0 ]] || fail "$option names none; there are $*"
}

# ---------------------------------------------------------------- programs, place, cores

# Sets `bin` to where the programs `$@` are, of `profile`; builds them where `build` is yes.
find_programs() {
    local target=${CARGO_TARGET_DIR:-$root/target} directory=$profile name
    local packages=(-p benches)
    if [[ " $* " == *" doorward "* ]]; then packages+=(-p doorward); fi
    # cargo's own name for it.
    if [[ $profile == dev ]]; then directory=debug; fi
    if [[ $build == yes ]]; then
        say "building with profile $profile"
        (cd "$root" && cargo build --profile "$profile" "${packages[@]}" "${@/#/--bin=}" >&2)
    fi
    bin=$target/$directory
    for name in "$@"; do
        [[ -x $bin/$name ]] || fail "$bin/$name is not there: leave out --no-build"
    done
}

# The first two cores that we may use: the server has one for itself, all others the other. Sets
# `cores_text`, where `$1` is the server and `$2` the others.
find_cores() {
    local program list part from core usable=()
    server_core=()
    others_core=()
    cores_text="not pinned: fewer than two cores"
    for program in taskset setpriv lscpu; do
        command -v "$program" >/dev/null || fail "$program is missing: install util-linux"
    done
    list=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
    for part in ${list//,/ }; do
        from=${part%-*}
        for ((core = from; core <= ${part#*-}; core++)); do usable+=("$core"); done
    done
    if [[ ${#usable[@]} -ge 2 ]]; then
        server_core=(taskset -c "${usable[0]}")
        others_core=(taskset -c "${usable[1]}")
        cores_text="$1 alone on core ${usable[0]}, $2 on core ${usable[1]}"
    fi
}

# Everything is in one directory, and ends with this script.
make_place() {
    place=$(mktemp -d "${TMPDIR:-/tmp}/$measurement-XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

clean_up() {
    local pid
    # Only those that run: another process may have the number of one that ended.
    for pid in $(jobs -pr); do kill -KILL "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    # A database may be writing its last when it is asked to end.
    rm -rf "$place" || { sleep 1 && rm -rf "$place"; }
}

# Not secret: they guard nothing, and are gone with the directory.
readonly secret=measurements-only-0123456789abcdef0123456789
readonly password=measured-lanterns-on-the-quay

# ---------------------------------------------------------------- servers

# Whatever ends this script, SIGKILL included, ends the servers.
readonly tied=(setpriv --pdeathsig KILL --)

# How long a server may take to start or to end; under valgrind it takes long.
readonly patience_s=120

# Waits until a command succeeds, while the process it waits for runs.
wait_for() {
    local pid=$1 until=$((SECONDS + patience_s))
    shift
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || return 1
        [[ $SECONDS -lt $until ]] || return 1
        sleep 0.05
    done
}

has_line() { [[ $(wc -l <"$1") -gt 0 ]]; }

accepts() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

is_ready() {
    local status
    [[ -s $data/run.json ]] || return 1
    status=$( (
        exec 3<>"/dev/tcp/127.0.0.1/$(ops_port)" || exit 1
        printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
        IFS= read -r -t 10 line <&3 && printf '%s' "$line"
    ) 2>/dev/null) || return 1
    [[ $status == "HTTP/1.1 200"* ]]
}

# run.json: {"public":["127.0.0.1:PORT"],"ops":"127.0.0.1:PORT"}, whatever the spaces.
ops_port() { tr -d ' \n' <"$data/run.json" | sed -n 's/.*"ops":"[^"]*:\([0-9]*\)".*/\1/p'; }

public_address() { tr -d ' \n' <"$data/run.json" | sed -n 's/.*"public":\["\([^"]*\)".*/\1/p'; }

# Starts the program `$1`, which prints where it is and runs until it is told to end, on the core of all
# others. Sets `where`, and `pid`.
start_beside() {
    : >"$place/$1.out"
    TMPDIR=$place "${tied[@]}" "${others_core[@]}" "$bin/$1" >"$place/$1.out" &
    pid=$!
    wait_for "$pid" has_line "$place/$1.out" || fail "$1 does not start"
    where=$(head -n 1 "$place/$1.out")
}

start_origin() {
    start_beside origin
    origin=$where
}

# Starts Doorward, with `config` and `data`; the words before its command line are the arguments
# (taskset, valgrind). Sets `address` and `pid`. Its log goes to a file, so that writing it costs
# what it costs.
start_doorward() {
    rm -f "$data/run.json"
    as_installed "${tied[@]}" "$@" "$bin/doorward" run --workers 1 --config "$config" \
        --data-dir "$data" --listen 127.0.0.1:0 --ops-listen 127.0.0.1:0 \
        >/dev/null 2>>"$place/doorward.log" &
    pid=$!
    wait_for "$pid" is_ready || show_and_fail "$place/doorward.log" "doorward does not become ready"
    address=$(public_address)
}

# Becomes a program that knows nothing of the caller's environment: that could hold settings of a real
# installation. To be called in the background, or in a subshell.
as_installed() {
    exec env -i PATH="$PATH" HOME="$place" JWT_SECRET_KEY="$secret" \
        DOORWARD_ADMIN_PASSWORD="$password" "$@"
}

show_and_fail() {
    tail -n 20 "$1" >&2
    fail "$2"
}

# Stops a server, which must end well: only then has callgrind written what it counted.
stop() {
    local code=0
    kill -TERM "$1" 2>/dev/null || true
    wait_for_end "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" || code=$?
    [[ $code -eq 0 ]] || fail "a server ended with $code on SIGTERM"
}

wait_for_end() {
    local until=$((SECONDS + patience_s))
    while kill -0 "$1" 2>/dev/null; do
        [[ $SECONDS -lt $until ]] || return 1
        sleep 0.05
    done
}

# The first start makes the database and hashes a password; no start that is measured should.
settle_doorward() {
    start_doorward "${server_core[@]}"
    stop "$pid"
}

# ---------------------------------------------------------------- instructions

# Sets `counted` to the words before a command line that have its instructions counted.
find_counted() {
    command -v valgrind >/dev/null || fail "valgrind is missing: ./dev bench $measurement installs it"
    counted=(valgrind --tool=callgrind --callgrind-out-file="$place/callgrind.out"
        --log-file="$place/valgrind.log")
}

# Sets `total` to what the process executed that has just ended.
read_total() {
    total=$(sed -n 's/^summary: \([0-9]*\)$/\1/p' "$place/callgrind.out")
    rm -f "$place/callgrind.out"
    [[ -n $total ]] || show_and_fail "$place/valgrind.log" "callgrind wrote no summary"
}

# Sets `idle_per_ms` to what a server executes each millisecond while nobody asks it anything. Under
# valgrind a request takes some thirty times as long as it should, and so is charged that much more
# of what happens by the clock: it is taken off again.
measure_idle() {
    local server=$1 few seconds
    for seconds in "$idle_few_s" "$idle_many_s"; do
        few=${total:-0}
        start "$server" "${counted[@]}"
        sleep "$seconds"
        stop "$pid"
        read_total
    done
    idle_per_ms=$(((total - few) / ((idle_many_s - idle_few_s) * 1000)))
    if [[ $idle_per_ms -lt 0 ]]; then idle_per_ms=0; fi
    say "idle, $server: $idle_per_ms instructions each millisecond"
}

# ---------------------------------------------------------------- figures

value_of() { sed -n "s/^$1=//p" <<<"$2"; }

# Median, minimum and maximum of numbers, one a line, in the given format.
spread() {
    sort -g | awk -v f="$1" '
        { value[NR] = $1 }
        END {
            if (NR == 0) { printf "–"; exit }
            middle = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
            printf f " (" f "–" f ")", middle, value[1], value[NR]
        }'
}

# Rounds are lines of `$place/rounds`: the round, the case, and its figures. Here the median of the
# figure `$2` of the case `$1`, in the format `$3`.
column() { awk -v name="$1" -v at="$2" '$2 == name { print $at }' "$place/rounds" | spread "$3"; }

# The ratio of a figure of two cases, within each round: `ratios CASE BASE [FIGURE]`.
ratios() {
    awk -v name="$1" -v base="$2" -v at="${3:-3}" '
        $2 == base { cost[$1] = $at }
        $2 == name && $1 in cost { print $at / cost[$1] }' "$place/rounds" | spread %.2f
}

ratio() {
    if [[ -z $2 ]]; then echo –; else awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; fi
}

# What was measured, on what, with what.
machine() {
    printf '### %s, %s\n\n' "$1" "$(date -u +%Y-%m-%d)"
    printf -- '- machine: %s, %s cores, Linux %s\n' \
        "$(lscpu | sed -n 's/^Model name:[[:space:]]*//p' | head -n 1)" "$(nproc)" "$(uname -r | cut -d. -f1,2)"
    printf -- '- programs: profile %s, %s\n' "$profile" "$(rustc --version 2>/dev/null || echo 'rustc unknown')"
}
