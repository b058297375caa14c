//! One question and its answer, over any stream, and what an answer means.

use super::frame::{BundleText, QuestionKind, SignAnswer, SignQuestion, VERSION, read, receive, send};
use super::{IssueError, Issued, RefusalCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// An answer that takes longer is a failure; with it everything that had to come before, as connecting.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedCertificate<'a> {
    /// Whose intermediate; `None`: the leaf of the management plane.
    pub(super) cluster: Option<&'a str>,
    /// PKCS #10, DER.
    pub(super) csr: &'a [u8],
}

/// As it is sent, where the stream itself carries the right.
pub(super) fn question(number: u64, asked: WantedCertificate<'_>) -> SignQuestion {
    SignQuestion {
        version: VERSION,
        number,
        kind: if asked.cluster.is_some() { QuestionKind::Intermediate } else { QuestionKind::Leaf },
        csr: BASE64.encode(asked.csr),
        cluster: asked.cluster.map(str::to_owned),
        token: None,
        ttl_s: None,
    }
}

/// Asks over a stream that is for this question alone.
pub(super) async fn ask_once(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    question: &SignQuestion,
) -> Result<SignAnswer, IssueError> {
    send(stream, question).await.map_err(IssueError::Stream)?;
    let json = receive(stream).await.map_err(IssueError::Stream)?;
    let json = json.ok_or_else(|| IssueError::Stream(io::ErrorKind::UnexpectedEof.into()))?;
    let answer: SignAnswer =
        read(&json).map_err(|_| IssueError::Malformed("no JSON of the issuer's protocol"))?;
    // A refusal may come before the question was read.
    if answer.number != question.number && answer.error.is_none() {
        return Err(IssueError::Malformed("number of another question"));
    }
    Ok(answer)
}

/// An answer that is no refusal.
pub(super) fn accepted(answer: SignAnswer) -> Result<SignAnswer, IssueError> {
    match answer.error {
        Some(reason) => Err(IssueError::Refused { code: answer.code.unwrap_or(RefusalCode::Other), reason }),
        None => Ok(answer),
    }
}

/// What was signed, or why not.
pub(super) fn issued(answer: SignAnswer) -> Result<Issued, IssueError> {
    let answer = accepted(answer)?;
    let domain = |text: &str| TrustDomain::parse(text).ok_or(IssueError::Malformed("trust domain"));
    let decode = |texts: &[String]| -> Result<Vec<Vec<u8>>, IssueError> {
        let der = |text: &String| BASE64.decode(text).map_err(|_| IssueError::Malformed("certificate"));
        texts.iter().map(der).collect()
    };
    let bundle = |bundle: &BundleText| -> Result<TrustBundle, IssueError> {
        Ok(TrustBundle { trust_domain: domain(&bundle.trust_domain)?, roots: decode(&bundle.roots)? })
    };
    Ok(Issued {
        chain: decode(&answer.chain)?,
        bundles: answer.bundles.iter().map(bundle).collect::<Result<_, _>>()?,
        id: match &answer.id {
            Some(text) => Some(SpiffeId::parse(text).ok_or(IssueError::Malformed("identity"))?),
            None => None,
        },
        trust_domain: domain(&answer.trust_domain)?,
    })
}

/// Within [`ANSWER_TIMEOUT`].
pub(super) async fn in_time<T>(asking: impl Future<Output = Result<T, IssueError>>) -> Result<T, IssueError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(IssueError::Silent(ANSWER_TIMEOUT)),
    }
}
