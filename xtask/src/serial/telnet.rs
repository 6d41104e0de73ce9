//! Telnet (RFC 854) as far as a console needs it: commands are taken out of the text, and whatever the other side offers or asks
//! for is declined, but for suppressed go-aheads and the server's echo, without which some servers pass lines only.

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const SB: u8 = 250;
const SE: u8 = 240;
/// Echo (RFC 857) and suppress go-ahead (RFC 858).
const WANTED: [u8; 2] = [1, 3];

/// Where in a command the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After a carriage return: a null that follows belongs to it.
    Return,
    Command,
    Option(u8),
    Sub,
    SubCommand,
}

/// One direction of a Telnet line, and what was agreed on.
#[derive(Debug, Default)]
pub struct Telnet {
    state: State,
    /// Options of the other side that were accepted: an answer is sent once.
    accepted: Vec<u8>,
}

impl Telnet {
    /// Takes what came: its text, and what is to be answered.
    pub fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut text, mut answer) = (Vec::with_capacity(bytes.len()), Vec::new());
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::Text | State::Return, IAC) => State::Command,
                (State::Return, 0) => State::Text,
                (State::Text | State::Return, _) => {
                    text.push(byte);
                    if byte == b'\r' { State::Return } else { State::Text }
                }
                (State::Command, IAC) => {
                    text.push(IAC);
                    State::Text
                }
                (State::Command, DO | DONT | WILL | WONT) => State::Option(byte),
                (State::Command, SB) => State::Sub,
                (State::Command, _) => State::Text,
                (State::Option(command), option) => {
                    answer.extend(self.answer(command, option));
                    State::Text
                }
                (State::Sub, IAC) => State::SubCommand,
                (State::SubCommand, SE) => State::Text,
                (State::Sub | State::SubCommand, _) => State::Sub,
            };
        }
        (text, answer)
    }

    fn answer(&mut self, command: u8, option: u8) -> Vec<u8> {
        match command {
            WILL if WANTED.contains(&option) => {
                if self.accepted.contains(&option) {
                    return Vec::new();
                }
                self.accepted.push(option);
                vec![IAC, DO, option]
            }
            WILL => vec![IAC, DONT, option],
            DO => vec![IAC, WONT, option],
            // What is refused stays as it is.
            _ => Vec::new(),
        }
    }
}

/// Bytes as they are sent: 255 is doubled.
pub fn escaped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| std::iter::repeat_n(byte, if byte == IAC { 2 } else { 1 })).collect()
}
