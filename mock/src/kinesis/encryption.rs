//! StartStreamEncryption and StopStreamEncryption.
//!
//! Type and key are kept and returned, with the records too that come meanwhile; nothing is encrypted,
//! and any key will do. What KMS may refuse, a fault rule can.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StartStreamEncryption.html>
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StopStreamEncryption.html>

use super::failure::Failure;
use super::input::Input;
use super::reshard::check_active;
use super::stream::{Change, State};
use super::stream_ref::StreamRef;
use super::{Kinesis, rules};
use crate::clock::Now;

/// The type of encryption that the service has.
pub(super) const KMS: &str = "KMS";

impl State {
    /// The type that answers tell with what is written: none for plain records.
    pub(super) fn encryption_type(&self) -> Option<&'static str> {
        self.settings.key_id.is_some().then_some(KMS)
    }
}

impl Kinesis {
    pub(super) fn start_stream_encryption(
        &self,
        input: Input<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        self.change_encryption(&input, |key_id| Some(key_id.to_owned()), now)
    }

    pub(super) fn stop_stream_encryption(&self, input: Input<'_>, now: Now) -> Result<(), Failure> {
        self.change_encryption(&input, |_| None, now)
    }

    /// Sets the stream's key to what is made of the one in the request.
    fn change_encryption(
        &self,
        input: &Input<'_>,
        new_key: impl Fn(&str) -> Option<String>,
        now: Now,
    ) -> Result<(), Failure> {
        let name = input.text("StreamName", &rules::STREAM_NAME)?;
        let kind = input.required_text("EncryptionType", &rules::ENCRYPTION_TYPE)?;
        let key_id = input.required_text("KeyId", &rules::KEY_ID)?;
        let stream = StreamRef::read(input, name)?;
        input.finish()?;

        if kind != KMS {
            return Err(Failure::invalid_argument(format!(
                "EncryptionType {kind} is not valid. The only valid value is {KMS}."
            )));
        }
        let stream = self.stream(&stream, now)?;
        let mut state = stream.lock(now);
        check_active(&state, &stream)?;
        let mut settings = state.settings.clone();
        settings.key_id = new_key(key_id);
        state.begin(Change::settings(settings), now, self.config.state_delay);
        Ok(())
    }
}
