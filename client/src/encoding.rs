//! How calls of Kinesis are written and read: JSON, or CBOR with the same members.
//!
//! The service takes both. CBOR has no base64 in it: a quarter fewer bytes, and less to do at both
//! ends. What other backends take nobody knows, so they get JSON; no request is ever sent to find
//! out. Reading CBOR is in [`crate::cbor`].

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, Uri, header};
use serde::{Deserialize, Serialize};

use crate::error::BoxError;
use crate::{cbor, endpoint};

/// The header by which the mock names itself.
const MOCK: &str = "x-shardwise-mock";

/// How calls of Kinesis are written.
///
/// ```
/// use shardwise_client::{Aws, Encoding};
///
/// let builder = Aws::builder().encoding(Encoding::Json);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Encoding {
    /// CBOR for the service's own host names, and for an endpoint whose answers say that it is
    /// the mock; JSON for every other, and for a service of this process.
    #[default]
    Auto,
    /// JSON 1.1, always.
    Json,
    /// CBOR 1.1, always.
    Cbor,
}

/// The encodings themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Json,
    Cbor,
}

impl Wire {
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// What an answer is written in, if it says so: a proxy in between may answer in another than
    /// it was asked in.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(if content_type.contains("cbor") {
            Self::Cbor
        } else {
            Self::Json
        })
    }

    pub(crate) fn write(self, input: &impl Serialize) -> Vec<u8> {
        // The structures of this crate can always be written.
        match self {
            Self::Json => serde_json::to_vec(input).unwrap_or_default(),
            Self::Cbor => minicbor_serde::to_vec(input).unwrap_or_default(),
        }
    }

    pub(crate) fn read<'a, T: Deserialize<'a>>(self, body: &'a [u8]) -> Result<T, BoxError> {
        Ok(match self {
            Self::Json => serde_json::from_slice(body)?,
            Self::Cbor => cbor::from_slice(body)?,
        })
    }
}

/// The choice for the calls of one handle, which the mock's answers may change.
#[derive(Debug)]
pub(crate) struct Choice {
    may_learn: bool,
    cbor: AtomicBool,
}

impl Choice {
    pub(crate) fn new(encoding: Encoding, endpoint: &Uri) -> Self {
        Self {
            may_learn: encoding == Encoding::Auto,
            cbor: AtomicBool::new(match encoding {
                Encoding::Auto => is_the_service(endpoint),
                Encoding::Json => false,
                Encoding::Cbor => true,
            }),
        }
    }

    /// What the next call is written in.
    pub(crate) fn wire(&self) -> Wire {
        if self.cbor.load(Ordering::Relaxed) {
            Wire::Cbor
        } else {
            Wire::Json
        }
    }

    /// Takes note of an answer's headers.
    pub(crate) fn learn(&self, headers: &HeaderMap) {
        if self.may_learn && headers.contains_key(MOCK) {
            self.cbor.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether the host is the service's own, a private endpoint included.
/// <https://docs.aws.amazon.com/general/latest/gr/ak.html>
fn is_the_service(endpoint: &Uri) -> bool {
    let host = endpoint.host().unwrap_or_default();
    let Some(name) = endpoint::without_suffix(host) else {
        return false;
    };
    name.split('.')
        .any(|label| matches!(label, "kinesis" | "kinesis-fips"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_known_by_its_host_name() {
        for (url, expected) in [
            ("https://kinesis.eu-west-1.amazonaws.com", Wire::Cbor),
            ("https://kinesis.cn-north-1.amazonaws.com.cn/", Wire::Cbor),
            ("https://kinesis-fips.us-east-1.amazonaws.com", Wire::Cbor),
            ("https://kinesis.eu-west-1.api.aws", Wire::Cbor),
            ("https://kinesis.eusc-de-east-1.amazonaws.eu", Wire::Cbor),
            (
                "https://vpce-1-a.kinesis.us-east-1.vpce.amazonaws.com",
                Wire::Cbor,
            ),
            ("https://dynamodb.eu-west-1.amazonaws.com", Wire::Json),
            ("https://kinesis.amazonaws.com.example.com", Wire::Json),
            ("https://kinesis.example.com", Wire::Json),
            ("https://notamazonaws.com", Wire::Json),
            ("https://kinesis.notamazonaws.com", Wire::Json),
            ("http://127.0.0.1:4567", Wire::Json),
        ] {
            let endpoint: Uri = url.parse().unwrap();
            assert_eq!(
                Choice::new(Encoding::Auto, &endpoint).wire(),
                expected,
                "{url}"
            );
            assert_eq!(Choice::new(Encoding::Json, &endpoint).wire(), Wire::Json);
            assert_eq!(Choice::new(Encoding::Cbor, &endpoint).wire(), Wire::Cbor);
        }
    }
}
