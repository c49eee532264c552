//! The rows of the table: what each measures, and what is to be reached.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use super::measure::{Bench, Contender};
use super::page::{Beside, Line, Target, Unit};
use super::peers::{BUILDER, BUILDER_AGAIN, CLI, MMDEBSTRAP, Peers, RDEBOOTSTRAP, reason, remove};
use super::workload::Smolfile;
use crate::Result;
use crate::process::program;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Row {
    /// W1 with empty caches
    Cold,
    /// W1 with its downloads cached, and nothing else
    Cached,
    /// The same once more
    Nothing,
    /// Another value of a variable
    Env,
    /// Another key
    Key,
    /// Another file of 1 KB
    File,
    /// A package more that has no scripts
    Scriptless,
    /// A package more that has scripts
    Scripts,
    /// Twenty Smolfiles by one command
    Many,
    /// Peak memory
    Memory,
}

/// How many Smolfiles [`Row::Many`] builds.
const MANY: u32 = 20;

/// What measuring takes.
pub(super) struct Rows<'a> {
    pub(super) bench: &'a Bench,
    pub(super) peers: &'a Peers,
    /// The binary that is measured.
    pub(super) smolvm: PathBuf,
    /// Counts values, so that each is one that no build has seen.
    pub(super) counter: Cell<u32>,
}

/// What a contender took in each round, or why it was left out.
type Outcome = Result<Vec<f64>, String>;

/// What lies there before a build.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Nothing,
    Downloads,
}

