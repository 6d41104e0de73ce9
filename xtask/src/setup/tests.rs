use super::plan::{BACKPORTS_FILE, Facts, Firmware, Missing, Step, plan};
use super::sources::{Archive, deb822, knows, main_archive, one_line, source_file};
use super::system::{Manager, Release};
use super::version::Version;
use super::{beside, linux};

const SOURCES: &str = "\
# A comment
Types: deb
# http://snapshot.example/archive
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

fn debian_12() -> Facts {
    Facts {
        oldest: Version(8, 1),
        release: Release { id: "debian".into(), codename: "bookworm".into(), name: "Debian GNU/Linux 12".into() },
        manager: Some(Manager::Apt),
        archives: deb822(SOURCES),
        candidate: Some(Version(7, 2)),
        is_root: true,
        has_sudo: false,
    }
}

const BOTH: Missing = Missing { qemu: true, firmware: Some(Firmware::Edk2) };

fn commands(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.shown("")).collect()
}

#[test]
fn versions_are_read_from_qemu_and_from_packages() {
    let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright\n";
    assert_eq!(Version::from_qemu(text), Some(Version(10, 0)));
    assert_eq!(Version::from_qemu("QEMU emulator version 8.1.50 (v8.1)"), Some(Version(8, 1)));
    assert_eq!(Version::from_qemu("command not found"), None);
    assert_eq!(Version::from_package("1:7.2+dfsg-7+deb12u18"), Some(Version(7, 2)));
    let policy = "qemu-system-arm:\n  Installed: (none)\n  Candidate: 1:10.0.2+ds-2\n  Version table:\n";
    assert_eq!(Version::apt_candidate(policy), Some(Version(10, 0)));
    assert_eq!(Version::apt_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
    assert!(Version(7, 2) < Version(8, 1) && Version(8, 0) < Version(8, 1) && Version(10, 0) > Version(8, 1));
}

#[test]
fn os_release_is_read_with_and_without_quotes() {
    let text =
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\nBUG_URL=\"x=y\"\n";
    let release = Release::parse(text);
    assert_eq!((release.id.as_str(), release.codename.as_str()), ("debian", "bookworm"));
    assert_eq!(Release::parse(""), Release::default());
}

#[test]
fn the_main_suites_archive_is_taken_not_the_security_one() {
    let archives = deb822(SOURCES);
    let archive = main_archive(&archives, "bookworm").unwrap();
    assert_eq!(archive.uri, "http://mirror.example/debian");
    assert!(knows(&archives, "bookworm-updates") && !knows(&archives, "bookworm-backports"));
    let file = source_file(archive, "bookworm-backports");
    let written = deb822(&file);
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].uri, archive.uri);
    assert_eq!(written[0].signed_by, archive.signed_by);
    assert_eq!(written[0].suites, ["bookworm-backports"]);
}

#[test]
fn deb822_entries_that_serve_nothing_here_are_left_out() {
    for useless in ["Enabled: no", "Types: deb-src", "Components: contrib", "URIs: cdrom:[Debian]/"] {
        let key = useless.split(':').next().unwrap();
        let fields = ["Types: deb", "URIs: http://a", "Suites: bookworm", "Components: main"];
        let lines: Vec<_> = fields.into_iter().filter(|line| !line.starts_with(key)).chain([useless]).collect();
        assert_eq!(deb822(&lines.join("\n")), [], "{useless}");
    }
    let ok = "types: deb deb-src\nuris: http://a http://b\nsuites: s\ncomponents: contrib main\nenabled: yes";
    assert_eq!(deb822(ok)[0].uri, "http://a");
}

#[test]
fn an_embedded_key_is_kept_line_by_line() {
    let key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----";
    let text = format!("Types: deb\nURIs: http://a\nSuites: bookworm\nComponents: main\n{key}\n");
    let archives = deb822(&text);
    let file = source_file(&archives[0], "bookworm-backports");
    assert!(file.contains("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END"), "{file}");
    assert_eq!(deb822(&file)[0].signed_by, archives[0].signed_by);
}

#[test]
fn one_line_sources_are_read_with_their_options() {
    let text = "# deb http://no bookworm main\n\
                deb-src http://src bookworm main\n\
                deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib # note\n\
                deb cdrom:[Debian]/ bookworm main\n\
                deb http://sec bookworm-security main\n\
                deb http://broken\n";
    let archives = one_line(text);
    let first = Archive {
        uri: "http://mirror.example/debian".into(),
        signed_by: Some("/k.gpg".into()),
        suites: vec!["bookworm".into()],
    };
    assert_eq!(archives.len(), 2);
    assert_eq!(archives[0], first);
    assert!(!source_file(&archives[1], "x").contains("Signed-By"));
}

#[test]
fn debian_12_gets_its_qemu_from_backports_and_its_firmware_from_the_main_suite() {
    let steps = plan(BOTH, &debian_12()).unwrap();
    assert!(matches!(&steps[0], Step::Write { path, text }
        if *path == BACKPORTS_FILE && text.contains("Suites: bookworm-backports\n")));
    assert_eq!(
        commands(&steps)[1..],
        [
            "apt-get update",
            "apt-get install -y --no-install-recommends -t bookworm-backports qemu-system-arm",
            "apt-get install -y --no-install-recommends qemu-efi-aarch64",
        ]
    );
}

#[test]
fn backports_that_are_there_already_are_used_as_they_are() {
    let mut facts = debian_12();
    facts.archives.push(Archive { uri: "http://b".into(), signed_by: None, suites: vec!["bookworm-backports".into()] });
    let steps = plan(BOTH, &facts).unwrap();
    assert!(steps.iter().all(|step| matches!(step, Step::Run(_))));
}

