//! Who we are to Vault: a token that was given, or one that AppRole gives. Kept in memory, and renewed in time.

use super::VaultOptions;
use super::api::{VaultApi, VaultCall};
use crate::issuer::IssueError;
use identity::rotate::jitter;
use model::Backoff;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};
use zeroize::Zeroizing;

/// Longest file with a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 4096;
/// First wait after a renewal failed; doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between attempts.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);
/// A login that is said to last longer counts as this.
const LIFE_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// A login is not renewed more often than this, however short its life.
const RENEW_AFTER_MIN: Duration = Duration::from_secs(1);

/// What proves who we are.
pub(super) enum Credential {
    /// A token.
    Token(Zeroizing<String>),
    /// An AppRole.
    AppRole { role_id: String, secret_id: Zeroizing<String> },
}

impl Credential {
    pub(super) fn read(options: &VaultOptions) -> Result<Self, String> {
        match (&options.vault_token_file, &options.vault_role_id, &options.vault_secret_id_file) {
            (Some(path), ..) => Ok(Self::Token(secret(path, "--vault-token-file")?)),
            (None, Some(role_id), Some(path)) => {
                let secret_id = secret(path, "--vault-secret-id-file")?;
                Ok(Self::AppRole { role_id: role_id.clone(), secret_id })
            }
            _ => Err("needs --vault-token-file, or --vault-role-id with --vault-secret-id-file".into()),
        }
    }
}

fn secret(path: &Path, option: &str) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX as usize));
    let open = || -> io::Result<Box<dyn Read>> {
        Ok(if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) })
    };
    let read = open().and_then(|source| source.take(SECRET_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| format!("read {} ({option}): {error}", path.display()))?;
    let text = Zeroizing::new(text.trim().to_owned());
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain {
        Ok(text)
    } else {
        Err(format!("what {} ({option}) holds is no secret of Vault", path.display()))
    }
}

/// A token, and for how long.
struct Login {
    token: Zeroizing<String>,
    /// `None`: it does not end.
    ends: Option<LoginEnd>,
}

#[derive(Clone, Copy)]
struct LoginEnd {
    at: Instant,
    renew_at: Instant,
    is_renewable: bool,
}

impl LoginEnd {
    /// As an answer tells it.
    fn of(seconds: &Value, renewable: &Value) -> Option<Self> {
        let life = Duration::from_secs(seconds.as_u64().filter(|seconds| *seconds > 0)?).min(LIFE_MAX);
        let now = Instant::now();
        Some(Self {
            at: now + life,
            renew_at: now + (life / 2).max(RENEW_AFTER_MIN),
            is_renewable: renewable.as_bool().unwrap_or(false),
        })
    }
}

/// The login of now.
pub(super) struct Logins {
    credential: Credential,
    current: Mutex<Option<Login>>,
    changed: Notify,
}

impl Logins {
    pub(super) fn new(credential: Credential) -> Self {
        Self { credential, current: Mutex::default(), changed: Notify::new() }
    }

    /// A token that is good; logs in if there is none.
    pub(super) async fn token(&self, api: &VaultApi) -> Result<Zeroizing<String>, IssueError> {
        let mut current = self.current.lock().await;
        let is_over = |login: &Login| login.ends.is_some_and(|end| end.at <= Instant::now());
        if let Some(login) = current.as_ref().filter(|login| !is_over(login)) {
            return Ok(login.token.clone());
        }
        let login = self.log_in(api).await?;
        let token = login.token.clone();
        *current = Some(login);
        self.changed.notify_one();
        Ok(token)
    }

    /// Vault refused what was asked with a token: it may not know it any more, or its policy may not allow it. Whether there
    /// is another one. The old one is kept until then: a `secret_id` may be good for one login alone.
    pub(super) async fn another(&self, api: &VaultApi) -> bool {
        let mut current = self.current.lock().await;
        if !matches!(self.credential, Credential::AppRole { .. }) {
            return false;
        }
        match self.log_in(api).await {
            Ok(login) => {
                *current = Some(login);
                self.changed.notify_one();
                true
            }
            Err(error) => {
                tracing::warn!(%error, "no new login at Vault; the old one is kept");
                false
            }
        }
    }

    async fn log_in(&self, api: &VaultApi) -> Result<Login, IssueError> {
        match &self.credential {
            Credential::Token(token) => {
                let call = VaultCall { path: "auth/token/lookup-self", token: Some(token), body: None };
                let data = &api.call(call).await?["data"];
                Ok(Login { token: token.clone(), ends: LoginEnd::of(&data["ttl"], &data["renewable"]) })
            }
            Credential::AppRole { role_id, secret_id } => {
                let body = json!({ "role_id": role_id, "secret_id": secret_id.as_str() });
                let call = VaultCall { path: "auth/approle/login", token: None, body: Some(&body) };
                let auth = &api.call(call).await?["auth"];
                let token = auth["client_token"].as_str().unwrap_or_default();
                if token.is_empty() {
                    return Err(IssueError::Malformed("login of Vault without a token"));
                }
                let ends = LoginEnd::of(&auth["lease_duration"], &auth["renewable"]);
                Ok(Login { token: Zeroizing::new(token.to_owned()), ends })
            }
        }
    }

    /// Renews the login at half its life, for ever. What cannot be renewed is made anew when it is needed.
    pub(super) async fn renew(&self, api: &VaultApi) {
        let mut backoff = Backoff::new(RETRY_WAIT_FIRST, RETRY_WAIT_MAX);
        loop {
            let due = self.current.lock().await.as_ref().and_then(|login| login.ends);
            let Some(due) = due.filter(|end| end.is_renewable && end.at > Instant::now()) else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(due.renew_at.into()) => {}
                () = self.changed.notified() => continue,
            }
            match self.renew_once(api).await {
                Ok(()) => {
                    backoff.reset();
                    tracing::debug!("login at Vault renewed");
                }
                Err(error) => {
                    let left = due.at.saturating_duration_since(Instant::now());
                    tracing::warn!(%error, ?left, "login at Vault not renewed; trying again");
                    tokio::time::sleep(backoff.next_wait(jitter())).await;
                }
            }
        }
    }

    async fn renew_once(&self, api: &VaultApi) -> Result<(), IssueError> {
        let mut current = self.current.lock().await;
        let Some(login) = current.as_mut() else { return Ok(()) };
        let body = json!({});
        let call = VaultCall { path: "auth/token/renew-self", token: Some(&login.token), body: Some(&body) };
        let auth = &api.call(call).await?["auth"];
        if !auth["lease_duration"].is_u64() {
            return Err(IssueError::Malformed("renewal of a login at Vault"));
        }
        login.ends = LoginEnd::of(&auth["lease_duration"], &auth["renewable"]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFE_MAX, LoginEnd};
    use serde_json::json;
    use std::time::{Duration, Instant};

    #[test]
    fn a_life_is_what_vault_says_within_reason() {
        assert!(
            LoginEnd::of(&json!(0), &json!(true)).is_none()
                && LoginEnd::of(&json!(null), &json!(true)).is_none()
        );
        let left =
            |seconds: u64| LoginEnd::of(&json!(seconds), &json!(true)).map(|end| end.at - Instant::now());
        assert!(left(60).is_some_and(|left| left <= Duration::from_secs(60)));
        assert!(left(u64::MAX).is_some_and(|left| left <= LIFE_MAX));
    }
}
