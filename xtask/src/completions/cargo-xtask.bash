# Completes `cargo xtask …` in a checkout of inflight, and leaves everything else of cargo's to whoever completed it before.
# Load it at the end of ~/.bashrc:
#
#     source ~/.local/share/inflight/cargo-xtask.bash

# The tool of the checkout in which one is, as it was built last: to complete builds nothing.
__inflight_tool() {
    local folder=$PWD tool
    while [[ -n $folder && ! ( -f $folder/xtask/Cargo.toml && -d $folder/board-configs ) ]]; do
        folder=${folder%/*}
    done
    tool=${CARGO_TARGET_DIR:-$folder/target}/debug/xtask
    [[ -n $folder && -x $tool ]] && printf '%s' "$tool"
}

__inflight_cargo() {
    # bash has cut the line at `=`, `:` and `@`, which stand within words here.
    local line=${COMP_LINE:0:COMP_POINT} words tool current before
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    if (( ${#words[@]} < 3 )) || [[ ${words[1]} != xtask ]]; then
        if [[ -n $__inflight_before ]]; then
            "$__inflight_before" "$@"
        elif (( ${#words[@]} == 2 )); then
            mapfile -t COMPREPLY < <(compgen -W 'build check clean doc fmt run test xtask' -- "${words[1]}")
        fi
        return
    fi
    COMPREPLY=()
    tool=$(__inflight_tool) || return 0
    words=("${words[@]:1}")
    mapfile -t COMPREPLY < <("$tool" completions bash --at $(( ${#words[@]} - 1 )) -- "${words[@]}" 2>/dev/null)
    # What bash has cut off in front stays on the line.
    current=${words[-1]}
    before=${current%"${current##*[=:@]}"}
    if [[ -n $before && $COMP_WORDBREAKS == *"${before: -1}"* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
    # Something may follow a folder, and the value an option that ends with `=`.
    if (( ${#COMPREPLY[@]} == 1 )) && [[ ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

# Who completes cargo until now: bash-completion loads that at the first need.
if ! complete -p cargo &>/dev/null; then
    for __inflight_load in _comp_load __load_completion; do
        declare -F "$__inflight_load" >/dev/null && "$__inflight_load" cargo && break
    done
    unset __inflight_load
fi
if [[ $(complete -p cargo 2>/dev/null) =~ -F\ ([^[:space:]]+) && ${BASH_REMATCH[1]} != __inflight_cargo ]]; then
    __inflight_before=${BASH_REMATCH[1]}
fi
complete -o bashdefault -o default -F __inflight_cargo cargo
