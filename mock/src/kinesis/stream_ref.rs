//! How a request names its stream: StreamName, StreamARN or both, and StreamId as a check.
//!
//! With both, they must name the same stream. A StreamId must be the stream's own, so that a
//! client that remembers one notices when the stream was deleted and made again. Alone it names
//! nothing: the API reserves that for the future.

use std::sync::Arc;

use super::failure::Failure;
use super::input::Input;
use super::stream::Stream;
use super::{Kinesis, rules};
use crate::clock::Now;

/// The three members, each as the request gave it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamRef<'r> {
    pub(crate) name: Option<&'r str>,
    pub(crate) arn: Option<&'r str>,
    pub(crate) id: Option<&'r str>,
}

impl<'r> StreamRef<'r> {
    /// StreamARN and StreamId, beside the StreamName that was read before: the model has the name
    /// at the beginning and these at the end, and broken constraints are reported in its order.
    pub(crate) fn read(input: &Input<'r>, name: Option<&'r str>) -> Result<Self, Failure> {
        Ok(Self {
            name,
            arn: input.text("StreamARN", &rules::STREAM_ARN)?,
            id: input.text("StreamId", &rules::STREAM_ID)?,
        })
    }

    /// A stream that only its ARN names.
    pub(crate) fn read_arn(input: &Input<'r>) -> Result<Self, Failure> {
        Ok(Self {
            name: None,
            arn: Some(input.required_text("StreamARN", &rules::STREAM_ARN)?),
            id: input.text("StreamId", &rules::STREAM_ID)?,
        })
    }

    /// The stream of an ARN that was read before.
    pub(crate) fn of_arn(arn: &'r str, id: Option<&'r str>) -> Self {
        Self {
            name: None,
            arn: Some(arn),
            id,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.name.is_none() && self.arn.is_none()
    }

    /// The name that the request means.
    pub(crate) fn resolve(&self, kinesis: &Kinesis) -> Result<&'r str, Failure> {
        let Some(arn) = self.arn else {
            return self.name.ok_or_else(|| {
                Failure::invalid_argument("Either StreamName or StreamARN should be provided.")
            });
        };
        let (_, in_arn) = arn.split_once(":stream/").unwrap_or_default();
        if self.name.is_some_and(|name| name != in_arn) {
            return Err(Failure::invalid_argument(format!(
                "StreamName {} and StreamARN {arn} do not name the same stream.",
                self.name.unwrap_or_default()
            )));
        }
        let account = arn.split(':').nth(4).unwrap_or_default();
        let region = arn.split(':').nth(3).unwrap_or_default();
        if account != kinesis.config.account || region != kinesis.config.region {
            return Err(Failure::not_found(format!(
                "Stream {in_arn} under account {account} not found."
            )));
        }
        Ok(in_arn)
    }

    /// Whether the members that are there agree with the stream.
    pub(crate) fn check(&self, stream: &Stream) -> Result<(), Failure> {
        match self.id {
            Some(id) if id != stream.id => Err(Failure::not_found(format!(
                "{} with the StreamId {id} not found.",
                stream.subject()
            ))),
            _ => Ok(()),
        }
    }
}

impl Kinesis {
    /// The stream that the request names.
    pub(crate) fn stream(&self, stream: &StreamRef<'_>, now: Now) -> Result<Arc<Stream>, Failure> {
        let name = stream.resolve(self)?;
        let found = self.find(name, now).ok_or_else(|| {
            Failure::not_found(format!(
                "Stream {name} under account {} not found.",
                self.config.account
            ))
        })?;
        stream.check(&found)?;
        Ok(found)
    }
}
