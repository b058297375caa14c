//! One exchange over a connection of its own, with bytes in hand both ways. Its future is `Send` where the stream is.

use std::convert::Infallible;
use std::io;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::framing::{BodyDecoder, BodyPiece};
use super::output::Output;
use super::parse::{Framing, HeadFault, HeadLimits, parse_response};
use super::write::put_request;
use crate::Body;
use crate::options::{HEADERS_MAX, READ_BYTES_MAX};

/// What is taken of a response's head.
const LIMITS: HeadLimits = HeadLimits { bytes: READ_BYTES_MAX, fields: HEADERS_MAX };

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum OneShotError {
    /// Its body has more bytes than are wanted.
    TooLarge,
    /// The connection, or what came on it.
    Failed(io::Error),
}

impl From<io::Error> for OneShotError {
    fn from(error: io::Error) -> Self {
        OneShotError::Failed(error)
    }
}

/// Sends `request`; takes at most `limit` bytes of the response's body.
pub(crate) async fn exchange<I>(
    io: I,
    request: Request<Bytes>,
    limit: usize,
) -> Result<Response<Bytes>, OneShotError>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let is_head = request.method() == Method::HEAD;
    let bytes = encode(request);
    let (mut reader, mut writer) = tokio::io::split(io);
    let write = async {
        // Who does not want it may have answered nevertheless.
        if writer.write_all(&bytes).await.is_ok() {
            let _ = writer.flush().await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = read(&mut reader, is_head, limit) => answer,
        never = write => match never {},
    }
}

fn encode(request: Request<Bytes>) -> Vec<u8> {
    let (parts, bytes) = request.into_parts();
    let mut body = Body::full(bytes);
    let mut output = Output::default();
    let (mut encoder, _) = put_request(&parts, &body, &mut output);
    if let Some(bytes) = body.take_full() {
        // What it says of its length is what it has.
        let _ = encoder.put(bytes, true, &mut output);
    }
    output.slices().map(|slice| slice.to_vec()).concat()
}

async fn read<R>(reader: &mut R, is_head: bool, limit: usize) -> Result<Response<Bytes>, OneShotError>
where
    R: AsyncRead + Unpin,
{
    let mut input = BytesMut::new();
    let head = loop {
        match parse_response(&mut input, LIMITS).map_err(unfit)? {
            Some(head) if head.status == StatusCode::SWITCHING_PROTOCOLS => return Err(odd().into()),
            Some(head) if head.status.is_informational() => {}
            Some(head) => break head,
            None if reader.read_buf(&mut input).await? == 0 => return Err(cut().into()),
            None => {}
        }
    };
    let is_bodiless = is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut decoder = BodyDecoder::new(if is_bodiless { Framing::Empty } else { head.framing });
    let mut body = BytesMut::new();
    while !decoder.is_ended() {
        match decoder.decode(&mut input).map_err(|_| odd())? {
            Some(BodyPiece::Data(data)) if body.len() + data.len() > limit => {
                return Err(OneShotError::TooLarge);
            }
            Some(BodyPiece::Data(data)) => body.extend_from_slice(&data),
            Some(BodyPiece::Trailers(_) | BodyPiece::End) => break,
            None if reader.read_buf(&mut input).await? > 0 => {}
            None if decoder.ends_with_connection() => break,
            None => return Err(cut().into()),
        }
    }
    let mut response = Response::new(body.freeze());
    *response.status_mut() = head.status;
    *response.version_mut() = head.version;
    *response.headers_mut() = head.headers;
    Ok(response)
}

fn unfit(_: HeadFault) -> io::Error {
    odd()
}

fn odd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "response that makes no sense")
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "connection ended before the response did")
}
