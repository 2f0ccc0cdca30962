//! Whether a request is signed at all, and completely. The signature itself is not verified.
//!
//! <https://docs.aws.amazon.com/general/latest/gr/signature-version-4.html>

use http::header::{AUTHORIZATION, DATE, HeaderMap};

use crate::kinesis::Failure;

const QUERY_PARAMETERS: [&str; 5] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
];

/// Refuses a request without a complete signature, by header or by query.
pub(crate) fn check(headers: &HeaderMap, query: Option<&str>) -> Result<(), Failure> {
    let query: Vec<(&str, &str)> = query
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let by_query = query.iter().any(|(name, _)| *name == "X-Amz-Algorithm");
    let header = headers.get(AUTHORIZATION);
    match header {
        Some(_) if by_query => Err(Failure::new(
            "InvalidSignatureException",
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP \
             header.",
        )),
        Some(value) => check_header(&String::from_utf8_lossy(value.as_bytes()), headers),
        None if by_query => check_query(&query),
        None => Err(Failure::new(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        )),
    }
}

fn check_header(value: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let has = |wanted: &str| {
        value.split([',', ' ']).skip(1).any(|part| {
            part.split_once('=')
                .is_some_and(|(name, value)| name == wanted && !value.is_empty())
        })
    };
    let mut missing = String::new();
    for parameter in ["Credential", "Signature", "SignedHeaders"] {
        if !has(parameter) {
            missing += &format!("Authorization header requires '{parameter}' parameter. ");
        }
    }
    if !headers.contains_key("x-amz-date") && !headers.contains_key(DATE) {
        missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                    header. ";
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(incomplete(format!("{missing}Authorization={value}")))
}

fn check_query(query: &[(&str, &str)]) -> Result<(), Failure> {
    let missing: String = QUERY_PARAMETERS
        .iter()
        .filter(|wanted| {
            !query
                .iter()
                .any(|(name, value)| name == *wanted && !value.is_empty())
        })
        .map(|wanted| format!("AWS query-string parameters must include '{wanted}'. "))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(incomplete(format!(
        "{missing}Re-examine the query-string parameters."
    )))
}

fn incomplete(message: String) -> Failure {
    Failure::new("IncompleteSignatureException", message)
}
