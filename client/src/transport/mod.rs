//! The one door to the outside: a whole HTTP exchange with a streaming response body.
//!
//! Two real implementations: [`Http`] (reqwest) and [`InProcess`] (any tower service, such as the
//! mock's). [`Faulty`] wraps any of them. Neither knows of Kinesis, signing or retries: that is the
//! caller's part.

mod body;
mod exchange;
mod faulty;
mod http;
mod in_process;

pub use self::body::Body;
pub use self::exchange::{BoxFuture, Transport, TransportError};
pub use self::faulty::{Conditions, Faults, Faulty, TransportFault};
pub use self::http::Http;
pub use self::in_process::InProcess;
pub use crate::error::BoxError;
