//! Who signed a request, whether completely, and, where the mock verifies, whether truly.
//!
//! [`Claim`] is what a request says of itself, [`canonical`] what its signer calculated over, and
//! [`verify`] compares. Without verification a claim must only be complete.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

mod canonical;
mod key_pairs;
#[cfg(test)]
mod tests;
mod timestamp;
mod verify;

use std::borrow::Cow;

use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;

pub use self::key_pairs::KeyPairs;
pub(crate) use self::verify::Verifier;
use crate::kinesis::Failure;

const QUERY_PARAMETERS: [&str; 5] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
];

/// What a request says about its signature, as it stands there.
#[derive(Debug)]
pub(crate) struct Claim<'r> {
    algorithm: Cow<'r, str>,
    credential: Cow<'r, str>,
    signed_headers: Cow<'r, str>,
    signature: Cow<'r, str>,
    date: Cow<'r, str>,
    token: Option<Cow<'r, str>>,
    /// For how many seconds a request that is signed in its query holds.
    expires: Option<Cow<'r, str>>,
}

impl<'r> Claim<'r> {
    /// Reads a complete signature, in the header or in the query.
    pub(crate) fn read(head: &'r Parts) -> Result<Self, Failure> {
        let query: Vec<(&str, &str)> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        let by_query = query.iter().any(|(name, _)| *name == "X-Amz-Algorithm");
        let header = head.headers.get(AUTHORIZATION);
        match header {
            Some(_) if by_query => Err(Failure::new(
                "InvalidSignatureException",
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP \
                 header.",
            )),
            Some(value) => match std::str::from_utf8(value.as_bytes()) {
                Ok(value) => Self::of_header(value, head),
                Err(_) => Err(incomplete(format!(
                    "Authorization={}",
                    String::from_utf8_lossy(value.as_bytes())
                ))),
            },
            None if by_query => Self::of_query(&query),
            None => Err(Failure::new(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            )),
        }
    }

    /// The access key id that the request says it is signed with.
    pub(crate) fn access_key_id(&self) -> &str {
        let credential: &str = &self.credential;
        credential.split_once('/').map_or(credential, |(id, _)| id)
    }

    /// The region that the request says it is signed for; empty if it says none.
    pub(crate) fn region(&self) -> &str {
        self.credential.split('/').nth(2).unwrap_or_default()
    }

    fn of_header(value: &'r str, head: &'r Parts) -> Result<Self, Failure> {
        let (mut credential, mut signature, mut signed_headers) = (None, None, None);
        let parts = value.split(' ').flat_map(|part| part.split(','));
        for part in parts.skip(1) {
            let Some((name, value)) = part.split_once('=').filter(|(_, value)| !value.is_empty())
            else {
                continue;
            };
            let slot: &mut Option<&'r str> = match name {
                "Credential" => &mut credential,
                "Signature" => &mut signature,
                "SignedHeaders" => &mut signed_headers,
                _ => continue,
            };
            // The first one counts.
            slot.get_or_insert(value);
        }
        let header = |name: &str| {
            let value = head.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()))
        };
        let mut missing = String::new();
        let mut required = |name: &str, part: Option<&'r str>| {
            Cow::Borrowed(part.unwrap_or_else(|| {
                missing += &format!("Authorization header requires '{name}' parameter. ");
                ""
            }))
        };
        let credential = required("Credential", credential);
        let signature = required("Signature", signature);
        let signed_headers = required("SignedHeaders", signed_headers);
        let date = header("x-amz-date").or_else(|| header(DATE.as_str()));
        if date.is_none() {
            missing += "Authorization header requires existence of either a 'X-Amz-Date' or a \
                        'Date' header. ";
        }
        if !missing.is_empty() {
            return Err(incomplete(format!("{missing}Authorization={value}")));
        }
        let algorithm = value.split(' ').next().unwrap_or_default();
        Ok(Self {
            algorithm: Cow::Borrowed(algorithm),
            credential,
            signed_headers,
            signature,
            date: date.unwrap_or_default(),
            token: header("x-amz-security-token"),
            expires: None,
        })
    }

    fn of_query(query: &[(&str, &str)]) -> Result<Self, Failure> {
        let part = |wanted: &str| {
            let is_wanted = |(name, value): &&(&str, &str)| *name == wanted && !value.is_empty();
            query.iter().find(is_wanted).map(|(_, value)| {
                let value = canonical::decode(value);
                Cow::Owned(String::from_utf8_lossy(&value).into_owned())
            })
        };
        let missing: String = QUERY_PARAMETERS
            .iter()
            .filter(|wanted| part(wanted).is_none())
            .map(|wanted| format!("AWS query-string parameters must include '{wanted}'. "))
            .collect();
        if !missing.is_empty() {
            return Err(incomplete(format!(
                "{missing}Re-examine the query-string parameters."
            )));
        }
        let required = |name: &str| part(name).unwrap_or_default();
        Ok(Self {
            algorithm: required("X-Amz-Algorithm"),
            credential: required("X-Amz-Credential"),
            signed_headers: required("X-Amz-SignedHeaders"),
            signature: required("X-Amz-Signature"),
            date: required("X-Amz-Date"),
            token: part("X-Amz-Security-Token"),
            expires: part("X-Amz-Expires"),
        })
    }
}

fn incomplete(message: impl Into<String>) -> Failure {
    Failure::new("IncompleteSignatureException", message)
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new("InvalidSignatureException", message)
}
