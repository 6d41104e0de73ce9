use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::exit::one_line;

fn args(line: &str) -> LavaArgs {
    let words = format!("xtask lava --images http://builds.example/x/ {line}");
    match Cli::try_parse_from(words.split_whitespace()).unwrap().command {
        Command::Lava(args) => args,
        other => panic!("{other:?}"),
    }
}

fn board(name: &str) -> Board {
    boards::load(name).unwrap()
}

#[test]
fn the_way_is_the_boards_unless_another_is_asked_for() {
    assert_eq!(way(None, &board("qemu-virt-storage")).unwrap(), Way::Qemu);
    assert_eq!(way(None, &board("ampere/altra")).unwrap(), Way::Flasher);
    assert_eq!(way(Some(Way::Grub), &board("ampere/altra")).unwrap(), Way::Grub);
    let mut by_uboot = board("ampere/altra");
    by_uboot.flash =
        Some(board::Flash { way: board::Way::Uboot, to: None, command: None, bmc: None, serve: None, tftp_port: None });
    assert_eq!(way(None, &by_uboot).unwrap(), Way::Uboot);
}

#[test]
fn what_lava_cannot_do_is_one_line() {
    for (line, wanted) in [
        ("--board qemu-virt", "a LAVA worker sends none"),
        ("--board qemu-virt-tap", "frames of this host (sender), and a LAVA worker sends none"),
        ("--board qemu-virt-storage --via grub", "is emulated, by LAVA's own QEMU"),
        ("--board ampere/altra --via grub --iort ci/fixtures/qemu-virt/IORT.aml", "hand no second file over"),
        ("--board ampere/altra --scenario adopt,adopt", "twice in one job"),
        ("--board ampere/altra --scenario adpot", "did you mean `adopt`?"),
    ] {
        let line = line.replace("ci/", &format!("{}/ci/", crate::workspace::root().display()));
        let error = one_line(&run(&args(&line)).unwrap_err());
        assert!(error.contains(wanted), "{line}: {error}");
    }
}

#[test]
fn where_the_files_are_has_to_be_said() {
    let of = |more: &[&str]| Cli::try_parse_from(["xtask", "lava", "--board", "ampere/altra"].iter().chain(more));
    let Command::Lava(args) = of(&[]).unwrap().command else { panic!("another command") };
    let error = one_line(&run(&args).unwrap_err());
    assert!(error.contains("--images URL") && error.contains("--to DIR"), "{error}");
    for wrong in ["not a url", "builds.example/x", "file:///srv/x", "ftp://builds.example", "https://", "http:///x", ""]
    {
        let error = of(&["--images", wrong]).unwrap_err().to_string();
        assert!(error.contains("no URL of a folder; write it as `https://"), "{wrong}: {error}");
    }
    for right in ["http://192.0.2.7", "https://builds.example:8443/a/b/", "http://[2001:db8::7]/x"] {
        assert_eq!(address(right).unwrap(), right.trim_end_matches('/'));
    }
}

#[test]
fn a_board_without_what_is_judged_is_told_so() {
    for name in ["raspberrypi/pi-5", "nvidia/jetson-orin"] {
        let told = notes(&board(name));
        assert!(told.len() == 1 && told[0].contains("no SMMUv3"), "{told:?}");
    }
    assert!(notes(&board("qemu-virt-storage")).is_empty() && notes(&board("qemu-virt-igb"))[0].contains("is sent to"));
}

#[test]
fn files_have_the_digest_of_what_was_built_and_none_of_what_was_not() {
    let contents = vec![(IMAGE, b"image".to_vec()), (OPTIONS, b"a=1\n".to_vec())];
    let of = |contents| files(Way::Flasher, &board("ampere/altra"), "a=1", "http://x", false, contents);
    assert!(of(None).iter().all(|file| file.sha256.is_none()));
    let built = of(Some(&*contents));
    assert_eq!(
        built.iter().map(|file| &*file.url).collect::<Vec<_>>(),
        ["http://x/BOOTAA64.EFI", "http://x/inflight.txt"]
    );
    // SHA-256 of `image`, by sha256sum.
    let digest = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d";
    assert_eq!(built[0].sha256.as_deref(), Some(digest));
}

#[test]
fn uboot_is_given_its_bootargs_in_lines_that_it_takes() {
    let board = board("ampere/altra");
    let payload = args("--board ampere/altra --scenario all").payload;
    let options = options::of(&payload, &[], &board).unwrap();
    let job =
        Job { board: &board, way: Way::Uboot, device_type: "x", options: &options, files: Vec::new(), seconds: 61 };
    let text = job.text().unwrap();
    let commands: Vec<&str> = text.lines().filter(|line| line.contains("setenv bootargs")).collect();
    assert!(commands.len() > 2 && commands.iter().all(|line| line.len() < 256), "{commands:?}");
    assert!(text.contains("  minutes: 22\n") && text.contains("      minutes: 2\n"), "{text}");
}
