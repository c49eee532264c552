//! The embedded engine: installs packages by itself, in a sandbox, without Docker, apt, dpkg or root on the host.

mod cancel;
mod materialise;
mod packages;
mod step;

use std::path::Path;
use std::thread;
use std::time::SystemTime;

use smolvm_manifest::{Layer, RunStep};
use smolvm_render::Step;
use smolvm_rootfs::{Content, Inode, Kind, RootTree};
use smolvm_sandbox::{Network, SandboxOptions, Session};
use tokio::task::spawn_blocking;

use self::cancel::Cancellation;
use self::materialise::Materials;
use self::packages::Arriving;
use crate::edit::{Accounts, Editor};
use crate::finish::finish;
use crate::job::{Built, Engine, Job};
use crate::layers::Cached;
use crate::{EngineError, Event, Stage};

/// Builds on Linux with nothing but user namespaces.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmbeddedEngine;

/// What maintainer scripts are told that the machine is called: the same for every image, so that they can share layers.
const INSTALLING_HOST: &str = "localhost";

impl Engine for EmbeddedEngine {
    async fn build(&self, job: Job) -> Result<Built, EngineError> {
        let has_steps = job.recipe.steps.iter().any(|step| matches!(step, Step::Run(_)));
        if !job.layers.has(Layer::Packages) || (has_steps && !job.layers.has(Layer::Run)) {
            smolvm_sandbox::check_host()?;
        }
        let packages = if job.layers.has(Layer::Packages) {
            None
        } else {
            Some(job.events.stage_async(Stage::Fetch, Box::pin(packages::fetch_all(&job))).await?)
        };
        let cancellation = Cancellation::default();
        // Dropping this future (Ctrl-C) ends what runs in the sandbox; the thread below then comes to its end by itself.
        let _cancel_when_dropped = cancellation.clone().on_drop();
        spawn_blocking(move || Assembly::new(job, cancellation).run(packages)).await?
    }
}

/// One image on its way from packages to a tree.
struct Assembly {
    job: Job,
    cancellation: Cancellation,
    editor: Editor,
    materials: Materials,
    made: Vec<Cached>,
}

impl Assembly {
    fn new(job: Job, cancellation: Cancellation) -> Self {
        let editor = Editor::new(job.epoch(), &job.local_files());
        let materials = Materials::new(&job.scratch);
        Self { job, cancellation, editor, materials, made: Vec::new() }
    }

    /// Every layer, in the canonical order; those that are in the cache are taken from there.
    fn run(mut self, packages: Option<Arriving>) -> Result<Built, EngineError> {
        let tree = match self.job.layers.get(Layer::Run).cloned() {
            Some(run) => {
                self.keep_placed(run.tree())?;
                run.tree().clone()
            }
            None => self.up_to_run(packages)?,
        };
        let tree = finish(tree, &mut self.editor, &self.job)?;
        Ok(Built { tree, made: self.made })
    }

    fn up_to_run(&mut self, packages: Option<Arriving>) -> Result<RootTree, EngineError> {
        let events = self.job.events.clone();
        let (session, installed) = match packages {
            Some(packages) => {
                let (session, installed) = events.stage(Stage::Install, || self.install(packages))?;
                (Some(session), installed)
            }
            None => (None, self.job.layers.get(Layer::Packages).cloned().ok_or_else(no_layer)?),
        };
        let mut tree = installed.tree().clone();
        self.edit(&mut tree, &[Layer::Users, Layer::Files])?;
        if !self.job.recipe.steps.iter().any(|step| matches!(step, Step::Run(_))) {
            return Ok(tree);
        }
        events.stage(Stage::Run, || {
            let mut session = if let Some(session) = session {
                session
            } else {
                let mut session = self.session(Network::None, &self.job.locked.manifest.hostname)?;
                session.place(&self.materials.whole(installed.tree())?)?;
                session
            };
            session.place(&self.materials.changes(installed.tree(), &tree)?)?;
            let mut session = self.run_steps(session)?;
            let run = self.job.layers.keep(Layer::Run, &session.harvest()?, Some(&installed))?;
            session.close();
            let tree = run.tree().clone();
            self.made.push(run);
            Ok(tree)
        })
    }

