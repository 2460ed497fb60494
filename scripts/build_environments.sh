#!/usr/bin/env bash
# Builds the project's Python environments from their hashed locks:
#
#   airflow   Airflow, the local stack and the tests   include/local/requirements.lock    -> .venvs/airflow
#   dbt       dbt                                      include/dbt/requirements.lock      -> .venvs/dbt
#   quality   Soda and Great Expectations              include/quality/requirements.lock  -> .venvs/quality
#   lint      what `make lint` runs                    include/local/lint-requirements.lock -> .venvs/lint
#   baseline  scikit-learn, for `make baseline`         include/baseline/requirements.lock -> .venvs/baseline
#
# They are separate because their dependencies exclude each other. The image, make, CI and people
# who run Airflow on their own all use this script, so all get the same versions. None is .venv: that
# is the Astro CLI's in standalone mode, which puts other versions there and deletes it.
#
#   scripts/build_environments.sh [--into DIR] NAME...
#   scripts/build_environments.sh --lock          refresh every lock to the newest allowed versions
#
# With --into the environments are DIR/NAME. An environment whose lock has not changed costs
# milliseconds. Settings: GAMEBOT_PYTHON (interpreter to use). Needs no bash newer than macOS's 3.2.
set -euo pipefail

UV_FLOOR=0.9          # the oldest uv on PATH that understands the locks

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$project"

# A person's activated environment or module path must not leak into the ones built here.
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME CONDA_PREFIX
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1
# The machine's certificates, where it has any, know the proxy of a company; uv's own do not.
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -s "$bundle" ]; then export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"; fi
done
# uv does not read pip's settings: whoever has told only pip about a mirror means uv too.
if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    export UV_DEFAULT_INDEX="$PIP_INDEX_URL"
fi

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

lock_of() {
    case "$1" in
        airflow) echo include/local/requirements.lock ;;
        dbt) echo include/dbt/requirements.lock ;;
        quality) echo include/quality/requirements.lock ;;
        lint) echo include/local/lint-requirements.lock ;;
        baseline) echo include/baseline/requirements.lock ;;
        *) die "unknown environment '$1'; there are airflow, dbt, quality, lint and baseline" ;;
    esac
}

folder_of() {
    echo "${into:-$project/.venvs}/$1"
}

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

# Being on PATH is not enough: version managers put shims there that refuse to run.
find_python() {
    if [ -n "${GAMEBOT_PYTHON:-}" ]; then
        supported "$GAMEBOT_PYTHON" || die "GAMEBOT_PYTHON=$GAMEBOT_PYTHON is not a working Python 3.11, 3.12 or 3.13"
        command -v "$GAMEBOT_PYTHON"
        return
    fi
    local candidate
    for candidate in python3.12 python3.13 python3.11 python3; do
        if supported "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "no Python 3.11, 3.12 or 3.13 on PATH. Install one (Debian, Ubuntu: apt install python3 python3-venv;" \
        "Fedora: dnf install python3.12; macOS: brew install python@3.12) or name it: GAMEBOT_PYTHON=/path/to/python3.12"
}

# One builder at a time, and uv is built too. The lock belongs to file descriptor 9 of this shell, so
# it outlives the Python that takes it (macOS has no flock command) and vanishes with this process
# however it ends.
wait_for_other_builders() {
    mkdir -p "${into:-.venvs}"
    exec 9>"${into:-.venvs}/.lock"
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

recent_enough() {
    local version
    version=$("$1" --version 2>/dev/null | awk '{print $2}') || return 1
    awk -v have="$version" -v floor="$UV_FLOOR" 'BEGIN {
        split(have, h, "."); split(floor, f, ".")
        exit !(h[1] > f[1] || (h[1] == f[1] && h[2] + 0 >= f[2] + 0)) }'
}

# What is installed when PATH has no uv: that of the Airflow environment, by its hashes as all else.
locked_uv() {
    awk '/^uv==/ { found = 1 } found { print } found && !/\\$/ { exit }' include/local/requirements.lock
}

find_uv() {
    local own="${into:-$project/.venvs}/uv"
    if recent_enough uv; then
        command -v uv
        return
    fi
    if ! recent_enough "$own/bin/uv"; then
        say "Installing uv into $own"
        "$python" -m venv --clear "$own" >&2 ||
            die "$python cannot make virtual environments. Install its venv module" \
                "(Debian, Ubuntu: apt install python3-venv) or uv, then run this again"
        locked_uv >"$own/uv.lock"
        "$own/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
            --only-binary :all: --requirement "$own/uv.lock" >&2 ||
            die "uv could not be installed: is the package registry reachable?"
    fi
    echo "$own/bin/uv"
}

# An environment is good when the stamp written last into it says what it was built from: this
# folder (scripts hold absolute paths), this interpreter setting and exactly this lock.
stamp() { printf '%s\n%s\n' "$1" "${GAMEBOT_PYTHON:-}"; cat "$2"; }
is_fresh() { [ -x "$1/bin/python" ] && stamp "$1" "$2" | cmp -s - "$1/.built-from"; }

build() {
    local name=$1 lock=$2 folder=$3 started=$SECONDS
    say "Building the $name environment ($(grep -c '^[a-z].*==' "$lock") packages) in $folder"
    mkdir -p "$folder"
    rm -f "$folder/.built-from"
    "$uv" venv --quiet --clear --python "$python" "$folder"
    # Compiled here once, because not every user of an environment may write into it, and
    # without bytecode Airflow and dbt take twice as long to start.
    "$uv" pip install --quiet --python "$folder/bin/python" --require-hashes --no-deps --only-binary :all: \
        --compile-bytecode --requirements "$lock" ||
        die "the $name environment could not be built from $lock (see above)"
    stamp "$folder" "$lock" >"$folder/.built-from"
    say "Built the $name environment in $((SECONDS - started)) s"
}

compile() {
    "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file "$@"
    say "Refreshed $1"
}

into=""
if [ "${1:-}" = --into ]; then
    [ $# -ge 2 ] || die "--into needs a folder"
    mkdir -p "$2"
    into=$(cd "$2" && pwd -P)
    shift 2
fi
[ $# -ge 1 ] || die "usage: $0 [--into DIR] NAME... | --lock"

if [ "$1" = --lock ]; then
    python=$(find_python)
    wait_for_other_builders
    uv=$(find_uv)
    compile include/local/requirements.lock requirements.txt include/local/requirements.in
    compile include/dbt/requirements.lock include/dbt/requirements.txt
    compile include/quality/requirements.lock include/quality/requirements.txt
    compile include/local/lint-requirements.lock include/local/lint-requirements.txt
    compile include/baseline/requirements.lock include/baseline/requirements.txt
    exit
fi

stale=""
for name in "$@"; do
    lock=$(lock_of "$name")
    is_fresh "$(folder_of "$name")" "$lock" || stale="$stale $name"
done
[ -n "$stale" ] || exit 0

python=$(find_python)
wait_for_other_builders
uv=$(find_uv)
for name in $stale; do
    lock=$(lock_of "$name")
    folder=$(folder_of "$name")
    is_fresh "$folder" "$lock" || build "$name" "$lock" "$folder"
done
