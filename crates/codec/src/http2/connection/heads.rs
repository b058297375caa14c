//! Blocks of fields that the peer sends: requests, responses, trailers.
//!
//! Every block is decoded, whatever becomes of it: the table must stay in step.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::super::frame::{self, ErrorCode, RST_STREAM};
use super::super::head::{BlockKind, FieldList, RequestFault, declared_length, is_tunnel};
use super::super::hpack::HeaderList;
use super::super::stream::{Purpose, RecvState, Stream, StreamError};
use super::super::streams::{Known, StreamKey};
use super::receive::{Arrival, HEAD_ABUSE_FACTOR};
use super::{Farewell, Fatal, Multiplexer, PeerRole};
use crate::Flood;

/// Heads of interim responses that one request may have.
const INTERIM_HEADS_MAX: u32 = 100;
/// Of those, how many wait for whoever passes them on.
const INTERIM_HEADS_WAITING_MAX: usize = 4;
/// Bytes of a block whose values share one copy, if it pays: any of them keeps all of it.
const SHARED_BLOCK_BYTES: std::ops::RangeInclusive<usize> = 128..=2048;

/// What a block is for.
enum Addressee {
    /// A request that nobody has seen yet.
    New,
    Open(StreamKey),
    /// We reset it a moment ago.
    Nobody,
    /// It has ended, or the peer itself has broken it off.
    Closed,
}

/// A block that has come whole.
struct WholeBlock {
    fields: FieldList,
    /// Nothing comes behind it.
    is_last: bool,
    /// There is more of it than we take.
    is_large: bool,
}

impl Multiplexer {
    /// A whole block on a stream; `is_last`: nothing comes behind it.
    pub(super) fn block(&mut self, id: u32, is_last: bool, block: &[u8]) -> Result<Option<Arrival>, Fatal> {
        let addressee = match self.streams.find(id) {
            Known::Open(key) if self.is_reset_by_peer(key) => Addressee::Closed,
            Known::Open(key) if self.is_broken_off(key) => Addressee::Nobody,
            Known::Open(key) => Addressee::Open(key),
            Known::Reset => Addressee::Nobody,
            Known::No if !self.is_idle(id) => Addressee::Closed,
            // Looked at when it began: only clients open streams.
            Known::No => Addressee::New,
        };
        let kind = match &addressee {
            Addressee::New => BlockKind::Request,
            Addressee::Closed if self.peer_is == PeerRole::Client => BlockKind::Request,
            Addressee::Open(key) if self.awaits_head(*key) => BlockKind::Response,
            _ => BlockKind::Trailers,
        };
        let mut fields = FieldList::new(kind, self.bounds.headers_max);
        fields.takes_protocol = self.bounds.takes_protocol;
        let is_large = self.decode(block, &mut fields)?;
        let block = WholeBlock { fields, is_last, is_large };
        match (addressee, kind) {
            (Addressee::New, _) => return self.requested(id, block),
            (Addressee::Open(key), BlockKind::Response) => self.responded(key, block)?,
            (Addressee::Open(key), _) => self.trailed(key, block)?,
            (Addressee::Nobody, _) => {}
            // Trailers may have been on their way; a request has a number that is larger than all before it.
            (Addressee::Closed, _) if block.fields.is_request() => {
                return Err(Fatal::Violation(ErrorCode::PROTOCOL_ERROR, "request on a stream that is over"));
            }
            (Addressee::Closed, _) => self.reset_unknown(id)?,
        }
        Ok(None)
    }

    /// Decodes a block. Returns whether it is larger than we take.
    fn decode(&mut self, block: &[u8], fields: &mut FieldList) -> Result<bool, Fatal> {
        let list = if SHARED_BLOCK_BYTES.contains(&block.len()) {
            self.decoder.decode(&Bytes::copy_from_slice(block), |field| fields.add(field))
        } else {
            self.decoder.decode_borrowed(block, |field| fields.add(field))
        };
        let abuse = self.bounds.header_bytes_max.saturating_mul(HEAD_ABUSE_FACTOR);
        match list {
            Ok(HeaderList::Whole { .. }) => Ok(false),
            Ok(HeaderList::TooLarge { bytes }) if bytes > abuse => Err(Fatal::Flood(Flood::HeaderBytes)),
            Ok(HeaderList::TooLarge { .. }) => Ok(true),
            Err(_) => Err(Fatal::Violation(ErrorCode::COMPRESSION_ERROR, "fields that cannot be decoded")),
        }
    }

