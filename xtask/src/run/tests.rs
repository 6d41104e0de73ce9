use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;

use super::bring::{Bringing, Place};
use super::command::{Machine, quoted};
use super::{Emulator, Job, Progress, check_iort, options, prepare};
use crate::capture::fixture;
use crate::cli::{Cli, RunArgs};
use crate::exit::{Exit, clap_line, one_line, status_of};
use crate::report::Outcome;
use crate::setup::Host;

fn args(words: &[&str]) -> RunArgs {
    match Cli::try_parse_from(["xtask", "run"].iter().chain(words)).unwrap().command {
        crate::cli::Command::Run(args) => args,
        other => panic!("{other:?}"),
    }
}

fn board() -> board::Board {
    crate::boards::load("qemu-virt").unwrap()
}

fn told(words: &[&str]) -> anyhow::Result<options::Options> {
    let args = args(words);
    options::of(&args.payload, &args.inject, &board())
}

fn option_error(words: &[&str]) -> String {
    let error = told(words).unwrap_err();
    assert_eq!(status_of(&error), Exit::Usage);
    one_line(&error)
}

#[test]
fn the_main_job_needs_no_option() {
    let options = told(&[]).unwrap();
    assert_eq!(
        options.text,
        "scenario=adopt,reset cycles=1 allow_risks=bus-error,stray-write,device-reset,power-cycle rmr=0000:00:03.0:0x10000"
    );
    assert_eq!(options.request.scenarios, ["adopt", "reset"]);
    assert_eq!((options.request.endpoints.len(), options.request.plant), (3, None));
}

#[test]
fn the_users_options_override_and_are_what_is_checked_later() {
    let words = ["--scenario", "all", "--cycles", "4", "--plant", "leaf-canary", "--option", "rmr=0000:00:02.0"];
    let options = told(&words).unwrap();
    assert!(options.text.contains("rmr=0000:00:02.0") && options.text.matches("rmr=").count() == 1, "{}", options.text);
    assert_eq!((options.request.cycles, options.request.plant.as_deref()), (4, Some("leaf-canary")));
    assert!(options.request.scenarios.len() > 2);
}

#[test]
fn wrong_options_say_what_would_be_right() {
    assert!(option_error(&["--scenario", "adpot"]).contains("did you mean `adopt`?"));
    assert!(option_error(&["--plant", "leaf-unmaped"]).contains("did you mean `leaf-unmapped`?"));
    assert!(option_error(&["--scenario", "census", "--plant", "leaf-canary"]).contains("takes no fault (leaf-canary)"));
    let inject = ["--scenario", "census", "--inject", "before=0000:01:00.0:COMP_TIME"];
    assert!(option_error(&inject).contains("takes no fault"));
    assert!(told(&["--scenario", "census,adopt", "--plant", "leaf-canary"]).is_ok());
    assert!(option_error(&["--option", "cycles=7"]).contains("use --cycles"));
    assert!(option_error(&["--option", "e2h=1", "--option", "e2h=0"]).contains("given twice"));
    assert!(option_error(&["--option", "e2h"]).contains("KEY=VALUE"));
    assert!(option_error(&["--option", "e2h=1 cycles=2"]).contains("blank"));
    assert!(option_error(&["--option", "cycels=2"]).contains("there is no option `cycels`; known: "));
    let clap = Cli::try_parse_from(["xtask", "run", "--scenaro", "adopt"]).unwrap_err();
    let line = clap_line(&clap.to_string());
    assert!(line.contains("'--scenaro'") && line.contains("'--scenario'") && !line.contains('\n'), "{line}");
    let line = clap_line(&Cli::try_parse_from(["xtask"]).unwrap_err().to_string());
    assert!(line.contains("requires a subcommand") && line.contains("doctor"), "{line}");
}

#[test]
fn a_census_after_another_scenario_is_late() {
    let is_late = |names: &str| super::census_is_late(&names.split(',').map(String::from).collect::<Vec<_>>());
    assert!(is_late("adopt,census") && is_late("reset,adopt,census,adopt"));
    assert!(!is_late("census") && !is_late("census,adopt,census") && !is_late("adopt,reset"));
}

