//! Answers over a Unix stream, for whoever holds a root.
//!
//! The stream itself carries the right: what may be signed is fixed by the [`Grant`]s of the holder, names in
//! requests mean nothing. The other end is `socket`.

use super::frame::{BundleText, CertificateKind, SignAnswer, SignQuestion, frame, frame_length};
use crate::root::Root;
use crate::sign::SignError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use serde::Deserialize;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What the other end of one stream may have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Intermediates that sign leaves of the root's trust domain and are bound to one cluster.
    Intermediate {
        /// Must be the root's.
        trust_domain: TrustDomain,
        /// Name of the cluster; it stands in the certificate, whatever the request says.
        cluster: String,
    },
    /// Leaves for exactly this identity.
    Leaf(SpiffeId),
}

/// How long what a holder signs is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of intermediates.
    pub intermediate: Duration,
    /// Of leaves.
    pub leaf: Duration,
}

/// Answers one stream for the holder of a root until the other end closes it. `bundles` is asked at each
/// answer; the root's own bundle is added when it is missing.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    root: &Root,
    grants: &[Grant],
    lifetimes: Lifetimes,
    bundles: impl Fn() -> Vec<TrustBundle>,
) -> io::Result<()> {
    while let Some(question) = read_frame::<SignQuestion>(&mut stream).await? {
        let mut answer = match answer(&question, root, grants, lifetimes) {
            Ok(issued) => answer_out(issued, root, bundles()),
            Err(error) => {
                tracing::warn!(%error, "refused to sign");
                SignAnswer { error: Some(error), ..SignAnswer::default() }
            }
        };
        answer.number = question.number;
        stream.write_all(&frame(&answer)?).await?;
        stream.flush().await?;
    }
    Ok(())
}

type SignedChain = (Vec<Vec<u8>>, Option<SpiffeId>);

fn answer(
    question: &SignQuestion,
    root: &Root,
    grants: &[Grant],
    lifetimes: Lifetimes,
) -> Result<SignedChain, String> {
    let csr = BASE64.decode(&question.csr).map_err(|_| "request is not base64".to_owned())?;
    let plain = |error: SignError| error.to_string();
    for grant in grants {
        match (question.kind, grant) {
            (CertificateKind::Intermediate, Grant::Intermediate { trust_domain, cluster }) => {
                if trust_domain != root.trust_domain() {
                    return Err(format!("the root does not vouch for {trust_domain}"));
                }
                let chain = root.sign_intermediate(&csr, cluster, lifetimes.intermediate).map_err(plain)?;
                return Ok((chain, None));
            }
            (CertificateKind::Leaf, Grant::Leaf(id)) => {
                let chain = root.sign_leaf(&csr, id, lifetimes.leaf).map_err(plain)?;
                return Ok((chain, Some(id.clone())));
            }
            _ => {}
        }
    }
    Err("not granted".to_owned())
}

fn answer_out((chain, id): SignedChain, root: &Root, mut bundles: Vec<TrustBundle>) -> SignAnswer {
    if !bundles.iter().any(|bundle| bundle.trust_domain == *root.trust_domain()) {
        bundles.push(root.bundle());
    }
    let encode = |ders: &[Vec<u8>]| ders.iter().map(|der| BASE64.encode(der)).collect();
    let bundle = |bundle: &TrustBundle| BundleText {
        trust_domain: bundle.trust_domain.to_string(),
        roots: encode(&bundle.roots),
    };
    SignAnswer {
        number: 0,
        error: None,
        trust_domain: root.trust_domain().to_string(),
        id: id.map(|id| id.to_string()),
        chain: encode(&chain),
        bundles: bundles.iter().map(bundle).collect(),
    }
}

/// `None`: closed between frames.
async fn read_frame<T: for<'de> Deserialize<'de>>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<T>> {
    let mut length = [0_u8; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut json = vec![0; frame_length(length)?];
    stream.read_exact(&mut json).await?;
    Ok(Some(serde_json::from_slice(&json)?))
}
