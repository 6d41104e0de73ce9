# Completes `cargo xtask …` in a checkout of inflight, and leaves everything else of cargo's to `_cargo`, where there is one.
# Load it in ~/.zshrc, after `compinit`:
#
#     source ~/.local/share/inflight/cargo-xtask.zsh

# The tool of the checkout in which one is, as it was built last: to complete builds nothing.
__inflight_tool() {
    local folder=$PWD tool
    while [[ -n $folder && ! ( -f $folder/xtask/Cargo.toml && -d $folder/board-configs ) ]]; do
        folder=${folder%/*}
    done
    tool=${CARGO_TARGET_DIR:-$folder/target}/debug/xtask
    [[ -n $folder && -x $tool ]] && print -r -- $tool
}

__inflight_cargo() {
    if (( CURRENT < 3 )) || [[ $words[2] != xtask ]]; then
        if (( $+functions[_cargo] )); then
            _cargo "$@"
        elif (( CURRENT == 2 )); then
            compadd build check clean doc fmt run test xtask
        fi
        return
    fi
    local tool line
    local -a found shown
    tool=$(__inflight_tool) || return 1
    for line in "${(@f)$("$tool" completions zsh --at $(( CURRENT - 2 )) -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        found+=("${line%%$'\t'*}")
        shown+=("${line%%$'\t'*}  ${line#*$'\t'}")
    done
    (( $#found )) && compadd -l -d shown -a found
}

# `_cargo` is loaded by the shell when it is first called.
[[ -n ${_comps[cargo]} && ${_comps[cargo]} != __inflight_cargo ]] && autoload -Uz "${_comps[cargo]}"
compdef __inflight_cargo cargo
