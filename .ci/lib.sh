# Shared by the scripts of this folder.

have() { command -v "$1" > /dev/null 2>&1; }

say() { echo "$(basename "$0"): $*"; }

# Says in a frame that something did not run, so that it is seen among thousands of lines.
loudly() {
    local rule
    rule="$(printf '#%.0s' {1..100})"
    printf '\n%s\n' "$rule" >&2
    printf '# %s\n' "$@" >&2
    printf '%s\n\n' "$rule" >&2
}
