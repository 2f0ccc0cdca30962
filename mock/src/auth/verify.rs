//! Whether a signature is the one that its key gives, and whether it is of now and of here.

use http::request::Parts;

use super::{Claim, KeyPairs, canonical, incomplete, invalid, timestamp};
use crate::kinesis::Failure;
use crate::operation::Api;

/// How far the signer's clock may be from the service's, and how long a signature holds that
/// names no time of its own.
const SKEW_SECONDS: u64 = 15 * 60;

/// The longest time that a request signed in its query may hold: a week.
const MAX_EXPIRES_SECONDS: u64 = 7 * 24 * 60 * 60;

/// What signatures are checked against.
#[derive(Debug)]
pub(crate) struct Verifier {
    keys: KeyPairs,
    /// The only region that is taken; any without it.
    region: Option<String>,
}

/// The credential of a signature: `id/date/region/service/aws4_request`.
struct Credential<'c> {
    /// All but the id.
    scope: &'c str,
    date: &'c str,
    region: &'c str,
    service: &'c str,
    terminator: &'c str,
}

impl Verifier {
    pub(crate) fn new(keys: KeyPairs, region: Option<String>) -> Self {
        Self { keys, region }
    }

    /// Refuses the request if its signature does not hold at `now`, in seconds since the epoch.
    pub(crate) fn verify(
        &self,
        claim: &Claim<'_>,
        head: &Parts,
        body: &[u8],
        api: Api,
        now: u64,
    ) -> Result<(), Failure> {
        if claim.algorithm != canonical::ALGORITHM {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{}'.",
                claim.algorithm
            )));
        }
        let credential = Credential::read(&claim.credential)?;
        check_signed_headers(&claim.signed_headers, head)?;
        let signed_at = read_date(&claim.date)?;
        let time = timestamp::format(signed_at);
        self.check_scope(&credential, &time, api)?;
        check_age(claim, signed_at, now)?;
        if let Some(token) = &claim.token
            && self.keys.is_expired(token)
        {
            return Err(Failure::new(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ));
        }
        let secret = self.keys.secret(claim.access_key_id()).ok_or_else(|| {
            Failure::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            )
        })?;
        let request = canonical::request(head, &claim.signed_headers, &canonical::hash(body));
        let string = canonical::string_to_sign(&time, credential.scope, &request);
        let scope = [credential.date, credential.region, credential.service];
        // The comparison takes no constant time: nothing behind it is worth a timing attack.
        if canonical::signature(&secret, scope, &string) == claim.signature {
            return Ok(());
        }
        Err(invalid(format!(
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method. Consult the service documentation for \
             details.\n\nThe Canonical String for this request should have been\n'{request}'\n\n\
             The String-to-Sign should have been\n'{string}'\n"
        )))
    }

    /// Refuses a scope of another day, region or service; all reasons at once.
    fn check_scope(
        &self,
        credential: &Credential<'_>,
        time: &str,
        api: Api,
    ) -> Result<(), Failure> {
        let mut reasons = String::new();
        let service = match api {
            Api::Kinesis => "kinesis",
            Api::DynamoDb => "dynamodb",
        };
        if let Some(region) = &self.region
            && region != credential.region
        {
            reasons += &format!(
                "Credential should be scoped to a valid region, not '{}'. ",
                credential.region
            );
        }
        if credential.service != service {
            reasons += &format!("Credential should be scoped to correct service: '{service}'. ");
        }
        if credential.terminator != canonical::TERMINATOR {
            reasons += &format!(
                "Credential should be scoped with a valid terminator: '{}', not '{}'. ",
                canonical::TERMINATOR,
                credential.terminator
            );
        }
        if !time.starts_with(credential.date) || credential.date.len() != 8 {
            let day = time.get(..8).unwrap_or_default();
            reasons += &format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{}' != '{day}', from '{time}'. ",
                credential.date
            );
        }
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(invalid(reasons))
        }
    }
}

impl<'c> Credential<'c> {
    fn read(credential: &'c str) -> Result<Self, Failure> {
        let mut parts = credential.split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let read = (next(), next(), next(), next(), next());
        let (Some(_), Some(date), Some(region), Some(service), Some(terminator)) = read else {
            return Err(five_parts(credential));
        };
        if parts.next().is_some() {
            return Err(five_parts(credential));
        }
        let (_, scope) = credential.split_once('/').unwrap_or_default();
        Ok(Self {
            scope,
            date,
            region,
            service,
            terminator,
        })
    }
}

fn five_parts(credential: &str) -> Failure {
    incomplete(format!(
        "Credential must have exactly 5 slash-delimited elements, e.g. \
         keyid/date/region/service/term, got '{credential}'"
    ))
}

/// What decides where a request goes and what it does must be signed, or a signature could be
/// carried over to another operation.
fn check_signed_headers(signed: &str, head: &Parts) -> Result<(), Failure> {
    let is_signed = |name: &str| signed.split(';').any(|signed| signed == name);
    let mut reasons = String::new();
    if !is_signed("host") && !is_signed(canonical::AUTHORITY) {
        reasons += "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization. ";
    }
    for name in head.headers.keys().map(http::HeaderName::as_str) {
        if name.starts_with("x-amz-") && !is_signed(name) {
            reasons += &format!("'{name}' must be a 'SignedHeader' in the AWS Authorization. ");
        }
    }
    if reasons.is_empty() {
        Ok(())
    } else {
        Err(invalid(reasons))
    }
}

fn read_date(date: &str) -> Result<u64, Failure> {
    timestamp::parse(date)
        .or_else(|| timestamp::parse_http(date))
        .ok_or_else(|| {
            incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{date}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601"
            ))
        })
}

fn check_age(claim: &Claim<'_>, signed_at: u64, now: u64) -> Result<(), Failure> {
    let holds = match &claim.expires {
        None => SKEW_SECONDS,
        Some(expires) => expires
            .parse()
            .ok()
            .filter(|seconds| *seconds <= MAX_EXPIRES_SECONDS)
            .ok_or_else(|| {
                invalid(format!(
                    "X-Amz-Expires must be a number of seconds up to {MAX_EXPIRES_SECONDS}, got \
                     '{expires}'."
                ))
            })?,
    };
    let span = |seconds: u64| match seconds % 60 {
        0 => format!("{} min.", seconds / 60),
        _ => format!("{seconds} sec."),
    };
    let signed = timestamp::format(signed_at);
    let (oldest, newest) = (now.saturating_sub(holds), now + SKEW_SECONDS);
    if signed_at < oldest {
        return Err(invalid(format!(
            "Signature expired: {signed} is now earlier than {} ({} - {})",
            timestamp::format(oldest),
            timestamp::format(now),
            span(holds)
        )));
    }
    if signed_at > newest {
        return Err(invalid(format!(
            "Signature not yet current: {signed} is still later than {} ({} + {})",
            timestamp::format(newest),
            timestamp::format(now),
            span(SKEW_SECONDS)
        )));
    }
    Ok(())
}
