//! `docs/benchmarks.md`: what was measured, in which conditions.

use std::fmt::Write;
use std::path::PathBuf;

use super::figures::{median, ratio};
use crate::{Result, say, top};

/// What stands above it is written by `cargo xtask bench`, what stands below it by people.
const MARK: &str = "<!-- Above this line: written by `cargo xtask bench`. Below it: kept by hand. -->";

/// What stands below the mark of a new page.
const BELOW: &str = "\n## What falls short, and why\n\nNothing was looked into yet.\n";

/// What a line of the table measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Megabytes,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// At most this much, in the line's unit.
    AtMost(f64),
    /// At most this part of what is beside it.
    Part(f64),
    /// Nothing: measured for comparison.
    None,
}

/// What ours is compared with.
#[derive(Debug, Clone)]
pub(super) enum Beside {
    Nothing,
    Measured { name: String, values: Vec<f64> },
    Skipped { name: String, reason: String },
}

/// One line of the table: one kind of work, one target.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) work: String,
    pub(super) unit: Unit,
    pub(super) ours: Vec<f64>,
    pub(super) beside: Beside,
    pub(super) target: Target,
}

/// The page as far as the mark.
pub(super) fn render(conditions: &[(String, String)], notes: &[&str], lines: &[Line]) -> String {
    let mut page = String::from(
        "# Benchmarks\n\nMeasured by `cargo xtask bench`, side by side in one run: the contenders of a row take turns (A B A B …), figures are medians of the \
         rounds, a ratio is the median\nof the ratios within each turn. Repeat it on a quiet machine, as root for all peers; `--only ROW` measures single \
         rows, `--rounds N` more often.\n\n## Conditions\n\n| what | here |\n|---|---|\n",
    );
    for (what, here) in conditions {
        let _ = writeln!(page, "| {what} | {here} |");
    }
    page.push_str("\n## Results\n\n");
    page.push_str(&table(lines));
    page.push('\n');
    for note in notes {
        let _ = writeln!(page, "- {note}");
    }
    page.push_str("\n## Each round\n\n| work | smolvm | beside |\n|---|---|---|\n");
    for line in lines {
        let theirs = match &line.beside {
            Beside::Measured { name, values } => format!("{name}: {}", listed(line.unit, values)),
            Beside::Nothing | Beside::Skipped { .. } => String::new(),
        };
        let _ = writeln!(page, "| {} | {} | {theirs} |", line.work, listed(line.unit, &line.ours));
    }
    page.push('\n');
    page
}

/// The table of results.
pub(super) fn table(lines: &[Line]) -> String {
    let mut table = String::from(
        "| work | reach | smolvm | beside | its median | ratio | reached |\n|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        let ours = median(&line.ours);
        let (name, theirs, part) = match &line.beside {
            Beside::Nothing => (String::new(), None, None),
            Beside::Measured { name, values } => (name.clone(), median(values), ratio(&line.ours, values)),
            Beside::Skipped { name, reason } => (format!("{name} was skipped: {reason}"), None, None),
        };
        let (reach, reached) = match line.target {
            Target::AtMost(most) => (format!("at most {}", shown(line.unit, most)), ours.map(|ours| ours <= most)),
            Target::Part(most) => (format!("at most {most} of it"), part.map(|part| part <= most)),
            Target::None => (String::new(), None),
        };
        let reached = match (line.target, reached) {
            (Target::None, _) => "",
            (_, Some(true)) => "yes",
            (_, Some(false)) => "**no**",
            (_, None) => "not measured",
        };
        let value = |value: Option<f64>| value.map(|value| shown(line.unit, value)).unwrap_or_default();
        let part = part.map(|part| format!("{part:.3}")).unwrap_or_default();
        let _ = writeln!(
            table,
            "| {} | {reach} | {} | {name} | {} | {part} | {reached} |",
            line.work,
            value(ours),
            value(theirs)
        );
    }
    table
}

