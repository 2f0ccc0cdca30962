//! Whose signatures are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The access key ids that [`MockBuilder::verify_signatures`](crate::MockBuilder::verify_signatures)
/// knows, and their secrets.
///
/// ```
/// use shardwise_mock::{KeyPairs, Mock};
///
/// let mock = Mock::builder()
///     .verify_signatures(KeyPairs::fixed([("AKIDEXAMPLE", "a secret")]))
///     .build();
/// ```
#[derive(Clone)]
#[must_use]
pub struct KeyPairs {
    secret_of: Arc<SecretOf>,
    expired_tokens: BTreeSet<String>,
}

type SecretOf = dyn Fn(&str) -> Option<String> + Send + Sync;

impl KeyPairs {
    /// Every access key id, all with this secret: what `shardwise mock --verify-signatures` takes.
    pub fn any_id(secret: impl Into<String>) -> Self {
        let secret = secret.into();
        Self::lookup(move |_| Some(secret.clone()))
    }

    /// These access key ids with these secrets, and no others.
    pub fn fixed<I, S>(pairs: impl IntoIterator<Item = (I, S)>) -> Self
    where
        I: Into<String>,
        S: Into<String>,
    {
        let pairs: BTreeMap<String, String> = pairs
            .into_iter()
            .map(|(id, secret)| (id.into(), secret.into()))
            .collect();
        Self::lookup(move |id| pairs.get(id).cloned())
    }

    /// The secret of an access key id by this function; none for an id that is not known.
    pub fn lookup(secret_of: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self {
            secret_of: Arc::new(secret_of),
            expired_tokens: BTreeSet::new(),
        }
    }

    /// Refuses requests with this session token as expired, whoever signed them.
    pub fn expired_token(mut self, token: impl Into<String>) -> Self {
        self.expired_tokens.insert(token.into());
        self
    }

    pub(super) fn secret(&self, access_key_id: &str) -> Option<String> {
        (self.secret_of)(access_key_id)
    }

    pub(super) fn is_expired(&self, token: &str) -> bool {
        self.expired_tokens.contains(token)
    }
}

/// Without the secrets and the tokens.
impl fmt::Debug for KeyPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPairs").finish_non_exhaustive()
    }
}