impl Rows<'_> {
    /// Measures a row; gives its lines.
    pub(super) fn measure(&self, row: Row) -> Result<Vec<Line>> {
        let lines = match row {
            Row::Cold => self.cold(),
            Row::Cached => self.cached(),
            Row::Nothing => self.nothing(),
            Row::Env => self.changed("one env value changed", |smolfile, value| {
                value.clone_into(&mut smolfile.value);
                Ok(())
            }),
            Row::Key => self.changed("one key changed", |smolfile, _| {
                smolfile.key = Some(self.new_key()?);
                Ok(())
            }),
            Row::File => self.changed("one 1 KB file changed", |smolfile, value| {
                value.clone_into(&mut smolfile.content);
                Ok(())
            }),
            Row::Scriptless => {
                self.package_more("one package more, with no scripts (jq)", "jq", Target::AtMost(2.0), Target::None)
            }
            Row::Scripts => self.package_more(
                "one package more, with scripts (nginx-light)",
                "nginx-light",
                Target::None,
                Target::Part(0.5),
            ),
            Row::Many => self.many(),
            Row::Memory => self.memory(),
        };
        // Images of 2 GiB and stores of many: the next row begins with an empty folder anyway.
        self.clear(Kept::Nothing)?;
        lines
    }

    fn cold(&self) -> Result<Vec<Line>> {
        let kernel = self.keep_kernel()?;
        let mut contenders = vec![self.from(Kept::Nothing), self.with_kernel(Kept::Nothing, &kernel)];
        let (bench, peers) = (self.bench, self.peers);
        if peers.rdebootstrap.is_ok() {
            contenders.push(peers.by_rdebootstrap(bench, false));
        }
        if peers.builder.is_ok() {
            contenders.push(peers.by_builder(bench, false));
        }
        if peers.mmdebstrap.is_ok() {
            contenders.push(peers.by_mmdebstrap(bench));
        }
        let seconds = self.bench.in_turn(&contenders)?;
        let beside = |name: &'static str, ready: Result<(), String>| match ready {
            Ok(()) => measured(&contenders, &seconds, name),
            Err(reason) => skipped(name, reason),
        };
        let builder = peers.builder.as_ref().map(|_| ()).map_err(Clone::clone);
        let ours = &seconds[0].clone()?;
        let plain = &seconds[1].clone()?;
        let (work, to_ext4) = ("W1 cold, empty caches, with Debian's kernel", "W1 cold, empty caches, to ext4");
        Ok(vec![
            line(to_ext4, plain, beside(RDEBOOTSTRAP, peers.rdebootstrap.clone()), Target::Part(0.5)),
            line(to_ext4, plain, beside(BUILDER, builder.clone()), Target::Part(0.25)),
            line(to_ext4, plain, beside(MMDEBSTRAP, peers.mmdebstrap.clone()), Target::None),
            line(work, ours, beside(RDEBOOTSTRAP, peers.rdebootstrap.clone()), Target::Part(0.5)),
            line(work, ours, beside(BUILDER, builder), Target::Part(0.25)),
        ])
    }

    fn cached(&self) -> Result<Vec<Line>> {
        // Leaves the downloads too.
        let kernel = self.keep_kernel()?;
        let mut contenders = vec![self.from(Kept::Downloads), self.with_kernel(Kept::Downloads, &kernel)];
        let ready = self.peers.rdebootstrap.clone();
        let ready = ready.and_then(|()| reason(self.once(&self.peers.by_rdebootstrap(self.bench, false))));
        if ready.is_ok() {
            contenders.push(self.peers.by_rdebootstrap(self.bench, true));
        }
        let seconds = self.bench.in_turn(&contenders)?;
        let beside = match ready {
            Ok(()) => measured(&contenders, &seconds, RDEBOOTSTRAP),
            Err(reason) => skipped(RDEBOOTSTRAP, reason),
        };
        let (work, to_ext4) =
            ("W1, downloads cached, no layers, with Debian's kernel", "W1, downloads cached, no layers, to ext4");
        Ok(vec![
            line(to_ext4, &seconds[1].clone()?, beside.clone(), Target::Part(0.45)),
            line(work, &seconds[0].clone()?, beside, Target::Part(0.45)),
        ])
    }

    fn nothing(&self) -> Result<Vec<Line>> {
        self.once(&self.from(Kept::Nothing))?;
        let nothing = Contender {
            name: "smolvm",
            words: self.build(&[self.project()]),
            prepare: Box::new(|| Ok(())),
            image: None,
            runs: 20,
        };
        let mut contenders = vec![nothing];
        if self.peers.cli.is_ok() {
            contenders.push(self.peers.by_cli());
        }
        let seconds = self.bench.in_turn(&contenders)?;
        let beside = match self.peers.cli.clone() {
            Ok(()) => measured(&contenders, &seconds, CLI),
            Err(reason) => skipped(CLI, reason),
        };
        let work = "nothing changed";
        let ours = &seconds[0].clone()?;
        Ok(vec![line(work, ours, Beside::Nothing, Target::AtMost(0.01)), line(work, ours, beside, Target::Part(0.01))])
    }

    /// W1 is there; then something in its Smolfile, or beside it, becomes what it never was.
    fn changed(&self, work: &str, change: impl Fn(&mut Smolfile, &str) -> Result) -> Result<Vec<Line>> {
        let changed = |smolfile: &mut Smolfile| {
            self.counter.set(self.counter.get() + 1);
            change(smolfile, &format!("value{}", self.counter.get()))
        };
        let mut first = Smolfile::default();
        changed(&mut first)?;
        self.clear(Kept::Nothing)?;
        first.write(&self.project_folder())?;
        self.run(&self.build(&[self.project()]))?;
        let prepare = || {
            let mut smolfile = Smolfile::default();
            changed(&mut smolfile)?;
            smolfile.write(&self.project_folder())?;
            Ok(())
        };
        let words = self.build(&[self.project()]);
        let mut contenders =
            vec![Contender { name: "smolvm", words, prepare: Box::new(prepare), image: None, runs: 1 }];
        if self.peers.builder.is_ok() {
            contenders.push(self.peers.by_builder(self.bench, true));
        }
        let seconds = self.bench.in_turn(&contenders)?;
        let beside = match &self.peers.builder {
            Ok(_) => measured(&contenders, &seconds, BUILDER_AGAIN),
            Err(reason) => skipped(BUILDER_AGAIN, reason.clone()),
        };
        let ours = &seconds[0].clone()?;
        Ok(vec![line(work, ours, Beside::Nothing, Target::AtMost(0.5)), line(work, ours, beside, Target::Part(0.05))])
    }

    /// W1 cold, then W1 and a package more on what that left; the package is not downloaded yet.
    fn package_more(&self, work: &str, package: &'static str, absolute: Target, part: Target) -> Result<Vec<Line>> {
        let more = move || {
            Smolfile { package: Some(package), ..Smolfile::default() }.write(&self.project_folder())?;
            Ok(())
        };
        let words = self.build(&[self.project()]);
        let cold = Contender { name: "smolvm, W1 cold", ..self.from(Kept::Nothing) };
        let more = Contender { name: "smolvm", words, prepare: Box::new(more), image: None, runs: 1 };
        let contenders = [cold, more];
        let seconds = self.bench.in_turn(&contenders)?;
        let beside = measured(&contenders, &seconds, "smolvm, W1 cold");
        let ours = &seconds[1].clone()?;
        let mut lines = Vec::new();
        if matches!(absolute, Target::AtMost(_)) {
            lines.push(line(work, ours, Beside::Nothing, absolute));
        }
        lines.push(line(work, ours, beside, part));
        Ok(lines)
    }

    /// One Smolfile alone, then all of them: what each after the first takes is the difference, shared out.
    fn many(&self) -> Result<Vec<Line>> {
        self.once(&self.from(Kept::Nothing))?;
        let folder = |number: u32| self.bench.folder.join("many").join(format!("w1-{number}"));
        let files: Vec<PathBuf> = (0..MANY).map(|number| folder(number).join("Smolfile.yaml")).collect();
        let prepare = || {
            self.clear(Kept::Downloads)?;
            for number in 0..MANY {
                Smolfile { content: format!("of image {number}"), ..Smolfile::default() }.write(&folder(number))?;
            }
            Ok(())
        };
        let contender = |name, files: &[PathBuf]| Contender {
            name,
            words: self.build(files),
            prepare: Box::new(prepare),
            image: None,
            runs: 1,
        };
        let contenders =
            [contender("smolvm, one Smolfile", &files[..1]), contender("smolvm, twenty Smolfiles", &files)];
        let seconds = self.bench.in_turn(&contenders)?;
        let (one, all) = (seconds[0].clone()?, seconds[1].clone()?);
        let each = one.iter().zip(&all).map(|(one, all)| (all - one) / f64::from(MANY - 1));
        let each: Vec<f64> = each.collect();
        let beside = measured(&contenders, &seconds, "smolvm, one Smolfile");
        Ok(vec![
            line(
                "20 Smolfiles that share W1 and differ in one file, one command: each after the first",
                &each,
                Beside::Nothing,
                Target::AtMost(0.5),
            ),
            line("the same: all of them", &all, beside, Target::None),
        ])
    }

    fn memory(&self) -> Result<Vec<Line>> {
        let cold = self.bench.memory(&self.from(Kept::Nothing))?;
        let mut on_disk = self.from(Kept::Nothing);
        on_disk.words.extend(["--scratch-memory", "0"].map(str::to_owned));
        let on_disk = self.bench.memory(&on_disk)?;
        self.once(&self.from(Kept::Downloads))?;
        let prepare = || {
            self.counter.set(self.counter.get() + 1);
            let content = format!("value{}", self.counter.get());
            Smolfile { content, ..Smolfile::default() }.write(&self.project_folder())?;
            Ok(())
        };
        let words = self.build(&[self.project()]);
        let changed = Contender { name: "smolvm", words, prepare: Box::new(prepare), image: None, runs: 1 };
        let changed = self.bench.memory(&changed)?;
        let line = |work: &str, ours: Vec<f64>, most: f64| Line {
            work: work.to_owned(),
            unit: Unit::Megabytes,
            ours,
            beside: Beside::Nothing,
            target: Target::AtMost(most),
        };
        Ok(vec![
            line("peak memory, W1 cold", cold, 400.0),
            line("peak memory, W1 cold, with `--scratch-memory 0`", on_disk, 400.0),
            line("peak memory, one file changed", changed, 100.0),
        ])
    }

    /// Our build of W1, with no image, layer or lock there.
    fn from(&self, kept: Kept) -> Contender<'_> {
        let prepare = move || {
            self.clear(kept)?;
            Smolfile::default().write(&self.project_folder())?;
            Ok(())
        };
        let words = self.build(&[self.project()]);
        Contender { name: "smolvm", words, prepare: Box::new(prepare), image: None, runs: 1 }
    }

    /// The same with a kernel that is one file, as the other tools have none or are handed one.
    fn with_kernel<'a>(&'a self, kept: Kept, kernel: &'a Path) -> Contender<'a> {
        let prepare = move || {
            self.clear(kept)?;
            Smolfile { kernel: Some(kernel.to_owned()), ..Smolfile::default() }.write(&self.project_folder())?;
            Ok(())
        };
        Contender { name: "smolvm, kernel from a file", prepare: Box::new(prepare), ..self.from(kept) }
    }

    /// Builds W1 from nothing, and keeps the kernel of it in a place of the bench's.
    fn keep_kernel(&self) -> Result<PathBuf> {
        self.once(&self.from(Kept::Nothing))?;
        let images = self.bench.folder.join("store/images");
        let image = fs_err::read_dir(images)?.next().ok_or("the store has no image")??;
        let kernel = self.bench.folder.join("kernel");
        fs_err::copy(image.path().join("kernel"), &kernel)?;
        Ok(kernel)
    }

    /// Does a contender's work without measuring it.
    fn once(&self, contender: &Contender<'_>) -> Result {
        (contender.prepare)()?;
        self.run(&contender.words)
    }

    fn run(&self, words: &[String]) -> Result {
        let mut command = self.bench.command(&words[0]);
        command.args(&words[1..]);
        self.bench.quietly(command)
    }

    fn clear(&self, kept: Kept) -> Result {
        let all = ["store", "w1", "many", "cache"];
        let gone = match kept {
            Kept::Nothing => &all[..],
            Kept::Downloads => &all[..3],
        };
        gone.iter().try_for_each(|name| remove(&self.bench.folder.join(name)))
    }

    fn build(&self, files: &[PathBuf]) -> Vec<String> {
        let mut words = vec![self.smolvm.display().to_string(), "build".to_owned()];
        for file in files {
            words.extend(["-f".to_owned(), file.display().to_string()]);
        }
        words
    }

    fn project_folder(&self) -> PathBuf {
        self.bench.folder.join("w1")
    }

    fn project(&self) -> PathBuf {
        self.project_folder().join("Smolfile.yaml")
    }

    /// A public key that was never used.
    fn new_key(&self) -> Result<String> {
        let file = self.bench.folder.join("key");
        let public = file.with_extension("pub");
        remove(&file)?;
        remove(&public)?;
        let name = file.display().to_string();
        self.bench.quietly(program("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", &name]))?;
        Ok(fs_err::read_to_string(&public)?.trim().to_owned())
    }
}

fn line(work: &str, ours: &[f64], beside: Beside, target: Target) -> Line {
    Line { work: work.to_owned(), unit: Unit::Seconds, ours: ours.to_vec(), beside, target }
}

/// What a contender other than ours took, or why it was left out.
fn measured(contenders: &[Contender<'_>], outcomes: &[Outcome], name: &str) -> Beside {
    let found = contenders.iter().zip(outcomes).find(|(contender, _)| contender.name == name);
    found.map_or(Beside::Nothing, |(_, outcome)| match outcome {
        Ok(values) => Beside::Measured { name: name.to_owned(), values: values.clone() },
        Err(reason) => skipped(name, reason.clone()),
    })
}

fn skipped(name: &str, reason: String) -> Beside {
    Beside::Skipped { name: name.to_owned(), reason }
}
