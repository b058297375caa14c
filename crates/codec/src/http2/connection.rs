//! One connection of HTTP/2 (RFC 9113) without its socket: bytes come in and become requests, or what streams wait
//! for; what streams send becomes bytes in the outbox. It does no reading, no writing and no waiting.
//!
//! It lives on one thread, shared by the task that drives it and those of its streams. Nothing that a peer sends
//! makes it hold more than its limits say. Read next: `connection::receive`, `connection::send`, `transport`.

mod heads; // blocks of fields, theirs
mod receive; // the peer's frames
mod send; // ours
mod windows; // what each may send when

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::sync::Notify;

use super::flood::{FloodCounter, SmallFrames};
use super::flow::{FIRST_WINDOW_BYTES, RecvWindow};
use super::frame::{self, ErrorCode, FRAME_BYTES_LIMIT, FRAME_BYTES_MIN};
use super::hpack::{HpackDecoder, HpackEncoder, StringCoding};
use super::outbox::{HEADS_WAITING_BYTES_MAX, Outbox};
use super::settings::{OwnSettings, PeerSettings};
use super::stream::{ConnectionLoss, Stream, StreamError, keep};
use super::streams::{StreamKey, StreamTable};
use crate::watchdog::Outlet;
use crate::{ClientOptions, Flood, HTTP2_PREFACE, ServeError, ServerOptions};
use receive::Incoming;

pub(super) use receive::Arrival;
pub(super) use send::RequestTarget;
pub(super) use windows::TURN_BYTES;

/// No stream has a larger number.
const STREAM_ID_MAX: u32 = (1 << 31) - 1;
/// What is in the PING that goes with our first GOAWAY: when it is answered, the peer has seen that.
const FAREWELL_PING: [u8; 8] = *b"farewell";
/// What is in any other PING of ours.
const KEEPALIVE_PING: [u8; 8] = *b"so quiet";

/// Who the peer is: this says what its blocks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerRole {
    Client,
    Server,
}

/// What ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fatal {
    /// Too many of these.
    Flood(Flood),
    /// The peer broke a rule.
    Violation(ErrorCode, &'static str),
}

impl From<Fatal> for ServeError {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Flood(flood) => ServeError::Flood(flood),
            Fatal::Violation(_, why) => ServeError::Protocol(why.into()),
        }
    }
}

impl Fatal {
    /// What the peer is told.
    pub(super) fn code(self) -> ErrorCode {
        match self {
            Fatal::Flood(_) => ErrorCode::ENHANCE_YOUR_CALM,
            Fatal::Violation(code, _) => code,
        }
    }

    pub(super) fn loss(self) -> ConnectionLoss {
        match self {
            Fatal::Flood(flood) => ConnectionLoss::Flooded(flood),
            Fatal::Violation(_, why) => ConnectionLoss::Violated(why),
        }
    }
}

/// How far we are in saying goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    Staying,
    /// Said that there will be an end; streams that are on their way are still welcome.
    Announced,
    /// Said which streams are the last.
    Final,
}

