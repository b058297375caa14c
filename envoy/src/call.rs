//! The caller: one connection for each call, which it ends.

use crate::message::{self, BodyRule, Message};
use crate::story::Story;
use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The field by which backends know what belongs to which call.
pub(crate) const CALL: &str = "user-agent";
/// As which field of the answer those before it are told of.
const INTERIM: &str = "(interim)";
/// Who calls.
const CALLER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// Longer than anything that a story waits for.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// What is said on a connection that has changed to another protocol: a masked text frame (RFC 6455 section 5.7).
const FRAME: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

/// Calls, and returns the answer. `id` names the call.
///
/// # Errors
/// The connection breaks, or nothing comes in time.
pub(crate) fn call(to: SocketAddr, story: &Story, wish: &str, id: &str) -> Result<Message> {
    let stream = connect(to).with_context(|| format!("connect to {to}"))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let request = request(story, wish, id);
    (&stream).write_all(request.as_bytes())?;
    let rule = if request.starts_with("HEAD ") { BodyRule::Never } else { BodyRule::Response };
    let mut reader = BufReader::new(&stream);
    let mut answer = message::read(&mut reader, rule)?.context("closed without an answer")?;
    while answer.second_word().starts_with('1') && answer.second_word() != "101" {
        let interim = (INTERIM.to_owned(), answer.second_word().to_owned());
        answer = message::read(&mut reader, rule)?.context("closed behind an interim answer")?;
        answer.fields.push(interim);
    }
    if answer.second_word() == "101" {
        answer.body = converse(&stream, &mut reader)?;
    }
    Ok(answer)
}

/// From an address that Envoy does not take for its own host's: of that it would tell another one to backends.
fn connect(to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((CALLER, 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// What comes back of a frame, and whether the end comes back too.
fn converse(mut stream: &TcpStream, reader: &mut impl Read) -> Result<String> {
    stream.write_all(&FRAME)?;
    let mut echo = [0; FRAME.len()];
    reader.read_exact(&mut echo).context("read the echo of a frame")?;
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).context("read to the end of a connection")?;
    Ok(format!("{}, then {} bytes and the end", echo.escape_ascii(), rest.len()))
}

fn request(story: &Story, wish: &str, id: &str) -> String {
    let mut lines: Vec<&str> = wish.lines().map(str::trim).collect();
    let end = lines.iter().position(|line| line.is_empty());
    let body =
        end.map(|end| lines.split_off(end).get(1..).unwrap_or_default().join("\n")).unwrap_or_default();
    let mut request = format!("{} HTTP/1.1\r\n", lines[0]);
    let has =
        |name: &str| lines.iter().any(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    if !has("host") {
        request.push_str(&format!("host: {}\r\n", story.host()));
    }
    for line in &lines[1..] {
        request.push_str(&format!("{line}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{request}{CALL}: {id}\r\n\r\n{body}")
}