    /// The base, or all but a few packages, out of the cache or out of packages, and on it the user's packages.
    fn install(&mut self, mut packages: Arriving) -> Result<(Session, Cached), EngineError> {
        let mut session = self.session(Network::None, INSTALLING_HOST)?;
        let job = &self.job;
        let below = if let Some(cached) = packages.onto.clone() {
            session.place(&self.materials.whole(cached.tree())?)?;
            packages.install(Layer::Packages, &mut session, job)?;
            Some(cached)
        } else {
            packages.install(Layer::Base, &mut session, &self.job)?;
            let since = now_of_files(job.scratch())?;
            let mut base = session.harvest()?;
            settle(&mut base, since)?;
            // Copying it takes a while, in which the next packages are installed.
            thread::scope(|scope| {
                let keeping = scope.spawn(|| job.layers.keep_unless_changed(Layer::Base, &base, None, Some(since)));
                packages.install(Layer::Packages, &mut session, job)?;
                keeping.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })?
        };
        self.made.extend(below.clone());
        let installed = self.job.layers.keep(Layer::Packages, &session.harvest()?, below.as_ref())?;
        self.made.push(installed.clone());
        Ok((session, installed))
    }

    fn edit(&mut self, tree: &mut RootTree, layers: &[Layer]) -> Result<(), EngineError> {
        for step in self.job.recipe.steps.iter().filter(|step| layers.contains(&step.layer())) {
            self.editor.apply(tree, step)?;
        }
        Ok(())
    }

    /// What the Smolfile has placed in a tree that came out of the cache.
    fn keep_placed(&mut self, tree: &RootTree) -> Result<(), EngineError> {
        for step in &self.job.recipe.steps {
            if let Step::PlaceFile(file) = step {
                self.editor.keep(tree, file)?;
            }
        }
        Ok(())
    }

    fn run_steps(&self, mut session: Session) -> Result<Session, EngineError> {
        let steps: Vec<&RunStep> = self
            .job
            .recipe
            .steps
            .iter()
            .filter_map(|step| if let Step::Run(step) = step { Some(step) } else { None })
            .collect();
        // The one before was told another host name.
        let mut network = None;
        for (index, step) in steps.iter().enumerate() {
            self.job.events.send(Event::StageProgress {
                stage: Stage::Run,
                done: index as u64,
                total: steps.len() as u64,
                item: step.command.clone(),
            });
            let wanted = if step.network { Network::Host } else { Network::None };
            if network != Some(wanted) {
                session.close();
                session = self.session(wanted, &self.job.locked.manifest.hostname)?;
                network = Some(wanted);
            }
            // The steps before may have made users.
            let login = accounts(&mut session)?.login(&step.user, &format!("run[{index}]"))?;
            step::run(&mut session, index, step, &login, &self.job.surroundings, &self.job.events)?;
            if !accounts(&mut session)?.has_root() {
                return Err(EngineError::StepRemovedRoot { index, command: step.command.clone() });
            }
        }
        Ok(session)
    }

    fn session(&self, network: Network, hostname: &str) -> Result<Session, EngineError> {
        let session = smolvm_sandbox::start(&SandboxOptions {
            scratch: self.job.scratch().to_owned(),
            memory: self.job.scratch.memory().cloned(),
            network,
            hostname: hostname.to_owned(),
        })?;
        self.cancellation.watch(session.canceller());
        Ok(session)
    }
}

/// The time that files of a folder get which are changed now: by the clock of their file system, which may be behind.
fn now_of_files(folder: &Path) -> Result<SystemTime, EngineError> {
    let path = folder.join("content/.now");
    fs_err::write(&path, "")?;
    let changed = Content::File { path, size: 0 }.changed()?;
    Ok(changed.unwrap_or(SystemTime::UNIX_EPOCH))
}

/// What was changed shortly before a harvest, or lies where packages and scripts write into files that are there, is read at once. All
/// else is large, and replaced if at all.
fn settle(tree: &mut RootTree, since: SystemTime) -> Result<(), EngineError> {
    const REPLACED: &str = "usr/";
    let paths: Vec<String> = tree.iter().map(|(path, _, _)| path.to_owned()).collect();
    for path in paths {
        let Some(Inode { kind: Kind::File(content), .. }) = tree.get_mut(&path) else { continue };
        if !path.starts_with(REPLACED) || content.changed()?.is_some_and(|changed| changed >= since) {
            *content = Content::bytes(content.read()?);
        }
    }
    Ok(())
}

/// A layer that is said to be in the cache and is not.
fn no_layer() -> EngineError {
    std::io::Error::other("a layer of the cache is gone").into()
}

/// The account files as they are in the sandbox.
fn accounts(session: &mut Session) -> Result<Accounts, EngineError> {
    Ok(Accounts::read_by(|path| session.read(path).map(Option::unwrap_or_default))?)
}