#[test]
fn the_command_line_is_fixed() {
    let board = board();
    let machine = Machine {
        qemu: board.qemu.as_ref().unwrap(),
        program: Path::new("qemu-system-aarch64"),
        firmware: Some(Path::new("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd")),
        image: Some(Path::new("/tmp/my images/primary.efi")),
        options: "scenario=adopt cycles=1",
        iort: Some(Path::new("it's.bin")),
        ports: Some((1111, 2222)),
        reboots: false,
        monitor: None,
        bringing: None,
        more: &["-trace".into(), "smmuv3_*".into()],
    };
    let wanted = "qemu-system-aarch64 -machine virt,gic-version=3,virtualization=on,iommu=smmuv3,acpi=on -cpu neoverse-n1 \
        -smp 2 -m 1G -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd -display none -monitor none \
        -chardev stdio,id=console,signal=off -serial chardev:console -audiodev none,id=silence,timer-period=4000 \
        -netdev dgram,id=net0,local.type=inet,local.host=127.0.0.1,local.port=1111,remote.type=inet,\
        remote.host=127.0.0.1,remote.port=2222 -device ich9-intel-hda,id=audio0,bus=pcie.0,addr=2.0 \
        -device hda-duplex,bus=audio0.0,audiodev=silence -device ich9-intel-hda,id=audio1,bus=pcie.0,addr=3.0 \
        -device hda-duplex,bus=audio1.0,audiodev=silence -device e1000e,netdev=net0,bus=pcie.0,addr=4.0,romfile= \
        -kernel '/tmp/my images/primary.efi' -append 'scenario=adopt cycles=1' -initrd 'it'\\''s.bin' -nodefaults \
        -no-reboot -trace 'smmuv3_*'";
    assert_eq!(quoted(&machine.command()), wanted);
}

