//! Waits until a GET is answered with 200: somebody listens there, and all behind it is ready.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What is not ready by then has failed.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// For one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Looks until it is so.
pub(crate) fn run(to: SocketAddr, path: &str) -> Result<()> {
    let began = Instant::now();
    loop {
        let answer = ask(to, path);
        match &answer {
            Ok(line) if line.contains(" 200 ") => return Ok(()),
            _ if began.elapsed() > READY_WITHIN => bail!("{to}{path} is not ready: {answer:?}"),
            _ => std::thread::yield_now(),
        }
    }
}

/// The first line of the answer.
fn ask(to: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&to, ANSWER_WITHIN)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    Ok(line)
}