/// What a connection may hold and take.
#[derive(Clone, Copy, Debug)]
struct ConnectionBounds {
    header_bytes_max: usize,
    headers_max: usize,
    /// Streams that the peer may have open.
    streams_max: usize,
    stream_window: u32,
    frame_bytes_max: usize,
    /// Whether clients may send extended CONNECT.
    takes_protocol: bool,
    errors_max: usize,
    taken_back_max: usize,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Multiplexer {
    peer_is: PeerRole,
    bounds: ConnectionBounds,
    streams: StreamTable,
    /// Streams that are open for the peer; those that are not, wait for who reads them.
    open: usize,
    outbox: Outbox,
    encoder: HpackEncoder,
    decoder: HpackDecoder,
    peer: PeerSettings,
    has_settings: bool,
    recv_window: RecvWindow,
    incoming: Incoming,
    /// Streams that wait for the connection's window, in the order in which they are served.
    for_window: VecDeque<StreamKey>,
    /// Those that wait for the outbox alone.
    for_space: VecDeque<StreamKey>,
    floods: FloodCounter,
    small_frames: SmallFrames,
    /// For how many errors of the peer's we have reset a stream.
    errors: usize,
    /// Requests of this turn that were taken back before anybody looked at them.
    taken_back: usize,
    /// The last stream that the peer opened.
    last_peer_stream: u32,
    /// The next stream that we open.
    next_stream: u32,
    farewell: Farewell,
    /// The peer's GOAWAY: the last stream that it looks at, and why.
    goaway: Option<(u32, ErrorCode)>,
    loss: Option<ConnectionLoss>,
    is_abandoned: bool,
    driver: Option<Waker>,
    /// Bytes that have been read.
    heard: u64,
    outlet: Outlet,
    /// Streams that we may open at once.
    max_streams: usize,
    /// Told when there may be room for another stream, or none will be any more.
    freed: Rc<Notify>,
}

/// A connection as its tasks share it.
pub(super) type SharedMultiplexer = Rc<RefCell<Multiplexer>>;

impl Multiplexer {
    /// Of a server; it has said its SETTINGS.
    pub(super) fn server(options: &ServerOptions) -> Self {
        let bounds = ConnectionBounds {
            header_bytes_max: options.max_header_bytes,
            headers_max: options.max_headers,
            streams_max: usize::try_from(options.max_concurrent_streams).unwrap_or(usize::MAX),
            stream_window: options.stream_window,
            frame_bytes_max: frame_bytes_max(options.max_frame_bytes),
            takes_protocol: options.takes_upgrades,
            errors_max: options.resets.errors,
            taken_back_max: options.resets.pending_accept,
        };
        let small = options.resets.data_frame_budget.unwrap_or(options.connection_window as usize / 2);
        let mut connection = Self::new(
            PeerRole::Client,
            bounds,
            Outbox::new(options.max_send_buffer_bytes, HEADS_WAITING_BYTES_MAX),
            FloodCounter::new(options.floods),
            SmallFrames::new(small),
            options.resets.remembered,
        );
        connection.introduce(options.connection_window, Some(options.max_concurrent_streams));
        connection
    }

    /// Of a client; it has said its preface and SETTINGS.
    pub(super) fn client(options: &ClientOptions) -> Self {
        let bounds = ConnectionBounds {
            header_bytes_max: options.max_header_bytes,
            headers_max: usize::MAX,
            streams_max: 0,
            stream_window: options.stream_window,
            frame_bytes_max: frame_bytes_max(options.max_frame_bytes),
            takes_protocol: false,
            errors_max: options.resets.errors,
            taken_back_max: 0,
        };
        let small = options.resets.data_frame_budget.unwrap_or(options.connection_window as usize / 2);
        let mut connection = Self::new(
            PeerRole::Server,
            bounds,
            // A server answers what we ask; it need not be kept from it.
            Outbox::new(options.max_send_buffer_bytes, usize::MAX),
            FloodCounter::new(options.floods),
            SmallFrames::new(small),
            options.resets.remembered,
        );
        connection.max_streams = options.initial_max_streams;
        connection.outbox.put(|out| out.extend_from_slice(HTTP2_PREFACE));
        connection.introduce(options.connection_window, None);
        connection
    }

    fn new(
        peer_is: PeerRole,
        bounds: ConnectionBounds,
        outbox: Outbox,
        floods: FloodCounter,
        small_frames: SmallFrames,
        resets_max: usize,
    ) -> Self {
        Multiplexer {
            peer_is,
            bounds,
            streams: StreamTable::new(resets_max),
            open: 0,
            outbox,
            encoder: HpackEncoder::new(StringCoding::Plain),
            decoder: HpackDecoder::new(bounds.header_bytes_max),
            peer: PeerSettings::first(),
            has_settings: false,
            recv_window: RecvWindow::new(FIRST_WINDOW_BYTES),
            incoming: Incoming::new(peer_is),
            for_window: VecDeque::new(),
            for_space: VecDeque::new(),
            floods,
            small_frames,
            errors: 0,
            taken_back: 0,
            last_peer_stream: 0,
            next_stream: 1,
            farewell: Farewell::Staying,
            goaway: None,
            loss: None,
            is_abandoned: false,
            driver: None,
            heard: 0,
            outlet: Outlet::default(),
            max_streams: 0,
            freed: Rc::default(),
        }
    }

    /// Our SETTINGS, and the connection's window.
    fn introduce(&mut self, connection_window: u32, streams_max: Option<u32>) {
        let settings = OwnSettings {
            stream_window: self.bounds.stream_window,
            frame_bytes_max: u32::try_from(self.bounds.frame_bytes_max).unwrap_or(u32::MAX),
            header_bytes_max: u32::try_from(self.bounds.header_bytes_max).unwrap_or(u32::MAX),
            streams_max,
            takes_protocol: self.bounds.takes_protocol,
        };
        self.outbox.put(|out| settings.write(out));
        if let Some(more) = connection_window.checked_sub(FIRST_WINDOW_BYTES).filter(|more| *more > 0) {
            self.outbox.put(|out| frame::put(out, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes()));
            self.recv_window = RecvWindow::new(connection_window);
        }
    }

