//! The input: 20,000 real flights, and what a batch computation says of them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// One flight, with its place in the file as its identity.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) number: usize,
    pub(crate) origin: String,
    /// Minutes of delay on arrival; negative if early.
    pub(crate) delay: i64,
}

impl Flight {
    /// What goes into the record: `number,origin,delay`.
    pub(crate) fn to_data(&self) -> String {
        format!("{},{},{}", self.number, self.origin, self.delay)
    }

    /// The inverse of [`to_data`](Self::to_data).
    pub(crate) fn from_data(data: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(data).context("the data is not text")?;
        let mut fields = text.split(',');
        let mut field = |name| {
            fields
                .next()
                .with_context(|| format!("{text:?} has no {name}"))
        };
        Ok(Self {
            number: field("number")?.parse()?,
            origin: field("origin")?.to_owned(),
            delay: field("delay")?.parse()?,
        })
    }
}

/// Reads the flights from `data/flights.csv` beside this package's manifest. No field of it is quoted.
pub(crate) fn read() -> anyhow::Result<Vec<Flight>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights.csv");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let mut lines = text.lines();
    let header: Vec<_> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let mut names = header.iter();
        let found = names.position(|header| *header == name);
        found.with_context(|| format!("no column {name}"))
    };
    let (origin, delay) = (column("origin")?, column("delay_min")?);
    lines
        .enumerate()
        .map(|(number, line)| {
            let fields: Vec<_> = line.split(',').collect();
            let field = |column: usize| {
                let line = number + 2;
                fields
                    .get(column)
                    .copied()
                    .with_context(|| format!("line {line} is too short"))
            };
            Ok(Flight {
                number,
                origin: field(origin)?.to_owned(),
                delay: field(delay)?.parse()?,
            })
        })
        .collect()
}

/// Count and summed delay of the flights from one airport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delays {
    pub(crate) flights: u64,
    pub(crate) minutes: i64,
}

impl Delays {
    pub(crate) fn add(&mut self, flight: &Flight) {
        self.flights += 1;
        self.minutes += flight.delay;
    }

    #[expect(clippy::cast_precision_loss, reason = "for showing")]
    pub(crate) fn mean(self) -> f64 {
        self.minutes as f64 / self.flights as f64
    }
}

/// The same figures by a plain loop over the file.
pub(crate) fn batch(flights: &[Flight]) -> BTreeMap<String, Delays> {
    let mut by_origin: BTreeMap<String, Delays> = BTreeMap::new();
    for flight in flights {
        by_origin
            .entry(flight.origin.clone())
            .or_default()
            .add(flight);
    }
    by_origin
}