/// A value with its unit, at a precision that says something.
fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value < 0.1 => format!("{:.1} ms", value * 1000.0),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Megabytes => format!("{value:.0} MB"),
    }
}

fn listed(unit: Unit, values: &[f64]) -> String {
    values.iter().map(|value| shown(unit, *value)).collect::<Vec<_>>().join(", ")
}

/// Writes the page, and leaves what people wrote below the mark.
pub(super) fn write(above: &str) -> Result {
    let path = path();
    let old = match fs_err::read_to_string(&path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    fs_err::write(&path, joined(above, &old))?;
    say("wrote docs/benchmarks.md");
    Ok(())
}

fn joined(above: &str, old: &str) -> String {
    let below = old.split_once(MARK).map_or(BELOW, |(_, below)| below.strip_prefix('\n').unwrap_or(below));
    format!("{above}{MARK}\n{below}")
}

fn path() -> PathBuf {
    top().join("docs/benchmarks.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(work: &str, ours: &[f64], beside: Beside, target: Target) -> Line {
        Line { work: work.to_owned(), unit: Unit::Seconds, ours: ours.to_vec(), beside, target }
    }

    fn peer(values: &[f64]) -> Beside {
        Beside::Measured { name: "peer".to_owned(), values: values.to_vec() }
    }

    fn row_of(line: Line) -> String {
        table(&[line]).lines().nth(2).unwrap().to_owned()
    }

    #[test]
    fn a_line_says_whether_its_target_was_reached() {
        let skipped = Beside::Skipped { name: "peer".to_owned(), reason: "no `dockerd`".to_owned() };
        let mut memory = line("memory", &[410.4], Beside::Nothing, Target::AtMost(400.0));
        memory.unit = Unit::Megabytes;
        let table = [
            (
                line("cold", &[3.0, 5.0, 4.0], peer(&[8.0, 10.0, 8.0]), Target::Part(0.5)),
                "| cold | at most 0.5 of it | 4.00 s | peer | 8.00 s | 0.500 | yes |",
            ),
            (
                line("cold", &[5.0], peer(&[8.0]), Target::Part(0.5)),
                "| cold | at most 0.5 of it | 5.00 s | peer | 8.00 s | 0.625 | **no** |",
            ),
            (
                line("cold", &[5.0], skipped, Target::Part(0.5)),
                "| cold | at most 0.5 of it | 5.00 s | peer was skipped: no `dockerd` |  |  | not measured |",
            ),
            (
                line("hit", &[0.004], Beside::Nothing, Target::AtMost(0.01)),
                "| hit | at most 10.0 ms | 4.0 ms |  |  |  | yes |",
            ),
            (line("cold", &[5.0], peer(&[20.0]), Target::None), "| cold |  | 5.00 s | peer | 20.00 s | 0.250 |  |"),
            (memory, "| memory | at most 400 MB | 410 MB |  |  |  | **no** |"),
        ];
        for (line, expected) in table {
            assert_eq!(row_of(line), expected);
        }
    }

    #[test]
    fn the_page_has_conditions_notes_and_every_round() {
        let conditions = [("cores".to_owned(), "2".to_owned())];
        let page = render(&conditions, &["a note"], &[line("cold", &[3.0, 0.05], peer(&[8.0, 9.0]), Target::None)]);
        for part in ["| cores | 2 |\n", "\n- a note\n", "| cold | 3.00 s, 50.0 ms | peer: 8.00 s, 9.00 s |\n"] {
            assert!(page.contains(part), "{part:?} is not in\n{page}");
        }
    }

    #[test]
    fn what_people_wrote_stays() {
        let first = joined("old figures\n", "");
        assert_eq!(first, format!("old figures\n{MARK}\n{BELOW}"));
        let edited = first.replace("Nothing was looked into yet.", "The xz of one package.");
        let second = joined("new figures\n", &edited);
        assert!(second.starts_with("new figures\n") && second.contains("The xz of one package."), "{second}");
        assert!(!second.contains("old figures"), "{second}");
        assert_eq!(joined("new figures\n", &second), second);
    }
}