#[test]
fn a_kernel_takes_over_where_it_is_given_and_nowhere_else() {
    assert!(option_error(&["--scenario", "witness+l2-null"]).contains("say which, by --kernel IMAGE"));
    assert!(option_error(&["--option", "guest=0x1000"]).contains("use --kernel"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Image");
    let mut image = vec![0; 4096];
    image[16..24].copy_from_slice(&0x40_0000_u64.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    std::fs::write(&path, image).unwrap();
    let kernel = path.to_str().unwrap();
    let alone = told(&["--kernel", kernel]).unwrap();
    assert_eq!(alone.request.scenarios, ["witness"]);
    let with = told(&["--kernel", kernel, "--scenario", "adopt,witness@panic", "--cmdline", "-- debug"]).unwrap();
    assert_eq!(with.request.scenarios, ["adopt", "witness@panic"]);
    let request = with.request.kernel.unwrap();
    assert_eq!((request.name.as_str(), request.bytes, request.memory_bytes), ("Image", 4096, Some(0x40_0000)));
    assert!(request.command_line.ends_with("panic=1 -- debug"), "{}", request.command_line);
    assert!(option_error(&["--kernel", kernel, "--scenario", "adopt"]).contains("in no scenario"));
    assert!(option_error(&["--kernel", kernel, "--option", "guest_mib=64"]).contains("guest_mib=256"));
    assert!(option_error(&["--kernel", folder.path().to_str().unwrap()]).contains("is no file"));
    let clap = Cli::try_parse_from(["xtask", "run", "--watch-reads"]).unwrap_err();
    assert!(clap_line(&clap.to_string()).contains("--kernel <IMAGE>"));
    // It is given time.
    let limits = |words: &[&str]| super::limits(&args(words), &board());
    let (plain, three) = (limits(&[]), limits(&["--kernel", kernel, "--cycles", "3"]));
    assert_eq!(three.boot_seconds, plain.boot_seconds + 3 * super::KERNEL_SECONDS);
    assert_eq!((plain.silence_seconds, three.silence_seconds), (30, 60));
    assert_eq!(limits(&["--kernel", kernel, "--timeout", "7"]).boot_seconds, 7);
    let silence = |words: &[&str]| super::kernel_silence(&args(words), limits(words));
    assert_eq!((silence(&["--kernel", kernel]), silence(&["--kernel", kernel, "--timeout", "601"])), (60, 301));
}

#[test]
fn what_a_kernel_is_brought_in_stands_in_the_command_line() {
    let board = board();
    let machine = |place| {
        let bringing = Bringing { place, memory: "2048M".into(), options: "a=b guest=0x1000".into() };
        let machine = Machine {
            qemu: board.qemu.as_ref().unwrap(),
            program: Path::new("qemu-system-aarch64"),
            firmware: None,
            image: Some(Path::new("primary.efi")),
            options: "a=b",
            iort: Some(Path::new("iort")),
            ports: None,
            reboots: false,
            monitor: None,
            bringing: Some(&bringing),
            more: &[],
        };
        quoted(&machine.command())
    };
    let memory = machine(Place::Memory("/a,b".into(), 0x9000_0000));
    for wanted in [
        "-smp 2 -m 2048M ",
        "-device loader,file=/a,,b,addr=0x90000000,force-raw=on -kernel primary.efi -append 'a=b guest=0x1000' -initrd iort",
    ] {
        assert!(memory.contains(wanted), "{memory}");
    }
    let volume = machine(Place::Volume("/v".into()));
    assert!(volume.contains("file=fat:/v -device virtio-blk-device,drive=guest,bootindex=0"), "{volume}");
    // All that the payload is told lies there.
    assert!(!["-kernel", "-append", "-initrd"].iter().any(|word| volume.contains(word)), "{volume}");
}

#[test]
fn drives_stand_before_the_devices_that_have_them() {
    let board = crate::boards::load("qemu-virt-storage").unwrap();
    let machine = Machine {
        qemu: board.qemu.as_ref().unwrap(),
        program: Path::new("qemu-system-aarch64"),
        firmware: None,
        image: Some(Path::new("primary.efi")),
        options: "",
        iort: None,
        ports: None,
        reboots: false,
        monitor: None,
        bringing: None,
        more: &[],
    };
    let words = machine.command();
    let place = |text: &str| words.iter().position(|word| word.to_string_lossy().contains(text)).unwrap();
    let (drive, device) = (place("if=none,id=disk0,"), place("drive=disk0"));
    assert_eq!((words[drive - 1].to_str(), words[device - 1].to_str()), (Some("-drive"), Some("-device")));
    assert!(drive < device);
}

#[test]
fn a_file_that_is_no_iort_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        one_line(&check_iort(&path).unwrap_err())
    };
    assert!(refused("short", b"IORT").contains("4 bytes, where an IORT has 48 to"));
    let mut table = vec![0; 64];
    table[..4].copy_from_slice(b"APIC");
    assert!(refused("other", &table).contains("signature `APIC`, not `IORT`"));
    assert!(one_line(&check_iort(folder.path()).unwrap_err()).contains("is no file"));
    assert!(one_line(&check_iort(&folder.path().join("none")).unwrap_err()).contains("No such file"));
    table[..4].copy_from_slice(b"IORT");
    let path = folder.path().join("good");
    std::fs::write(&path, table).unwrap();
    check_iort(&path).unwrap();
}

/// A folder with a program that stands for the emulator: it does what `script` says.
fn job(script: &str) -> (tempfile::TempDir, Job) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("emulator");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let host = Host { qemu: program, firmware: Some("/firmware".into()), version: None };
    let report = folder.path().join("report");
    let mut job = prepare(&args(&["--report", report.to_str().unwrap()]), host, "/primary.efi".into()).unwrap();
    job.options.request = fixture::request();
    (folder, job)
}

