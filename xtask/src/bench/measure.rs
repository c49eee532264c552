//! One command, measured: its time by hyperfine, its memory by GNU time. Contenders take turns.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::figures::median;
use super::peers::reason;
use crate::process::program;
use crate::{Result, say};

/// How often memory is looked at: a build holds what it unpacks for seconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A command that is measured, and what is done before each time.
pub(super) struct Contender<'a> {
    pub(super) name: &'static str,
    pub(super) words: Vec<String>,
    /// Not measured.
    pub(super) prepare: Box<dyn Fn() -> Result + 'a>,
    /// The ext4 image that it must have made: judged after each run.
    pub(super) image: Option<PathBuf>,
    /// How often it is run within one round: one that takes milliseconds says little if run once.
    pub(super) runs: u32,
}

/// Where measuring happens, and in which environment.
pub(super) struct Bench {
    pub(super) folder: PathBuf,
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) rounds: u32,
}

impl Bench {
    /// The seconds of each contender in each round; they take turns. The first one is ours and must not fail; another that fails is
    /// left out from then on, and the reason stands in its place.
    pub(super) fn in_turn(&self, contenders: &[Contender<'_>]) -> Result<Vec<Result<Vec<f64>, String>>> {
        let mut outcomes = vec![Ok(Vec::new()); contenders.len()];
        for round in 1..=self.rounds {
            for (number, (contender, outcome)) in contenders.iter().zip(&mut outcomes).enumerate() {
                let Ok(seconds) = outcome else { continue };
                match self.turn(contender) {
                    Ok(took) => {
                        say(&format!("   round {round}: {} {took:.3} s", contender.name));
                        seconds.push(took);
                    }
                    Err(error) if number == 0 => return Err(error),
                    Err(error) => {
                        say(&format!("   round {round}: {} failed: {error}", contender.name));
                        *outcome = reason(Err(error));
                    }
                }
            }
        }
        Ok(outcomes)
    }

    fn turn(&self, contender: &Contender<'_>) -> Result<f64> {
        (contender.prepare)()?;
        let took = self.time(contender)?;
        if let Some(image) = &contender.image {
            self.quietly(program("e2fsck", &["-fn", &image.display().to_string()]))?;
        }
        Ok(took)
    }

    /// The peak memory of a command in each round, in MB: of its largest process, and of file systems in memory.
    pub(super) fn memory(&self, contender: &Contender<'_>) -> Result<Vec<f64>> {
        let file = self.folder.join("memory");
        let mut megabytes = Vec::new();
        for round in 1..=self.rounds {
            (contender.prepare)()?;
            let mut command = self.command("/usr/bin/time");
            command.args(["--format", "%M", "--output"]).arg(&file).arg("--").args(&contender.words);
            let shared = most_shared_during(|| self.quietly(command))?;
            let peak = (fs_err::read_to_string(&file)?.trim().parse::<f64>()? + shared) * 1024.0 / 1_000_000.0;
            say(&format!("   round {round}: {} {peak:.0} MB", contender.name));
            megabytes.push(peak);
        }
        Ok(megabytes)
    }

    fn time(&self, contender: &Contender<'_>) -> Result<f64> {
        let export = self.folder.join("hyperfine.json");
        // What the run before left to be written is not this one's.
        self.quietly(program("sync", &[]))?;
        let mut command = self.command("hyperfine");
        let warmup = if contender.runs > 1 { "2" } else { "0" };
        command.args(["--shell=none", "--show-output", "--warmup", warmup]);
        command.args(["--runs", &contender.runs.to_string(), "--export-json"]).arg(&export).arg(line(&contender.words));
        self.quietly(command)?;
        seconds(&fs_err::read_to_string(&export)?)
    }

    /// A program in the bench's environment.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = program(name, &[]);
        command.current_dir(&self.folder).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command, and shows the end of what it printed only where it fails.
    pub(super) fn quietly(&self, command: Command) -> Result {
        quietly(command, &self.folder.join("log"))
    }
}

/// Runs a command with its output in a file, whose end is shown where the command fails.
pub(super) fn quietly(mut command: Command, log: &Path) -> Result {
    let output = fs_err::File::create(log)?.into_parts().0;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("`{name}` did not start: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&fs_err::read(log)?).into_owned();
    let end: Vec<&str> = printed.lines().rev().take(8).collect();
    let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(format!("`{name}` failed ({status}); its last lines:\n{}", without_addresses(&end)).into())
}

/// The text without addresses of mirrors: those are the machine's own business.
pub(super) fn without_addresses(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(at) = ["http://", "https://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        kept.push_str(&rest[..at]);
        kept.push_str("(address)");
        let address = &rest[at..];
        let end = address.find(|letter: char| letter.is_whitespace() || "\"'`<>)".contains(letter));
        rest = &address[end.unwrap_or(address.len())..];
    }
    kept + rest
}

/// The words as hyperfine splits them again.
fn line(words: &[String]) -> String {
    words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ")
}

/// The median of the runs that hyperfine reports.
fn seconds(report: &str) -> Result<f64> {
    let report: serde_json::Value = serde_json::from_str(report)?;
    let times = report["results"][0]["times"].as_array().ok_or("hyperfine's report holds no times")?;
    let times: Vec<f64> = times.iter().filter_map(serde_json::Value::as_f64).collect();
    median(&times).ok_or_else(|| "hyperfine's report holds no times".into())
}

/// How much more memory than before belonged to file systems in memory at some time while this ran, in units of 1024 bytes.
fn most_shared_during(work: impl FnOnce() -> Result) -> Result<f64> {
    let before = shared()?;
    let done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = before;
            while !done.load(Ordering::Relaxed) {
                most = most.max(shared().unwrap_or(before));
                std::thread::sleep(LOOK_EVERY);
            }
            most
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let most = watching.join().map_err(|_| "the watching thread failed");
        worked.and(most.map_err(Into::into))
    })?;
    Ok(most - before)
}

/// What the machine has in file systems in memory and in other shared memory, in units of 1024 bytes.
fn shared() -> Result<f64> {
    let text = fs_err::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Shmem:"));
    Ok(line.ok_or("/proc/meminfo does not tell")?.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyperfines_report() {
        let report = r#"{"results": [{"command": "x", "times": [0.3, 0.1, 0.2], "median": 9}]}"#;
        assert!((seconds(report).unwrap() - 0.2).abs() < 1e-9);
        assert!(seconds(r#"{"results": []}"#).is_err());
    }

    #[test]
    fn words_are_split_as_they_were() {
        assert_eq!(line(&["a b".to_owned(), "it's".to_owned()]), r"'a b' 'it'\''s'");
    }

    #[test]
    fn addresses_are_not_shown() {
        let table = [
            ("GET http://mirror.example/debian/x.deb: 404", "GET (address) 404"),
            ("(https://a.example/x) and http://b.example", "((address)) and (address)"),
            ("nothing", "nothing"),
        ];
        for (text, expected) in table {
            assert_eq!(without_addresses(text), expected);
        }
    }
}
