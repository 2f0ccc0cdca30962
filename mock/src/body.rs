//! The body of an answer: all of it at once, or piece by piece as things happen.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use crate::service::BrokenConnection;

/// The body of a [`MockService`](crate::MockService)'s answer.
///
/// SubscribeToShard's grows while it is read, one event for each time it is polled and no event
/// ahead of that. Dropping it ends the subscription.
pub struct ResponseBody(Content);

enum Content {
    Whole(Full<Bytes>),
    /// A piece that is an error breaks the connection.
    Pieces(Pin<Box<dyn Stream<Item = Result<Bytes, BrokenConnection>> + Send + Sync>>),
}

impl ResponseBody {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Content::Whole(Full::new(bytes.into())))
    }

    pub(crate) fn pieces(
        pieces: impl Stream<Item = Result<Bytes, BrokenConnection>> + Send + Sync + 'static,
    ) -> Self {
        Self(Content::Pieces(Box::pin(pieces)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenConnection;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenConnection>>> {
        match &mut self.0 {
            Content::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Content::Pieces(pieces) => pieces
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|result| result.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(body) => body.is_end_stream(),
            Content::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(body) => body.size_hint(),
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Whole(body) => f.debug_tuple("ResponseBody").field(body).finish(),
            Content::Pieces(_) => f.debug_struct("ResponseBody").finish_non_exhaustive(),
        }
    }
}
