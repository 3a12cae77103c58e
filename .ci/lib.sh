# Shared by the scripts of this folder.

have() { command -v "$1" > /dev/null 2>&1; }

say() { echo "$(basename "$0"): $*"; }

# Something that should have run did not: nobody shall overlook it.
loudly() {
    local rule
    rule="$(printf '#%.0s' {1..100})"
    printf '\n%s\n' "$rule" >&2
    printf '# %s\n' "$@" >&2
    printf '%s\n\n' "$rule" >&2
}
