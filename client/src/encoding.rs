//! How calls of Kinesis are written and read: JSON, or CBOR with the same members.
//!
//! The service takes both. CBOR has no base64 in it: a quarter fewer bytes, and less to do at both
//! ends. What other backends take is not known, so they get JSON; no request is ever sent to find
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
pub(crate) enum WireFormat {
    Json,
    Cbor,
}

impl WireFormat {
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

impl WireFormat {
    /// Code and message of an error answer: `__type`, which may carry a namespace before `#`, and
    /// `message` or `Message`.
    pub(crate) fn read_error(self, body: &[u8]) -> (Option<String>, Option<String>) {
        #[derive(Deserialize, Default)]
        struct ErrorBody {
            #[serde(rename = "__type")]
            code: Option<String>,
            #[serde(alias = "Message")]
            message: Option<String>,
        }
        let error: ErrorBody = self.read(body).unwrap_or_default();
        (error.code.map(|code| bare_code(&code)), error.message)
    }
}

/// An error code without the namespace before `#` and the address behind `:`.
pub(crate) fn bare_code(code: &str) -> String {
    let bare = code.rsplit('#').next().unwrap_or_default();
    bare.split(':').next().unwrap_or_default().to_owned()
}

/// The encoding of an endpoint, which the mock's answers may change.
#[derive(Debug)]
pub(crate) struct EndpointEncoding {
    may_learn: bool,
    cbor: AtomicBool,
}

impl EndpointEncoding {
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
    pub(crate) fn wire(&self) -> WireFormat {
        if self.cbor.load(Ordering::Relaxed) {
            WireFormat::Cbor
        } else {
            WireFormat::Json
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
            ("https://kinesis.eu-west-1.amazonaws.com", WireFormat::Cbor),
            (
                "https://kinesis.cn-north-1.amazonaws.com.cn/",
                WireFormat::Cbor,
            ),
            (
                "https://kinesis-fips.us-east-1.amazonaws.com",
                WireFormat::Cbor,
            ),
            ("https://kinesis.eu-west-1.api.aws", WireFormat::Cbor),
            (
                "https://kinesis.eusc-de-east-1.amazonaws.eu",
                WireFormat::Cbor,
            ),
            (
                "https://vpce-1-a.kinesis.us-east-1.vpce.amazonaws.com",
                WireFormat::Cbor,
            ),
            ("https://dynamodb.eu-west-1.amazonaws.com", WireFormat::Json),
            (
                "https://kinesis.amazonaws.com.example.com",
                WireFormat::Json,
            ),
            ("https://kinesis.example.com", WireFormat::Json),
            ("https://notamazonaws.com", WireFormat::Json),
            ("https://kinesis.notamazonaws.com", WireFormat::Json),
            ("http://127.0.0.1:4567", WireFormat::Json),
        ] {
            let endpoint: Uri = url.parse().unwrap();
            assert_eq!(
                EndpointEncoding::new(Encoding::Auto, &endpoint).wire(),
                expected,
                "{url}"
            );
            assert_eq!(
                EndpointEncoding::new(Encoding::Json, &endpoint).wire(),
                WireFormat::Json
            );
            assert_eq!(
                EndpointEncoding::new(Encoding::Cbor, &endpoint).wire(),
                WireFormat::Cbor
            );
        }
    }
}
