//! Copies of requests (`RequestMirror`): each goes to one endpoint of its service, by itself and once all of its request
//! is here; what is answered is not looked at. A copy never holds up or fails the request that it is made of: where
//! there is no room for it, it is not made, and that is counted. What asks for copies: `decide::filter`.

use crate::flow::fetch_entry;
use crate::limits::MirrorPlace;
use crate::observe::MirrorOutcome;
use crate::request::Head;
use crate::upstream::attempts::Begun;
use crate::upstream::{AttemptLog, Target};
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use codec::{Body, BodyError, InterimSink};
use decide::filter::{RequestHead, mirrored_authority};
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use model::filter::Mirror;
use model::{Hostname, Reason};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::timeout;

/// How long a copy may take. One that takes longer is given up.
const COPY_WAIT_MAX: Duration = Duration::from_secs(15);
/// Of a longer answer, in bytes, the rest is not read, and its connection is closed.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Copies of one request, not sent yet.
struct Copies {
    worker: Rc<Worker>,
    all: Vec<Copy>,
}

struct Copy {
    host: Hostname,
    port: u16,
    head: Head,
    place: MirrorPlace,
}

/// Makes the copies of a request that is about to be sent, and gives its body back. Beside it: how many are made.
pub(crate) fn begin(worker: &Rc<Worker>, mirrors: &[&Mirror], head: &Head, body: Body) -> (Body, u32) {
    // Of what is upgraded there is no end that could be waited for.
    let wanted = if head.upgrade.is_some() { &[] } else { mirrors };
    let all: Vec<Copy> = wanted.iter().filter_map(|mirror| copy(worker, mirror, head)).collect();
    for _ in all.len()..mirrors.len() {
        worker.recorder.mirrored(MirrorOutcome::Dropped);
    }
    let made = u32::try_from(all.len()).unwrap_or(u32::MAX);
    if all.is_empty() {
        return (body, made);
    }
    let copies = Copies { worker: Rc::clone(worker), all };
    if body.is_end_stream() {
        copies.send(&Bytes::new(), None);
        return (body, made);
    }
    let budget = body.budget().cloned();
    let copied = Copied { body, copies: Some(copies), kept: BytesMut::new(), trailers: None };
    (Body::boxed(copied).charged_to(budget), made)
}

fn copy(worker: &Worker, mirror: &Mirror, head: &Head) -> Option<Copy> {
    let place = worker.mirrors.room.take()?;
    let mut head = head.copy();
    if !mirror.host_suffix.is_empty() {
        let authority = mirrored_authority(mirror, head.authority.as_str());
        head.set_host(&authority).ok()?;
    }
    Some(Copy { host: mirror.host.clone(), port: mirror.port, head, place })
}

impl Copies {
    fn send(self, body: &Bytes, trailers: Option<&HeaderMap>) {
        for copy in self.all {
            let worker = Rc::clone(&self.worker);
            let body = match trailers {
                None => Body::full(body.clone()),
                Some(trailers) => Body::boxed(WithTrailers(Some(body.clone()), Some(trailers.clone()))),
            };
            self.worker.mirrors.tasks.spawn_local("mirror", async move {
                let sent = timeout(COPY_WAIT_MAX, copy.send(&worker, body)).await;
                let outcome = match sent {
                    Ok(Ok(())) => MirrorOutcome::Answered,
                    Ok(Err(_)) | Err(_) => MirrorOutcome::Failed,
                };
                worker.recorder.mirrored(outcome);
            });
        }
    }

    /// They are not sent.
    fn drop_all(self) {
        for _ in &self.all {
            self.worker.recorder.mirrored(MirrorOutcome::Dropped);
        }
    }

    /// Whether there is room for so many more bytes of each.
    fn hold(&mut self, bytes: usize) -> bool {
        // They share the bytes: the first one is charged for all.
        self.all.first_mut().is_some_and(|first| first.place.hold(bytes))
    }
}

impl Copy {
    async fn send(mut self, worker: &Worker, body: Body) -> Result<(), Reason> {
        let snapshot = worker.snapshot();
        let entry = fetch_entry(worker, &snapshot, &self.host).await?;
        let target = Target::new(&entry, self.port).ok_or(Reason::NoBackend)?;
        let target = target.spoken_to_in(self.head.spoken());
        let mut answer = worker.upstream.send(&target, None, None, &mut self.head, body, &Untold).await?;
        let body = std::mem::take(answer.response.body_mut());
        if body.collect(ANSWER_BYTES_MAX).await.is_ok()
            && let Some(lease) = answer.lease
        {
            lease.give_back();
        }
        Ok(())
    }
}

/// What becomes of a copy is nobody's request's.
struct Untold;

impl AttemptLog for Untold {
    /// Copies have a limit of their own.
    fn began(&self, _: &Begun<'_>) -> Result<(), Reason> {
        Ok(())
    }

    fn limited(&self, _: Reason) {}
}

impl InterimSink for Untold {
    fn interim(&self, _: Response<()>) {}
}

/// A body of which copies are sent when all of it has passed.
struct Copied {
    body: Body,
    copies: Option<Copies>,
    kept: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Copied {
    fn saw(&mut self, frame: &Frame<Bytes>) {
        let Some(copies) = &mut self.copies else { return };
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if copies.hold(data.len()) => self.kept.extend_from_slice(data),
            (Some(_), _) => {
                self.kept = BytesMut::new();
                self.drop_copies();
            }
            (None, trailers) => self.trailers = trailers.cloned(),
        }
    }

    fn ended(&mut self) {
        if let Some(copies) = self.copies.take() {
            copies.send(&std::mem::take(&mut self.kept).freeze(), self.trailers.as_ref());
        }
    }

    fn drop_copies(&mut self) {
        if let Some(copies) = self.copies.take() {
            copies.drop_all();
        }
    }
}

impl http_body::Body for Copied {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                this.saw(frame);
                // Readers that know the length do not ask again after the last byte.
                if this.body.is_end_stream() {
                    this.ended();
                }
            }
            Some(Err(_)) => this.drop_copies(),
            None => this.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.drop_copies();
    }
}

/// Bytes in hand, and trailers behind them.
struct WithTrailers(Option<Bytes>, Option<HeaderMap>);

impl http_body::Body for WithTrailers {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let data = this.0.take().filter(|data| !data.is_empty()).map(Frame::data);
        Poll::Ready(data.or_else(|| this.1.take().map(Frame::trailers)).map(Ok))
    }
}
