//! What a release consists of, read by others: the SBOM by CycloneDX's own library, the sums by `sha256sum`, the images by a
//! firmware that starts only what is signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cases::words;
use super::expect::{self, Expected, ensure};
use super::session::Session;
use super::{Case, Need};
use crate::setup::tool::{self, Tool};
use crate::{build, child};

/// Every program here is done by then.
const SHORT: Duration = Duration::from_secs(60);

/// All of them.
pub fn all() -> Vec<Case> {
    let dist = Case::new("dist", dist);
    let sbom = Case { needs: Some(Need::Tool(Tool::Consumers)), ..Case::new("dist-sbom", sbom) };
    // All of both images is built anew.
    let again = Case { deadline: Duration::from_secs(540), ..Case::new("dist-reproducible", reproducible) };
    let secure = Case { needs: Some(Need::Tool(Tool::SecureBoot)), ..Case::new("secure-boot", secure_boot) };
    vec![dist, sbom, again, secure]
}

/// Puts a release together and returns its folder.
fn release(session: &Session<'_>, more: &str) -> Result<PathBuf, String> {
    let out = session.folder.with_extension("out");
    let ended = session.run(&words(&format!("dist --out {} {more}", out.display())))?;
    expect::status(&ended, 0)?;
    let name = format!("inflight-{}", env!("CARGO_PKG_VERSION"));
    ensure(ended.stdout.contains(&format!("{name}.tar")), || ended.stdout.clone())?;
    Ok(out.join(name))
}

fn run(words: &[&str]) -> Result<String, String> {
    child::run(words, &[], SHORT).map_err(|error| format!("{error:#}"))
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What is in it, and that two are equal.
fn dist(session: &Session<'_>) -> Expected {
    let folder = release(session, "")?;
    let places = build::places();
    for (name, from) in
        [("inflight.efi", places.file), ("inflight-plain.efi", places.primary), ("inflight.img", places.raw)]
    {
        ensure(same(&folder.join(name), &from), || format!("{name} is not {}", from.display()))?;
    }
    for name in
        ["board-configs/qemu-virt.toml", "symbols/kdump.elf", "LICENSE-MIT", "CHANGELOG.md", "licences/README.md"]
    {
        ensure(folder.join(name).is_file(), || format!("no {name}"))?;
    }
    // Copyleft by file: the source comes along.
    let list = fs::read_to_string(folder.join("licences/README.md")).map_err(|error| error.to_string())?;
    for line in list.lines().filter(|line| line.contains("| MPL")) {
        let source = line.split('`').nth(1).unwrap_or_default();
        ensure(folder.join(source).is_file() && !source.is_empty(), || format!("no source: {line}"))?;
    }
    ensure(list.contains("| fdt |"), || format!("fdt is not named:\n{list}"))?;
    // As a user checks it, from the archive.
    let tar = folder.with_added_extension("tar");
    let unpacked = session.folder.with_extension("unpacked");
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked).map_err(|error| error.to_string())?;
    run(&["tar", "-C", &text(&unpacked), "-xf", &text(&tar)])?;
    let inside = unpacked.join(folder.file_name().unwrap_or_default());
    run(&["sh", "-c", "cd \"$1\" && sha256sum --check --strict --quiet SHA256SUMS", "sh", &text(&inside)])?;
    let sums = fs::read_to_string(inside.join("SHA256SUMS")).map_err(|error| error.to_string())?;
    let listed = run(&["tar", "-tf", &text(&tar)])?;
    ensure(sums.lines().count() + 1 == listed.lines().count(), || format!("sums of other files than:\n{listed}"))?;
    let first = fs::read(&tar).map_err(|error| error.to_string())?;
    release(session, "")?;
    ensure(fs::read(&tar).is_ok_and(|second| second == first), || "the second archive differs".into())
}

/// The images are the same when another user builds them elsewhere.
fn reproducible(session: &Session<'_>) -> Expected {
    let out = session.folder.with_extension("out");
    let ended = session.run(&words(&format!("dist --check --out {}", out.display())))?;
    expect::status(&ended, 0)?;
    ensure(ended.stdout.contains("the second build is equal, byte for byte"), || ended.stdout.clone())
}

