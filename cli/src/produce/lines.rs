//! Lines of a file or of standard input, read by a thread of its own: a read may block for ever.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc;

/// Lines that are read and not yet sent: enough to keep the sender busy.
const LINES_AHEAD: usize = 1024;

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
    pub(super) data: Bytes,
    /// Bytes of the input up to its end.
    pub(super) end: u64,
}

/// The lines, and at the end perhaps an error.
pub(super) type Lines = mpsc::Receiver<io::Result<Line>>;

/// Starts to read. The thread ends with the input, or at the first line that nobody receives.
pub(super) fn read(input: Input) -> io::Result<Lines> {
    let (sender, lines) = mpsc::channel(LINES_AHEAD);
    std::thread::Builder::new()
        .name("lines".to_owned())
        .spawn(move || match input {
            Input::Stdin => pump(io::stdin().lock(), &sender),
            Input::File(file) => pump(BufReader::new(file), &sender),
        })?;
    Ok(lines)
}

fn pump(mut input: impl BufRead, sender: &mpsc::Sender<io::Result<Line>>) {
    let mut end = 0;
    while let Some(line) = next(&mut input, &mut end).transpose() {
        let broken = line.is_err();
        if sender.blocking_send(line).is_err() || broken {
            return;
        }
    }
}

fn next(input: &mut impl BufRead, end: &mut u64) -> io::Result<Option<Line>> {
    let mut data = Vec::new();
    let read = input.read_until(b'\n', &mut data)?;
    if read == 0 {
        return Ok(None);
    }
    *end += read as u64;
    if data.pop_if(|last| *last == b'\n').is_some() {
        data.pop_if(|last| *last == b'\r');
    }
    Ok(Some(Line {
        data: data.into(),
        end: *end,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let (mut input, mut end) = (input, 0);
        std::iter::from_fn(|| next(&mut input, &mut end).unwrap())
            .map(|line| (line.data.to_vec(), line.end))
            .collect()
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let all = lines(b"one\ntwo\r\n\n\xff\rx\nlast");
        let data: Vec<&[u8]> = all.iter().map(|(data, _)| &data[..]).collect();
        assert_eq!(data, [&b"one"[..], b"two", b"", b"\xff\rx", b"last"]);
        let ends: Vec<u64> = all.iter().map(|(_, end)| *end).collect();
        assert_eq!(ends, [4, 9, 10, 14, 18]);
    }

    #[test]
    fn an_empty_input_has_no_line() {
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Input::open(Some(Path::new("/nowhere/lines"))).unwrap_err();
        assert!(error.to_string().contains("/nowhere/lines"), "{error}");
    }
}
