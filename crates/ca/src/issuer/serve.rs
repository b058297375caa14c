//! Answers over a stream, for whoever holds a root.
//!
//! What may be signed is said by a [`Granting`]; names in requests mean nothing. Every answer is a line of the log.
//! The other end is `exchange`.

use super::RefusalCode;
use super::frame::{
    BundleText, QuestionKind, SecretText, SignAnswer, SignQuestion, VERSION, read, receive, send,
};
use crate::grant::{GrantSubject, GrantToken};
use crate::root::Root;
use crate::sign::SignError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::time::rfc3339;
use model::trust::TrustBundle;
use model::{SpiffeId, TrustDomain};
use std::io;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};

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

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Which certificate.
    pub certificate: WishedCertificate<'a>,
    /// The text of the grant that comes with it.
    pub token: Option<&'a str>,
    /// PKCS #10, DER; its form has been looked at.
    pub csr: &'a [u8],
}

/// Which certificate somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WishedCertificate<'a> {
    /// An intermediate, for a cluster where one is named.
    Intermediate(Option<&'a str>),
    /// A leaf.
    Leaf,
}

/// Why nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRefusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub reason: String,
}

impl SigningRefusal {
    /// With a reason.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Says what the other end of a stream may have signed.
pub trait Granting {
    /// Who is at the other end, for the log.
    fn who(&self) -> String;
    /// What is signed for it, if it asks for this.
    fn grant(&self, wish: Wish<'_>) -> Result<Grant, SigningRefusal>;
    /// A grant for a plane on another host; most streams give none.
    fn make_grant(&self, _: GrantSubject, _: Option<Duration>) -> Result<GrantToken, SigningRefusal> {
        Err(SigningRefusal::new(RefusalCode::NotGranted, "grants are made at the Unix socket only"))
    }
}

/// The stream itself carries the right to all of these, whatever is named.
impl Granting for [Grant] {
    fn who(&self) -> String {
        "inherited socket".into()
    }

    fn grant(&self, wish: Wish<'_>) -> Result<Grant, SigningRefusal> {
        let fits = |grant: &&Grant| match wish.certificate {
            WishedCertificate::Intermediate(_) => matches!(grant, Grant::Intermediate { .. }),
            WishedCertificate::Leaf => matches!(grant, Grant::Leaf(_)),
        };
        let granted = self.iter().find(fits).cloned();
        granted.ok_or_else(|| SigningRefusal::new(RefusalCode::NotGranted, "not granted"))
    }
}

/// A root, and for how long it signs.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Signs.
    pub root: Root,
    /// For how long.
    pub lifetimes: Lifetimes,
}

/// What became of waiting for a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// One was answered; the stream goes on.
    Answered,
    /// The other end closed the stream.
    Closed,
}

/// Answers one stream until the other end closes it.
///
/// # Errors
/// When the stream fails, or brings what is no question.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    holder: &Holder,
    granting: &(impl Granting + ?Sized),
) -> io::Result<()> {
    while answer_next(&mut stream, holder, granting).await? == Served::Answered {}
    Ok(())
}

/// Answers the next question.
///
/// # Errors
/// As [`serve`].
pub async fn answer_next(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    holder: &Holder,
    granting: &(impl Granting + ?Sized),
) -> io::Result<Served> {
    let Some(json) = receive(stream).await? else { return Ok(Served::Closed) };
    let question: SignQuestion = match read(&json) {
        Ok(question) => question,
        Err(error) => {
            let reason = format!("not a question of the issuer's protocol: {error}");
            refuse(stream, &SigningRefusal::new(RefusalCode::Malformed, reason)).await?;
            return Err(error);
        }
    };
    let answered = match question.kind {
        QuestionKind::Grant => grant_for(&question, granting),
        _ => answer(&question, holder, granting).map(|signed| answer_out(signed, &holder.root)),
    };
    let mut answer = answered.unwrap_or_else(|refusal| {
        let (who, kind, cluster) = (granting.who(), question.kind, &question.cluster);
        tracing::warn!(who, ?kind, cluster, reason = refusal.reason, "refused to sign");
        refused(&refusal)
    });
    answer.number = question.number;
    send(stream, &answer).await?;
    Ok(Served::Answered)
}

/// Tells the other end why it is not served.
///
/// # Errors
/// When the stream fails.
pub async fn refuse(stream: &mut (impl AsyncWrite + Unpin), refusal: &SigningRefusal) -> io::Result<()> {
    send(stream, &refused(refusal)).await
}

