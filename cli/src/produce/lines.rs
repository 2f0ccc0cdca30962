//! Lines of a file or of standard input, read by a thread of its own: a read may never return.
//!
//! What is held is bounded by bytes: of lines that are read ahead, and of a line that never ends.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use shardwise_types::limits;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::first_bytes::{NotLines, examine};

/// Lines that are read and not yet sent: enough to keep the sender busy.
const LINES_AHEAD: usize = 1024;

/// Bytes of those, unless one line alone has more.
const BYTES_AHEAD: u32 = 4 * 1024 * 1024;

/// No stream takes a longer record, whatever its own limit is: what is longer is counted, and not
/// held. A record's partition key counts as well.
pub(super) const LINE_MAX_BYTES: usize = limits::RECORD_MAX_BYTES;

/// Where lines come from.
#[derive(Debug)]
pub(super) enum Input {
    Stdin,
    File(File),
}

impl Input {
    /// A file; standard input if there is no path, or it is `-`.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            Some(path) if path != Path::new("-") => {
                let file = File::open(path)
                    .with_context(|| format!("could not open {}", path.display()))?;
                Ok(Self::File(file))
            }
            _ => Ok(Self::Stdin),
        }
    }

    /// Its bytes, if that is known: a pipe has no length.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(file) => file
                .metadata()
                .ok()
                .filter(std::fs::Metadata::is_file)
                .map(|data| data.len()),
        }
    }
}

/// One line, without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) data: Data,
    /// Bytes of the input that it took, its end included.
    pub(super) bytes: u64,
    /// Room for it, given back when the line is sent.
    pub(super) room: OwnedSemaphorePermit,
}

/// What a line has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// This.
    Whole(Bytes),
    /// More bytes than any record may have.
    TooLong,
}

/// Why there are no more lines.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The input cannot be read.
    Io(io::Error),
    /// The input is something else.
    NotLines(NotLines),
}

/// The lines, and at the end perhaps an error.
pub(super) type Lines = mpsc::Receiver<Result<Line, ReadError>>;

/// Starts to read, from within a runtime. The thread ends with the input, or at the first line that is
/// not received.
pub(super) fn read(input: Input) -> io::Result<Lines> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    let runtime = Handle::current();
    std::thread::Builder::new()
        .name("lines".to_owned())
        .spawn(move || match input {
            Input::Stdin => pump(io::stdin().lock(), &sender, &runtime),
            Input::File(file) => pump(BufReader::new(file), &sender, &runtime),
        })?;
    Ok(lines)
}

fn pump(mut input: impl BufRead, sender: &mpsc::Sender<Result<Line, ReadError>>, runtime: &Handle) {
    // Whoever does not receive any more is about to end the program.
    let fail = |error| drop(sender.blocking_send(Err(error)));
    let (first, mut skipped) = match examine(&mut input) {
        Ok(Ok(first)) => (first.bytes, first.skipped),
        Ok(Err(refusal)) => return fail(ReadError::NotLines(refusal)),
        Err(error) => return fail(ReadError::Io(error)),
    };
    let mut input = io::Cursor::new(first).chain(input);
    let room = Arc::new(Semaphore::new(BYTES_AHEAD as usize));
    loop {
        let (data, bytes) = match next(&mut input, LINE_MAX_BYTES) {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => return fail(ReadError::Io(error)),
        };
        let held = match &data {
            Data::Whole(data) => u32::try_from(data.len()).unwrap_or(BYTES_AHEAD),
            Data::TooLong => 0,
        };
        let Some(room) = wait_for_room(&room, held.min(BYTES_AHEAD), sender, runtime) else {
            return;
        };
        let line = Line {
            data,
            bytes: bytes + std::mem::take(&mut skipped),
            room,
        };
        if sender.blocking_send(Ok(line)).is_err() {
            return;
        }
    }
}

/// Room for so many bytes; `None` if the line would not be received.
fn wait_for_room(
    room: &Arc<Semaphore>,
    bytes: u32,
    sender: &mpsc::Sender<Result<Line, ReadError>>,
    runtime: &Handle,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = room.clone().try_acquire_many_owned(bytes) {
        return Some(permit);
    }
    runtime.block_on(async {
        // Cancel safe: nothing is received here, and room that is not taken stays.
        tokio::select! {
            biased;
            () = sender.closed() => None,
            permit = room.clone().acquire_many_owned(bytes) => permit.ok(),
        }
    })
}

/// The next line, and how many bytes of the input it took.
fn next(input: &mut impl BufRead, max_bytes: usize) -> io::Result<Option<(Data, u64)>> {
    let mut data = Vec::new();
    // With its end: a carriage return and a line feed.
    let most = max_bytes as u64 + 2;
    let mut bytes = input.take(most).read_until(b'\n', &mut data)? as u64;
    if bytes == 0 {
        return Ok(None);
    }
    if data.pop_if(|last| *last == b'\n').is_some() {
        data.pop_if(|last| *last == b'\r');
    } else if bytes == most {
        bytes += input.skip_until(b'\n')? as u64;
    }
    let data = if data.len() > max_bytes {
        Data::TooLong
    } else {
        Data::Whole(data.into())
    };
    Ok(Some((data, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], max_bytes: usize) -> Vec<(Data, u64)> {
        let mut input = input;
        std::iter::from_fn(|| next(&mut input, max_bytes).unwrap()).collect()
    }

    fn whole(data: &'static [u8]) -> Data {
        Data::Whole(data.into())
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        assert_eq!(
            lines(b"one\ntwo\r\n\n\xff\rx\nlast", 100),
            [
                (whole(b"one"), 4),
                (whole(b"two"), 5),
                (whole(b""), 1),
                (whole(b"\xff\rx"), 4),
                (whole(b"last"), 4)
            ]
        );
    }

    #[test]
    fn a_line_that_no_record_can_hold_is_passed_over_and_the_next_is_whole() {
        assert_eq!(
            lines(b"12345\n123456\n12345\r\n1234567890\nxy", 5),
            [
                (whole(b"12345"), 6),
                (Data::TooLong, 7),
                (whole(b"12345"), 7),
                (Data::TooLong, 11),
                (whole(b"xy"), 2)
            ]
        );
        assert_eq!(lines(b"1234567890", 5), [(Data::TooLong, 10)]);
    }

    #[test]
    fn an_empty_input_has_no_line() {
        assert!(lines(b"", 5).is_empty());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Input::open(Some(Path::new("/nowhere/lines"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/lines"), "{error}");
    }
}
