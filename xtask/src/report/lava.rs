//! The log of a LAVA job: a line of YAML for each that its dispatcher has to say, what the board said among them
//! (`lava_common/log.py`).

use std::str::Chars;

/// How such a line begins, behind the dash of a list.
const FIRST: &str = "{\"dt\": ";
/// What stands in front of a line of the board's.
const SAID: &str = "\"lvl\": \"target\", \"msg\": \"";

/// What the board said, where this is such a log.
pub fn console(log: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(log).ok()?;
    // The dash of a list is there in the files that LAVA keeps.
    let mut lines = text.lines().map(|line| line.strip_prefix("- ").unwrap_or(line)).peekable();
    lines.peek().filter(|first| first.starts_with(FIRST))?;
    let said = lines.filter_map(|line| line.split_once(SAID)?.1.strip_suffix("\"}"));
    Some(said.flat_map(|line| [plain(line), "\n".to_owned()]).collect::<String>().into_bytes())
}

/// A double-quoted scalar without its escapes (YAML 1.2.2, 5.7).
fn plain(quoted: &str) -> String {
    let (mut text, mut rest) = (String::new(), quoted.chars());
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => text.extend(rest.next().map(|name| escaped(name, &mut rest))),
            letter => text.push(letter),
        }
    }
    text
}

/// The letter that an escape of this name stands for.
fn escaped(name: char, rest: &mut Chars<'_>) -> char {
    let mut number = |digits| {
        let digits: String = rest.take(digits).collect();
        u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    match name {
        'x' => number(2),
        'u' => number(4),
        'U' => number(8),
        '0' => '\0',
        'a' => '\x07',
        'b' => '\x08',
        't' => '\t',
        'n' => '\n',
        'v' => '\x0b',
        'f' => '\x0c',
        'r' => '\r',
        'e' => '\x1b',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{console, plain};

    #[test]
    fn what_the_board_said_is_taken_out_of_a_job() {
        let log = concat!(
            "- {\"dt\": \"2026-08-21T22:01:02\", \"lvl\": \"info\", \"msg\": \"Boot command: qemu\"}\n",
            "- {\"dt\": \"2026-08-21T22:01:03\", \"lvl\": \"target\", \"msg\": \"\\e[2J# inflight: \\\"x\\\"\"}\n",
            "- {\"dt\": \"2026-08-21T22:01:04\", \"lvl\": \"results\", \"msg\": {\"case\": \"job\"}}\n",
            "- {\"dt\": \"2026-08-21T22:01:05\", \"lvl\": \"target\", \"msg\": \"\"}\n",
        );
        assert_eq!(console(log.as_bytes()).unwrap(), b"\x1b[2J# inflight: \"x\"\n\n");
        // As the dispatcher prints it by itself.
        assert_eq!(console(log.replace("- {", "{").as_bytes()), console(log.as_bytes()));
    }

    #[test]
    fn a_console_is_none() {
        assert_eq!(console(b"# inflight host: request {}\n- {\"dt\": 1}\n"), None);
        assert_eq!(console(b"\xff"), None);
        assert_eq!(console(b""), None);
    }

    #[test]
    fn escapes_of_yaml_are_read() {
        assert_eq!(plain(r"\x41\u00e4\U0001F600\t\\\/"), "A\u{e4}\u{1F600}\t\\/");
        assert_eq!(plain(r"\"), "");
    }
}
