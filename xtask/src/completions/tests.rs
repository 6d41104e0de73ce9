use super::words;

fn completed(line: &str) -> Vec<String> {
    let line: Vec<_> = line.split(' ').map(Into::into).collect();
    let at = line.len() - 1;
    words(line, at).unwrap().into_iter().map(|(word, _)| word).collect()
}

#[test]
fn commands_options_and_values_are_completed() {
    assert_eq!(completed("xtask fl"), ["flash"]);
    assert_eq!(completed("xtask boards n"), ["new"]);
    assert!(completed("xtask run --b").contains(&"--board".to_owned()));
    assert_eq!(completed("xtask run --board qemu-virt-i"), ["qemu-virt-igb"]);
    assert_eq!(completed("xtask flash --via red"), ["redfish"]);
    assert_eq!(completed("xtask run --scenario adopt,quiesce-f"), ["adopt,quiesce-flr"]);
    assert_eq!(completed("xtask run --kern"), ["--kernel"]);
    assert_eq!(completed("xtask run --scenario adopt,witn"), ["adopt,witness"]);
    assert_eq!(completed("xtask run --plant leaf-c"), ["leaf-canary"]);
    assert!(completed("xtask test flash-").contains(&"flash-folder".to_owned()));
    assert!(completed("xtask completions bash --a").is_empty());
}

#[test]
fn a_word_of_another_line_is_none_of_these() {
    assert!(completed("xtask run --board no-such-").is_empty());
    assert!(completed("xtask nothing --b").is_empty());
}
