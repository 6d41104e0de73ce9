# Completes `cargo xtask …` in a checkout of inflight, beside what fish completes of cargo by itself.
# Put it there, and fish loads it: ~/.config/fish/conf.d/cargo-xtask.fish

# The tool of the checkout in which one is, as it was built last: to complete builds nothing.
function __inflight_tool
    set -l folder $PWD
    while test -n "$folder"; and not test -f $folder/xtask/Cargo.toml -a -d $folder/board-configs
        set folder (string replace -r '/[^/]*$' '' -- $folder)
    end
    test -n "$folder"; or return 1
    set -l target $folder/target
    set -q CARGO_TARGET_DIR; and set target $CARGO_TARGET_DIR
    test -x $target/debug/xtask; and echo $target/debug/xtask
end

function __inflight_is_xtask
    set -l words (commandline -opc)
    test (count $words) -ge 2 -a "$words[2]" = xtask
end

function __inflight_words
    set -l words (commandline -opc) (commandline -ct)
    set -l tool (__inflight_tool); or return
    $tool completions fish --at (math (count $words) - 2) -- $words[2..-1] 2>/dev/null
end

complete -c cargo -n '__inflight_is_xtask' -k -f -a '(__inflight_words)'
complete -c cargo -n '__fish_use_subcommand' -f -a xtask -d 'Run the host tool of inflight'
