//! Bodies: of answers, all at once or piece by piece, and of requests, which are read whole.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use shardwise_env::Env;
use shardwise_types::with_causes;

/// How long a request's body may take to arrive; a client that stalls must not hold a connection
/// without end.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// An answer on its way.
pub type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BrokenConnection>> + Send>>;

/// No answer, or no more of it: a fault rule struck, and the caller sees its connection break.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection broke before the end of the answer, by a fault rule")]
#[non_exhaustive]
pub struct BrokenConnection;

impl fmt::Debug for BrokenConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self))
    }
}

/// The body of a [`MockService`](crate::MockService)'s answer.
///
/// SubscribeToShard's grows while it is read, one event for each time it is polled and no event
/// ahead of that. Dropping it ends the subscription.
pub struct ResponseBody(Content);

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BrokenConnection>> + Send + Sync>>;

enum Content {
    Whole(Full<Bytes>),
    /// A piece that is an error breaks the connection; then the announced size was not true.
    Pieces(Pieces, SizeHint),
}

impl ResponseBody {
    pub(crate) fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Content::Whole(Full::new(bytes.into())))
    }

    pub(crate) fn pieces(
        pieces: impl Stream<Item = Result<Bytes, BrokenConnection>> + Send + Sync + 'static,
    ) -> Self {
        Self(Content::Pieces(Box::pin(pieces), SizeHint::default()))
    }

    /// The same body, whose connection breaks after so many bytes.
    pub(crate) fn truncated(self, bytes: usize) -> Self {
        self.spoiled(|body| {
            stream::unfold(Some((Some(body), bytes)), async |state| {
                let (body, left) = state?;
                let Some(mut body) = body else {
                    // What was given so far is on its way before the connection breaks.
                    tokio::task::yield_now().await;
                    return Some((Err(BrokenConnection), None));
                };
                match body.next_bytes().await? {
                    Ok(mut piece) if piece.len() > left => {
                        piece.truncate(left);
                        Some((Ok(piece), Some((None, 0))))
                    }
                    Ok(piece) => {
                        let left = left - piece.len();
                        Some((Ok(piece), Some((Some(body), left))))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            })
        })
    }

    /// The same body, of which so many bytes come at a time, each after a pause.
    pub(crate) fn dribbling(self, bytes: NonZeroUsize, every: Duration, env: Env) -> Self {
        self.spoiled(|body| {
            stream::unfold(
                (body, Bytes::new(), env),
                move |(mut body, mut rest, env): (Self, Bytes, Env)| async move {
                    while rest.is_empty() {
                        match body.next_bytes().await? {
                            Ok(piece) => rest = piece,
                            Err(error) => return Some((Err(error), (body, rest, env))),
                        }
                    }
                    env.sleep(every).await;
                    let piece = rest.split_to(bytes.get().min(rest.len()));
                    Some((Ok(piece), (body, rest, env)))
                },
            )
        })
    }

    /// The same body, which ends when `stop` comes if it has no end of its own, as subscriptions have
    /// none.
    pub(crate) fn ending_on(self, stop: impl Future<Output = ()> + Send + Sync + 'static) -> Self {
        match self.0 {
            Content::Pieces(pieces, size) if size.upper().is_none() => {
                Self(Content::Pieces(Box::pin(pieces.take_until(stop)), size))
            }
            content => Self(content),
        }
    }

    fn spoiled<S>(self, spoil: impl FnOnce(Self) -> S) -> Self
    where
        S: Stream<Item = Result<Bytes, BrokenConnection>> + Send + Sync + 'static,
    {
        let size = self.size_hint();
        Self(Content::Pieces(Box::pin(spoil(self)), size))
    }

    async fn next_bytes(&mut self) -> Option<Result<Bytes, BrokenConnection>> {
        let frame = self.frame().await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }
}

/// A request's body, or the status of the answer to one that is too long, or does not come.
pub(crate) async fn read_all<B>(body: B, limit: usize, patience: &Env) -> Result<Bytes, StatusCode>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let body = Limited::new(body, limit).collect();
    match patience.timeout(READ_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
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
            Content::Pieces(pieces, _) => pieces
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|result| result.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(body) => body.is_end_stream(),
            Content::Pieces(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(body) => body.size_hint(),
            Content::Pieces(_, announced) => *announced,
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Whole(body) => f.debug_tuple("ResponseBody").field(body).finish(),
            Content::Pieces(..) => f.debug_struct("ResponseBody").finish_non_exhaustive(),
        }
    }
}
