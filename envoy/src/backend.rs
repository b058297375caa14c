//! Who is behind the proxies: servers that note each request and answer as it says.
//!
//! `x-answer: 503 200` are the statuses of a call's attempts, 200 without it; `close` breaks off, `never` answers nothing.
//! `x-answer-field: NAME: VALUE` is a field of the answer. A request for another protocol gets it, and its bytes back.

use crate::call::CALL;
use crate::message::{self, BodyRule, Message};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A request that does not come by then does not come.
const ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// What came, by the call that it belongs to.
#[derive(Default)]
pub(crate) struct Noted {
    by_call: Mutex<BTreeMap<String, Vec<Arrived>>>,
    more: Condvar,
}

/// A request, and at which backend.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: &'static str,
    pub(crate) request: Message,
}

impl Noted {
    /// All that came of a call, once there is so much.
    ///
    /// # Errors
    /// It does not come.
    pub(crate) fn arrived(&self, call: &str, at_least: usize) -> Result<Vec<Arrived>> {
        let began = Instant::now();
        let mut all = self.by_call.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let came = all.get(call).cloned().unwrap_or_default();
            if came.len() >= at_least {
                return Ok(came);
            }
            let left = ARRIVES_WITHIN.saturating_sub(began.elapsed());
            ensure!(!left.is_zero(), "of {call} came {} requests and not {at_least}", came.len());
            all = self.more.wait_timeout(all, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many of its call came before.
    fn note(&self, arrived: Arrived) -> usize {
        let call = arrived.request.field(CALL).unwrap_or_default().to_owned();
        let mut all = self.by_call.lock().unwrap_or_else(PoisonError::into_inner);
        let came = all.entry(call).or_default();
        let before = came.iter().filter(|other| other.at == arrived.at).count();
        came.push(arrived);
        self.more.notify_all();
        before
    }
}

/// Begins one, which is there until the process ends.
///
/// # Errors
/// No address is free.
pub(crate) fn begin(name: &'static str, noted: &Arc<Noted>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind a backend")?;
    let address = listener.local_addr()?;
    let noted = Arc::clone(noted);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let noted = Arc::clone(&noted);
            // What breaks off was broken off by a proxy, whose story says so.
            std::thread::spawn(move || serve(name, &stream, &noted));
        }
    });
    Ok(address)
}

fn serve(name: &'static str, mut stream: &TcpStream, noted: &Noted) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = message::read(&mut reader, BodyRule::Request)? {
        let before = noted.note(Arrived { at: name, request: request.clone() });
        let answers: Vec<&str> = request.field("x-answer").unwrap_or("200").split(' ').collect();
        let status = match answers.get(before).or(answers.last()).copied().unwrap_or("200") {
            "close" => return Ok(()),
            "never" => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            status => status,
        };
        if let Some(protocol) = request.field("upgrade") {
            let head =
                format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: {protocol}\r\nconnection: upgrade\r\n");
            stream.write_all(
                format!("{head}sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").as_bytes(),
            )?;
            return echo(stream, &mut reader);
        }
        let has_body = !matches!(status, "204" | "304");
        let mut head = format!("HTTP/1.1 {status} S\r\n");
        if has_body {
            head.push_str(&format!("content-length: {}\r\n", name.len()));
        }
        for (_, value) in request.fields.iter().filter(|(field, _)| field == "x-answer-field") {
            head.push_str(&format!("{value}\r\n"));
        }
        let body = if has_body && !request.first.starts_with("HEAD ") { name } else { "" };
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    }
    Ok(())
}

fn echo(mut stream: &TcpStream, reader: &mut impl Read) -> Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