fn sbom(session: &Session<'_>) -> Expected {
    let folder = release(session, "")?;
    let said = run(&[&text(&tool::python()), "-c", include_str!("sbom.py"), &text(&folder)])?;
    println!("    {}", said.trim());
    Ok(())
}

/// A firmware that knows one key of ours starts what that key signed, and nothing else.
fn secure_boot(session: &Session<'_>) -> Expected {
    let folder = session.folder.with_extension("keys");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let at = |name: &str| text(&folder.join(name));
    let (key, certificate) = (at("key.pem"), at("certificate.pem"));
    let make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=inflight -keyout";
    run(&[&make.split(' ').collect::<Vec<_>>()[..], &[&key, "-out", &certificate]].concat())?;
    let variables = at("variables.fd");
    let owner = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let own = [owner, &certificate];
    let enrol = tool::in_environment("virt-fw-vars");
    let start = [&text(&enrol), "--input", tool::VARIABLES, "--output", &variables, "-d", "db", "-d", "KEK"];
    run(&[&start[..], &["--set-pk"], &own, &["--add-kek"], &own, &["--add-db"], &own, &["--sb"]].concat())?;

    let places = build::places();
    let sign = |from: &Path, name: &str| {
        let signed = at(name);
        run(&["sbsign", "--key", &key, "--cert", &certificate, "--output", &signed, &text(from)])?;
        run(&["sbverify", "--cert", &certificate, &signed])?;
        Ok::<String, String>(signed)
    };
    let signed = sign(&places.primary, "signed.efi")?;
    let packed = sign(&places.file, "packed.efi")?;
    let mut bytes = fs::read(&signed).map_err(|error| error.to_string())?;
    // In the code.
    bytes[0x8000] ^= 1;
    let flipped = at("flipped.efi");
    fs::write(&flipped, bytes).map_err(|error| error.to_string())?;
    ensure(run(&["sbverify", "--cert", &certificate, &flipped]).is_err(), || "sbverify takes a flipped byte".into())?;

    // What is signed can be flashed, and nothing else than an image.
    let flash = |image: &str| {
        session.run(&words(&format!("flash --board qemu-virt --image {image} --to {}", folder.display())))
    };
    expect::status(&flash(&signed)?, 0)?;
    ensure(same(&folder.join("EFI/BOOT/BOOTAA64.EFI"), Path::new(&signed)), || "flash brought another image".into())?;
    let ended = flash(&certificate)?;
    expect::status(&ended, 2)?;
    ensure(ended.stderr.contains("is no UEFI application for arm64"), || ended.stderr.clone())?;

    let line = |image: &str| {
        let drive = format!("if=pflash,unit=1,format=raw,file={variables}");
        // The last `-kernel` holds.
        let own = ["--", "-drive", &drive, "-kernel", image].map(str::to_owned);
        [words("run --scenario adopt"), own.to_vec()].concat()
    };
    let ended = session.run(&line(&signed))?;
    expect::outcome(&ended, 0, "pass")?;
    expect::adopted(expect::run(&ended, "adopt")?)?;
    refused(session, &line(&text(&places.primary)), "failed to load Boot")?;
    refused(session, &line(&flipped), "failed to load Boot")?;
    // The loader starts, and firmware refuses what it unpacks: that is not signed.
    refused(session, &line(&packed), "under Secure Boot sign inflight-plain.efi")
}

/// The firmware says `word`, and nothing of the payload runs.
fn refused(session: &Session<'_>, arguments: &[String], word: &str) -> Expected {
    let running = session.start(arguments)?;
    let log = session.report().join("console.log");
    let begin = Instant::now();
    let console = loop {
        let console = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        if console.contains(word) {
            break console;
        }
        ensure(begin.elapsed() < SHORT, || format!("firmware never says `{word}`:\n{console}"))?;
        std::thread::sleep(Duration::from_millis(50));
    };
    running.interrupt()?;
    running.wait()?;
    ensure(!console.contains("# inflight: start of results"), || format!("it ran:\n{console}"))
}
