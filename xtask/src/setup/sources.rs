//! The system's own apt sources: where the main suite comes from, so that its backports can come from there too.

/// An archive that serves a suite, as one entry of the system's sources names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Address, as written there.
    pub uri: String,
    /// Key, or path to it, as written there; `None` where apt's trusted keys are meant.
    pub signed_by: Option<String>,
    /// Suites of the entry.
    pub suites: Vec<String>,
}

/// Entries of one file in apt's deb822 form (`*.sources`).
pub fn deb822(text: &str) -> Vec<Archive> {
    let mut archives = Vec::new();
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            archives.extend(from_stanza(&stanza));
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            // An embedded key block keeps its lines: " ." stands for an empty one.
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    archives
}

fn from_stanza(stanza: &[(String, String)]) -> Option<Archive> {
    let field = |name: &str| stanza.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let words = |name: &str| field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let disabled = field("enabled").is_some_and(|value| matches!(value, "no" | "false" | "0"));
    let useful =
        words("types").iter().any(|kind| kind == "deb") && words("components").iter().any(|name| name == "main");
    if disabled || !useful {
        return None;
    }
    let uri = words("uris").into_iter().find(|uri| is_fetchable(uri))?;
    Some(Archive { uri, signed_by: field("signed-by").map(str::to_owned), suites: words("suites") })
}

/// Entries of one file in apt's one-line form (`sources.list`, `*.list`).
pub fn one_line(text: &str) -> Vec<Archive> {
    text.lines().filter_map(from_line).collect()
}

fn from_line(line: &str) -> Option<Archive> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t', '[']))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    if !is_fetchable(uri) || !words.any(|component| component == "main") {
        return None;
    }
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
    Some(Archive { uri: uri.to_owned(), signed_by, suites: vec![suite.to_owned()] })
}

/// An installation medium holds no backports.
fn is_fetchable(uri: &str) -> bool {
    !uri.starts_with("cdrom:")
}

/// The archive of the release itself: not its security suite, which another server may serve.
pub fn main_archive<'a>(archives: &'a [Archive], codename: &str) -> Option<&'a Archive> {
    let serves = |name: &str| archives.iter().find(|archive| archive.suites.iter().any(|suite| suite == name));
    [codename, "stable", "oldstable"].into_iter().find_map(serves)
}

/// Whether the system knows the suite already.
pub fn knows(archives: &[Archive], suite: &str) -> bool {
    archives.iter().any(|archive| archive.suites.iter().any(|known| known == suite))
}

/// A deb822 file for `suite` from the same archive and with the same key.
pub fn source_file(archive: &Archive, suite: &str) -> String {
    let key = archive.signed_by.as_ref().map(|key| format!("Signed-By: {key}\n")).unwrap_or_default();
    format!(
        "# Written by `cargo xtask` of inflight: a QEMU that is new enough. Remove it when you do not need it any more.\n\
         Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{key}",
        archive.uri
    )
}
