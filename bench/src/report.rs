//! Runs, and what they have in common.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::Output;

/// The figures of one run, by name.
pub(crate) type Run = Vec<(&'static str, f64)>;

/// Runs of the same measurement.
pub(crate) struct Report {
    title: String,
    /// How busy the machine was before the first run.
    load: String,
    runs: Vec<Run>,
    skipped: Option<&'static str>,
}

impl Report {
    pub(crate) fn new(title: String) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        Self {
            title,
            load,
            runs: Vec::new(),
            skipped: None,
        }
    }

    pub(crate) fn skip(&mut self, why: &'static str) {
        self.skipped = Some(why);
    }

    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    #[expect(clippy::print_stdout, reason = "it is what the program is for")]
    pub(crate) fn print(&self, output: Output) -> anyhow::Result<()> {
        match output {
            Output::Json => println!("{}", self.to_json()),
            Output::Table => println!("{}", self.to_table().context("a run has no figures")?),
        }
        Ok(())
    }

    /// Minimum, median and maximum of the figure at this place.
    fn spread(&self, figure: usize) -> Option<[f64; 3]> {
        let mut values: Vec<f64> = self.runs.iter().map(|run| run[figure].1).collect();
        values.sort_by(f64::total_cmp);
        Some([
            *values.first()?,
            *values.get(values.len() / 2)?,
            *values.last()?,
        ])
    }

    fn to_table(&self) -> Option<String> {
        let mut out = format!("{}  (load {})\n", self.title, self.load);
        if let Some(why) = self.skipped {
            out += &format!("  skipped: {why}\n");
            return Some(out);
        }
        out += &format!("  {:<24}{:>12}{:>12}{:>12}\n", "", "min", "median", "max");
        for (figure, (name, _)) in self.runs.first()?.iter().enumerate() {
            out += &format!("  {name:<24}");
            for value in self.spread(figure)? {
                let digits = if value < 1000.0 { 2 } else { 0 };
                out += &format!("{value:>12.digits$}");
            }
            out.push('\n');
        }
        Some(out)
    }

    fn to_json(&self) -> Value {
        let run = |run: &Run| -> Map<String, Value> {
            run.iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect()
        };
        json!({
            "title": self.title,
            "load": self.load,
            "skipped": self.skipped,
            "runs": self.runs.iter().map(run).collect::<Vec<_>>(),
        })
    }
}