    /// Who drives it, and is woken when there is something to write or to end.
    pub(super) fn listen_as_driver(&mut self, cx: &Context<'_>) {
        keep(&mut self.driver, cx);
    }

    /// Whoever drives it is at work: it needs no waking.
    pub(super) fn begin_turn(&mut self) {
        self.driver = None;
        self.taken_back = 0;
    }

    /// Nobody opens streams any more.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
        self.wake_driver();
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// The connection is over; every stream hears of it.
    pub(super) fn end(&mut self, loss: ConnectionLoss) {
        let loss = self.loss.get_or_insert(loss).clone();
        for stream in self.streams.iter_mut() {
            if stream.error.is_none() {
                stream.error = Some(StreamError::Lost(loss.clone()));
            }
            stream.wake_reader();
            stream.wake_writer();
        }
        self.open = 0;
        self.freed.notify_waiters();
    }

    /// Says that there will be an end. Streams that are on their way are still taken.
    pub(super) fn announce_end(&mut self) {
        if self.farewell == Farewell::Staying {
            self.farewell = Farewell::Announced;
            self.outbox.put(|out| {
                frame::put_goaway(out, STREAM_ID_MAX, ErrorCode::NO_ERROR);
                frame::put(out, frame::PING, 0, 0, &FAREWELL_PING);
            });
        }
    }

    /// Says that this is the end, and why. Nothing more is taken.
    pub(super) fn say_end(&mut self, code: ErrorCode) {
        self.farewell = Farewell::Final;
        let last = self.last_peer_stream;
        self.outbox.put(|out| frame::put_goaway(out, last, code));
    }

    /// Asks the peer whether it is there.
    pub(super) fn ping(&mut self) {
        self.outbox.put(|out| frame::put(out, frame::PING, 0, 0, &KEEPALIVE_PING));
    }

    /// Whether no stream is left and none will come.
    pub(super) fn is_finished(&self) -> bool {
        let will_none_come = self.farewell == Farewell::Final || self.goaway.is_some() || self.is_abandoned;
        self.streams.is_empty() && will_none_come
    }

    /// Whether the peer said goodbye, and why if not in peace.
    pub(super) fn peer_complaint(&self) -> Option<ErrorCode> {
        self.goaway.map(|(_, code)| code).filter(|code| *code != ErrorCode::NO_ERROR)
    }

    /// Whether no stream can be opened any more.
    pub(super) fn is_closed(&self) -> bool {
        self.loss.is_some() || self.goaway.is_some() || self.next_stream > STREAM_ID_MAX
    }

    /// What the peer lets us send on a new stream.
    pub(super) fn peer_stream_window(&self) -> u32 {
        self.peer.stream_window
    }

    /// Streams that somebody holds.
    pub(super) fn held_streams(&self) -> usize {
        self.streams.len()
    }

    /// Streams that we may open at once.
    pub(super) fn max_streams(&self) -> usize {
        self.max_streams
    }

    /// Whether the peer takes extended CONNECT, as far as is known.
    pub(super) fn takes_protocol(&self) -> bool {
        self.peer.takes_protocol
    }

    /// Whether the peer's SETTINGS came.
    pub(super) fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// See [`Outbox::is_overlong`].
    pub(super) fn is_overlong(&self) -> bool {
        self.outbox.is_overlong()
    }

    /// So many bytes of the outbox have left.
    pub(super) fn note_written(&mut self, len: usize) {
        let was_overlong = self.is_overlong();
        self.outbox.advance(len);
        if was_overlong && !self.is_overlong() {
            self.freed.notify_waiters();
        }
    }

    /// See there.
    pub(super) fn freed(&self) -> Rc<Notify> {
        Rc::clone(&self.freed)
    }

    /// Whether the peer owes the rest of a head, or of its preface.
    pub(super) fn is_within_head(&self) -> bool {
        self.incoming.is_within_head()
    }

    /// What the socket does.
    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// So many bytes were read.
    pub(super) fn note_heard(&mut self, len: usize) {
        self.heard += len as u64;
    }

    /// Changes with whatever the peer says.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// What is in `key`'s stream, for those who read or write it.
    pub(super) fn stream(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.get_mut(key)
    }
}

fn frame_bytes_max(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).clamp(FRAME_BYTES_MIN, FRAME_BYTES_LIMIT)
}

#[cfg(test)]
mod tests;