#[test]
fn lists_that_were_never_fetched_do_not_hide_an_old_release() {
    let steps = plan(BOTH, &Facts { candidate: None, ..debian_12() }).unwrap();
    assert!(commands(&steps).iter().any(|line| line.contains("-t bookworm-backports")));
}

#[test]
fn a_release_with_a_new_enough_qemu_needs_no_backports() {
    let facts = Facts { candidate: Some(Version(10, 0)), ..debian_12() };
    assert_eq!(
        commands(&plan(BOTH, &facts).unwrap()),
        ["apt-get update", "apt-get install -y --no-install-recommends qemu-system-arm qemu-efi-aarch64"]
    );
}

#[test]
fn only_what_is_missing_is_installed() {
    let firmware = Missing { qemu: false, firmware: Some(Firmware::Edk2) };
    let lines = commands(&plan(firmware, &debian_12()).unwrap());
    assert_eq!(lines, ["apt-get update", "apt-get install -y --no-install-recommends qemu-efi-aarch64"]);
    assert_eq!(plan(Missing::default(), &debian_12()), Ok(Vec::new()));
}

#[test]
fn other_package_managers_get_their_own_names() {
    for (manager, line) in [
        (Manager::Dnf, "dnf install -y qemu-system-aarch64-core edk2-aarch64"),
        (Manager::Pacman, "pacman -S --noconfirm --needed qemu-system-aarch64 edk2-aarch64"),
        (Manager::Zypper, "zypper --non-interactive install --no-recommends qemu-arm qemu-uefi-aarch64"),
        (Manager::Apk, "apk add qemu-system-aarch64 aavmf"),
    ] {
        let facts = Facts { manager: Some(manager), ..debian_12() };
        assert_eq!(commands(&plan(BOTH, &facts).unwrap()), [line]);
    }
}

#[test]
fn what_cannot_be_planned_says_exactly_what_is_needed() {
    let cases = [
        Facts { manager: None, ..debian_12() },
        Facts { is_root: false, has_sudo: false, ..debian_12() },
        Facts { archives: Vec::new(), ..debian_12() },
        Facts {
            release: Release { id: "ubuntu".into(), codename: "jammy".into(), name: "Ubuntu 22.04".into() },
            candidate: Some(Version(6, 2)),
            ..debian_12()
        },
    ];
    for facts in cases {
        let reason = plan(BOTH, &facts).unwrap_err();
        assert!(reason.contains("QEMU 8.1 or newer") && reason.contains("firmware"), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
}

#[test]
fn a_user_sees_sudo_and_root_does_not() {
    let step = Step::Run(vec!["apt-get".into(), "update".into()]);
    assert_eq!(step.shown("sudo "), "sudo apt-get update");
    assert_eq!(step.shown(""), "apt-get update");
}

#[test]
fn a_newer_qemu_is_unpacked_from_the_archive_that_serves_the_system() {
    let list = beside::sources(&debian_12()).unwrap();
    let written = deb822(&list);
    assert_eq!(written[0].uri, "http://mirror.example/debian");
    assert_eq!(written[0].suites, ["trixie", "trixie-backports"]);
    assert_eq!(written[0].signed_by.as_deref(), Some("/usr/share/keyrings/debian-archive-keyring.gpg"));
}

#[test]
fn where_none_can_be_unpacked_the_reason_is_told() {
    let other = |change: fn(&mut Facts)| {
        let mut facts = debian_12();
        change(&mut facts);
        beside::sources(&facts).unwrap_err()
    };
    assert!(other(|facts| facts.release.codename = "sid".into()).contains("on Debian 12 and 13 only"));
    assert!(other(|facts| facts.manager = Some(Manager::Dnf)).contains("on Debian 12 and 13 only"));
    assert_eq!(other(|facts| facts.archives.clear()), "apt's sources name no archive for bookworm");
}

#[test]
fn the_newest_kernel_of_a_suite_is_found_by_what_it_depends_on() {
    let of = |said: &[(&str, &str)]| {
        let said = |package: &str| said.iter().find(|(name, _)| *name == package).map(|(_, text)| (*text).to_owned());
        linux::kernel_of(&mut |package| said(package).ok_or_else(|| anyhow::anyhow!("{package}: unknown")))
    };
    let newest = "Package: x\nDepends: linux-base (= 7), linux-image-7.3-cloud-arm64 (= 7)\n\nPackage: x\nDepends: linux-image-6\n";
    let split = "Depends: dracut | kmod, linux-binary-7.3-cloud-arm64 (= 7), linux-modules-7.3 (= 7)\n";
    let image = "linux-image-7.3-cloud-arm64";
    assert_eq!(of(&[("linux-image-cloud-arm64", newest), (image, split)]).unwrap(), "linux-binary-7.3-cloud-arm64");
    assert_eq!(of(&[("linux-image-cloud-arm64", newest), (image, "Depends: kmod\n")]).unwrap(), image);
    assert!(of(&[("linux-image-cloud-arm64", "Depends: kmod\n")]).unwrap_err().to_string().contains("names no kernel"));
    assert!(of(&[]).is_err());
    let list = linux::sources(&debian_12(), "trixie-backports").unwrap();
    assert_eq!(deb822(&list)[0].suites, ["trixie-backports", "trixie"]);
    let other = Facts { manager: Some(Manager::Dnf), ..debian_12() };
    assert!(linux::sources(&other, "trixie-backports").unwrap_err().contains("on Debian only"));
}