fn refused(refusal: &SigningRefusal) -> SignAnswer {
    SignAnswer { error: Some(refusal.reason.clone()), code: Some(refusal.code), ..SignAnswer::default() }
}

struct SignedChain {
    chain: Vec<Vec<u8>>,
    id: Option<SpiffeId>,
}

fn check_version(question: &SignQuestion) -> Result<(), SigningRefusal> {
    if question.version <= VERSION {
        return Ok(());
    }
    let reason = format!("version {} of the protocol; {VERSION} is known here", question.version);
    Err(SigningRefusal::new(RefusalCode::Version, reason))
}

fn grant_for(
    question: &SignQuestion,
    granting: &(impl Granting + ?Sized),
) -> Result<SignAnswer, SigningRefusal> {
    check_version(question)?;
    let subject = match &question.cluster {
        Some(name) => GrantSubject::Cluster(name.as_str().into()),
        None => GrantSubject::Manager,
    };
    let token = granting.make_grant(subject, question.ttl_s.map(Duration::from_secs))?;
    let until = rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(token.expires_s));
    tracing::info!(who = granting.who(), grant = token.id(), subject = %token.subject, until, "made a grant");
    Ok(SignAnswer { token: Some(SecretText(token.text())), ..SignAnswer::default() })
}

fn answer(
    question: &SignQuestion,
    holder: &Holder,
    granting: &(impl Granting + ?Sized),
) -> Result<SignedChain, SigningRefusal> {
    check_version(question)?;
    let certificate = match question.kind {
        QuestionKind::Intermediate => WishedCertificate::Intermediate(question.cluster.as_deref()),
        QuestionKind::Leaf => WishedCertificate::Leaf,
        QuestionKind::Grant | QuestionKind::Unknown => {
            return Err(SigningRefusal::new(
                RefusalCode::Malformed,
                "a kind of question that is not known here",
            ));
        }
    };
    let unusable = |reason: String| SigningRefusal::new(RefusalCode::Request, reason);
    let csr = BASE64.decode(&question.csr).map_err(|_| unusable("request is not base64".into()))?;
    // Before anything is granted: what cannot be signed must not use up a grant.
    crate::sign::public_key(&csr).map_err(|error| unusable(error.to_string()))?;
    let token = question.token.as_ref().map(|token| token.0.as_str());
    let grant = granting.grant(Wish { certificate, token, csr: &csr })?;
    let signed = sign(&grant, &csr, holder).map_err(|error| match error {
        SignError::OtherRoot(_) => SigningRefusal::new(RefusalCode::NotGranted, error.to_string()),
        _ => unusable(error.to_string()),
    })?;
    let who = granting.who();
    let until = signed.chain.first().and_then(|der| identity::not_after(der)).map(rfc3339);
    match grant {
        Grant::Intermediate { cluster, .. } => {
            tracing::info!(who, cluster, until, "signed an intermediate");
        }
        Grant::Leaf(id) => tracing::info!(who, %id, until, "signed a leaf"),
    }
    Ok(signed)
}

fn sign(grant: &Grant, csr: &[u8], Holder { root, lifetimes }: &Holder) -> Result<SignedChain, SignError> {
    match grant {
        Grant::Intermediate { trust_domain, .. } if trust_domain != root.trust_domain() => {
            Err(SignError::OtherRoot(trust_domain.clone()))
        }
        Grant::Intermediate { cluster, .. } => {
            let chain = root.sign_intermediate(csr, cluster, lifetimes.intermediate)?;
            Ok(SignedChain { chain, id: None })
        }
        Grant::Leaf(id) => {
            Ok(SignedChain { chain: root.sign_leaf(csr, id, lifetimes.leaf)?, id: Some(id.clone()) })
        }
    }
}

fn answer_out(SignedChain { chain, id }: SignedChain, root: &Root) -> SignAnswer {
    let encode = |ders: &[Vec<u8>]| ders.iter().map(|der| BASE64.encode(der)).collect();
    let bundle = |bundle: &TrustBundle| BundleText {
        trust_domain: bundle.trust_domain.to_string(),
        roots: encode(&bundle.roots),
    };
    SignAnswer {
        trust_domain: root.trust_domain().to_string(),
        id: id.map(|id| id.to_string()),
        chain: encode(&chain),
        bundles: vec![bundle(&root.bundle())],
        ..SignAnswer::default()
    }
}