/// A job whose emulator prints a whole log and then does `more`.
fn talking(records: &[wire::Record<'_>], more: &str) -> (tempfile::TempDir, Job) {
    let (folder, job) = job(&format!("cat \"$(dirname \"$0\")/log\"\n{more}"));
    std::fs::write(folder.path().join("log"), fixture::log(None, records)).unwrap();
    (folder, job)
}

fn boot(job: &Job) -> super::boot::Boot {
    super::boot(job, &Progress::Silent).unwrap()
}

#[test]
fn a_boot_ends_in_a_report_that_its_log_gives_again() {
    let (_folder, job) = talking(&fixture::two_runs(), "");
    let booted = boot(&job);
    assert_eq!(booted.report.outcome, Outcome::Pass, "{:?}", booted.report);
    let log = std::fs::read(job.folder.join("console.log")).unwrap();
    let again = crate::report::from_log(&log);
    assert_eq!(serde_json::to_value(&booted.report).unwrap(), serde_json::to_value(&again).unwrap());
    for name in ["report.json", "report.html", "junit.xml", "ktap.txt"] {
        assert!(job.folder.join(name).is_file(), "{name}");
    }
    assert!(!job.folder.join("qemu.log").exists(), "nothing was said");
}

#[test]
fn a_card_that_nobody_sends_to_is_a_finding_that_the_log_keeps() {
    let mut records = fixture::two_runs();
    for record in &mut records {
        if let wire::Record::Endpoint { driver, .. } = record {
            *driver = "igb";
        }
    }
    let (_folder, mut job) = talking(&records, "");
    let of_host = |report: &crate::report::Report| -> Vec<String> {
        let findings = report.platform.findings.iter().filter(|finding| finding.table == "host");
        findings.map(|finding| format!("{} {}: {}", finding.severity, finding.id, finding.text)).collect()
    };
    assert!(of_host(&boot(&job).report).is_empty(), "the board has a sender");
    job.board.qemu.as_mut().unwrap().sender = None;
    let told = of_host(&boot(&job).report);
    let wanted = "warning no-sender: the board's file has no [sender], and 0000:00:02.0 (igb) moves only what is sent to its network";
    assert_eq!(told, [wanted]);
    let log = std::fs::read(job.folder.join("console.log")).unwrap();
    assert_eq!(of_host(&crate::report::from_log(&log)), told);
}

#[test]
fn a_machine_that_does_not_power_off_is_lost() {
    let (_folder, job) = talking(&fixture::two_runs(), "sleep 100");
    let start = Instant::now();
    let report = boot(&job).report;
    assert_eq!(report.outcome, Outcome::Lost);
    assert!(report.lost.unwrap().reason.contains("did not power off"));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_emulator_that_fails_is_lost_with_what_it_said() {
    let (_folder, job) = job("echo 'qemu: Address already in use' >&2; exit 1");
    let report = boot(&job).report;
    assert_eq!(report.outcome, Outcome::Lost);
    let lost = report.lost.unwrap();
    assert_eq!(lost.reason, "QEMU ended (exit status: 1): qemu: Address already in use");
    assert_eq!(lost.last_seen, "nothing");
    let log = std::fs::read_to_string(job.folder.join("console.log")).unwrap();
    assert!(log.contains("# inflight host: lost QEMU ended"), "{log}");
}

#[test]
fn silence_and_endless_talk_are_lost_at_their_deadlines() {
    let records = fixture::two_runs();
    let (_folder, mut silent) = talking(&records[..6], "sleep 100");
    silent.limits.silence_seconds = 1;
    let lost = boot(&silent).report.lost.unwrap();
    assert_eq!((lost.reason.as_str(), lost.last_seen.as_str()), ("no output for 1 s", "run 0: begin of adopt"));
    let (_folder, mut endless) = talking(&records[..6], "while :; do echo noise; done");
    endless.limits.boot_seconds = 1;
    let start = Instant::now();
    assert_eq!(boot(&endless).report.lost.unwrap().reason, "no end within 1 s");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn signs_of_life_of_a_kernel_are_nothing_new() {
    let (run, cycle) = (0, 0);
    let mut records = fixture::two_runs();
    records.truncate(6);
    records.push(wire::Record::Kernel {
        run,
        cycle,
        entry: 0,
        memory_bytes: 0,
        usable: 0,
        usable_bytes: 0,
        efi: false,
        e2h: false,
        cpu: 0,
    });
    // It polls, and lives.
    let again = |index| {
        let (kind, name, address, value, count, stride) = (0, "IRQ_CTRLACK", 0x54, 0, 1, 0);
        let (ticks, smmu, unbacked) = (1, 0, false);
        let access = wire::Record::Access {
            run,
            cycle,
            index,
            ticks,
            smmu,
            kind,
            name,
            address,
            value,
            count,
            stride,
            unbacked,
        };
        let (ticks, pc, accesses) = (u64::from(index), 0xFFFF_8000_8000_1234, index);
        let (traps, cpu, first_call) = (7, 0, 0);
        [access, wire::Record::Watching { run, cycle, ticks, pc, traps, accesses, cpu, first_call }]
    };
    records.extend((0..100).flat_map(again));
    // As the image tells them: each behind a new line.
    let slowly = |more: &str| {
        let (folder, mut job) = job(&format!(
            "while read -r line; do printf '\\r\\n%s\\r\\n' \"$line\"; {more} sleep 0.1; done <\"$(dirname \"$0\")/log\""
        ));
        std::fs::write(folder.path().join("log"), fixture::log(None, &records)).unwrap();
        (job.kernel_silence, job.limits.boot_seconds) = (2, 6);
        let lost = boot(&job).report.lost.unwrap();
        (lost.reason, lost.last_seen)
    };
    let (reason, last_seen) = slowly("");
    assert_eq!(reason, "nothing new of SMMUs, tables and console for 2 s: the kernel that took over hangs");
    assert!(last_seen.contains("sign of life of the kernel, at 0xffff800080001234"), "{last_seen}");
    // A kernel that talks is at work.
    let (reason, _) = slowly("echo '[    1.0] pci 0000:00:01.0';");
    assert_eq!(reason, "no end within 6 s: the kernel that took over hangs");
}

#[test]
fn the_cpu_time_of_a_child_is_measured() {
    let (_folder, job) = job("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
    let booted = boot(&job);
    assert!(booted.cpu > Duration::ZERO && booted.cpu < booted.wall * 2, "{:?} of {:?}", booted.cpu, booted.wall);
}

fn is_running(pid: &str) -> bool {
    // A zombie that init has not yet collected runs no more.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn ends_soon(pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_running(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    !is_running(pid)
}

fn sleeper() -> (Emulator, String) {
    let command: Vec<OsString> = ["sh", "-c", "echo $$; exec sleep 1000"].map(Into::into).into();
    let null = File::options().write(true).open("/dev/null").unwrap();
    let (emulator, console) = Emulator::start(&command, null).unwrap();
    let mut pid = String::new();
    BufReader::new(console).read_line(&mut pid).unwrap();
    (emulator, pid.trim().to_owned())
}

#[test]
fn a_dropped_emulator_is_killed() {
    let (emulator, pid) = sleeper();
    assert!(is_running(&pid));
    drop(emulator);
    assert!(!is_running(&pid));
}

#[test]
fn a_panic_leaves_no_emulator_behind() {
    let (emulator, pid) = sleeper();
    let moved = std::panic::AssertUnwindSafe(emulator);
    let result = std::panic::catch_unwind(move || {
        let _held = moved;
        panic!("on purpose");
    });
    assert!(result.is_err() && !is_running(&pid));
}

#[test]
fn a_killed_tool_leaves_no_emulator_behind() {
    // Started by itself, below, it is the tool that holds an emulator and waits to be killed.
    if std::env::var_os("INFLIGHT_TEST_HOLD").is_some() {
        let (_emulator, pid) = sleeper();
        println!("holds {pid}");
        std::thread::sleep(Duration::from_secs(100));
        panic!("nobody killed this process");
    }
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::KILL] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "run::tests::a_killed_tool_leaves_no_emulator_behind", "--nocapture"])
            .env("INFLIGHT_TEST_HOLD", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let pid = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("holds ")?.1.to_owned())).unwrap();
        assert!(is_running(&pid));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        assert!(ends_soon(&pid), "{signal:?}");
    }
}
