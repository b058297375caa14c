//! A request body that is sent when its receiver asks for it (`Expect: 100-continue`, RFC 9110 section 10.1.1). Who
//! reads it invites its sender, so nobody reads it before.

use bytes::Bytes;
use codec::{Body, BodyError};
use http_body::{Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// For a receiver to say anything. Longer: it is one that does not know of it, and is sent the body. As long as curl
/// waits.
const WORD_WAIT: Duration = Duration::from_secs(1);

/// What the receiver has said so far.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    word: Cell<Word>,
    waiting: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    /// Nothing.
    #[default]
    None,
    /// It wants the body.
    Continue,
    /// Its answer, without a word about the body.
    Answer,
    /// All of its answer: it will not want the body any more.
    End,
}

impl Expectation {
    /// It wants the body.
    pub(crate) fn invited(&self) {
        self.say(Word::Continue);
    }

    /// It has begun to answer. What it has not asked for is not sent behind that.
    pub(crate) fn answered(&self) {
        if self.word.get() == Word::None {
            self.say(Word::Answer);
        }
    }

    /// The answer has ended.
    pub(crate) fn ended(&self) {
        if self.word.get() != Word::Continue {
            self.say(Word::End);
        }
    }

    fn say(&self, word: Word) {
        self.word.set(word);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// A body that waits for the word of its receiver.
pub(crate) struct Expecting<F> {
    body: Body,
    expectation: Rc<Expectation>,
    invite: F,
    is_wanted: bool,
    /// Begins when the receiver is sent the rest of the request.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Fn() + Unpin + 'static> Expecting<F> {
    /// `body`, once it is wanted; its sender is told so by `invite` then.
    pub(crate) fn body(body: Body, expectation: Rc<Expectation>, invite: F) -> Body {
        let budget = body.budget().cloned();
        Body::boxed(Self { body, expectation, invite, is_wanted: false, timer: None }).charged_to(budget)
    }
}

impl<F: Fn()> Expecting<F> {
    /// Ready when the body is wanted, or never will be.
    fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match self.expectation.word.get() {
            Word::Continue => return Poll::Ready(Ok(())),
            Word::End => return Poll::Ready(Err(BodyError::Other("nobody asked for the body".into()))),
            Word::None => {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(WORD_WAIT)));
                if timer.as_mut().poll(cx).is_ready() {
                    self.expectation.word.set(Word::Continue);
                    return Poll::Ready(Ok(()));
                }
            }
            Word::Answer => {}
        }
        *self.expectation.waiting.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<F: Fn() + Unpin> http_body::Body for Expecting<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.is_wanted {
            match this.poll_word(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(())) => {
                    this.is_wanted = true;
                    this.timer = None;
                    (this.invite)();
                }
            }
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