    fn awaits_head(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.recv == RecvState::AwaitingHead)
    }

    fn is_reset_by_peer(&self, key: StreamKey) -> bool {
        let error = self.streams.get(key).and_then(|stream| stream.error.as_ref());
        matches!(error, Some(StreamError::Reset(_)))
    }

    fn is_broken_off(&self, key: StreamKey) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.error.is_some())
    }

    /// A client asks for something.
    fn requested(&mut self, id: u32, block: WholeBlock) -> Result<Option<Arrival>, Fatal> {
        let WholeBlock { fields, is_last, is_large } = block;
        self.last_peer_stream = id;
        if self.farewell == Farewell::Final {
            // It came after our last word, and the peer knows that nobody looks at it.
            self.streams.remember_reset(id);
            return Ok(None);
        }
        if self.open >= self.bounds.streams_max {
            self.refuse(id, ErrorCode::REFUSED_STREAM, is_last);
            return Ok(None);
        }
        let request = if is_large {
            Err(RequestFault::Answer(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
        } else {
            fields.into_request()
        };
        let request = match request {
            Ok(request) => request,
            Err(RequestFault::Answer(status)) => {
                self.put_status(id, status);
                // The answer is whole; the rest of the request is not wanted.
                if !is_last {
                    self.refuse(id, ErrorCode::NO_ERROR, false);
                }
                return Ok(None);
            }
            Err(RequestFault::Malformed) => {
                self.refuse(id, ErrorCode::PROTOCOL_ERROR, is_last);
                return self.note_error().map(|()| None);
            }
        };
        let is_tunnel = is_tunnel(&request);
        let length = if is_tunnel { Ok(None) } else { declared_length(request.headers()) };
        let length = match length {
            Ok(length) if !is_last || length.is_none_or(|length| length == 0) => length,
            _ => {
                self.refuse(id, ErrorCode::PROTOCOL_ERROR, is_last);
                return self.note_error().map(|()| None);
            }
        };
        let purpose = if is_tunnel { Purpose::Tunnel } else { Purpose::Request };
        let recv = if is_last { RecvState::Ended } else { RecvState::Streaming };
        let mut stream = Stream::new(purpose, recv, self.recv_stream_window(), self.peer.stream_window);
        stream.remaining = length;
        self.open += 1;
        let key = self.streams.insert(id, stream);
        Ok(Some(Arrival { key, request }))
    }

    /// The head of a response, or an interim one.
    fn responded(&mut self, key: StreamKey, block: WholeBlock) -> Result<(), Fatal> {
        let WholeBlock { fields, is_last, is_large } = block;
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        if is_large {
            return self.fail_stream(key, ErrorCode::PROTOCOL_ERROR, StreamError::HeadTooLarge);
        }
        let Ok(response) = fields.into_response() else {
            return self.malformed(key, "response with fields that have no reading");
        };
        if response.status().is_informational() {
            stream.interims += 1;
            if is_last || stream.interims > INTERIM_HEADS_MAX {
                return self.malformed(key, "interim responses without a final one");
            }
            // Who does not take them in time misses those that are too many.
            if stream.interim_heads.len() < INTERIM_HEADS_WAITING_MAX {
                stream.interim_heads.push_back(response);
                stream.wake_reader();
            }
            return Ok(());
        }
        let length = match stream.purpose {
            Purpose::Tunnel if response.status().is_success() => Ok(None),
            _ if is_bodiless(stream.purpose, &response) => Ok(Some(0)),
            _ => declared_length(response.headers()),
        };
        match length {
            Ok(length) if !is_last || length.is_none_or(|length| length == 0) => stream.remaining = length,
            _ => return self.malformed(key, "response that contradicts its length"),
        }
        stream.head = Some(response);
        stream.recv = RecvState::Streaming;
        if is_last {
            self.end_of_data(key);
        } else {
            stream.wake_reader();
        }
        Ok(())
    }

    /// Fields behind the data.
    fn trailed(&mut self, key: StreamKey, block: WholeBlock) -> Result<(), Fatal> {
        let WholeBlock { fields, is_last, is_large } = block;
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        if stream.recv == RecvState::Ended {
            return self.fail_stream(
                key,
                ErrorCode::STREAM_CLOSED,
                StreamError::Violated("fields behind the end"),
            );
        }
        if !is_last {
            return self.malformed(key, "trailers without an end");
        }
        // A tunnel has none, and nobody would read them.
        if stream.purpose != Purpose::Tunnel {
            if is_large {
                return self.malformed(key, "trailers that are too large");
            }
            if stream.remaining.is_some_and(|remaining| remaining > 0) {
                return self.malformed(key, "less data than was declared");
            }
            match fields.into_trailers() {
                Ok(trailers) => stream.trailers = Some(trailers),
                Err(_) => return self.malformed(key, "trailers that have no reading"),
            }
        }
        self.end_of_data(key);
        Ok(())
    }

    fn malformed(&mut self, key: StreamKey, why: &'static str) -> Result<(), Fatal> {
        self.fail_stream(key, ErrorCode::PROTOCOL_ERROR, StreamError::Violated(why))
    }

    /// Resets a stream as it is asked for.
    fn refuse(&mut self, id: u32, code: ErrorCode, is_last: bool) {
        self.outbox.answer(|out| frame::put(out, RST_STREAM, 0, id, &code.0.to_be_bytes()));
        // Else nothing more comes on it that matters.
        if !is_last {
            self.streams.remember_reset(id);
        }
    }
}

/// Whether a response has no content, whatever its length says.
fn is_bodiless(purpose: Purpose, response: &Response<()>) -> bool {
    let status = response.status();
    purpose == Purpose::HeadRequest || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
