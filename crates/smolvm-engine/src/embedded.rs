//! The embedded engine: installs packages by itself, in a sandbox, without Docker, apt, dpkg or root on the host.

mod cancel;
mod materialise;
mod packages;
mod step;

use smolvm_manifest::RunStep;
use smolvm_render::{Layer, Step};
use smolvm_rootfs::RootTree;
use smolvm_sandbox::{Network, SandboxOptions, Session};
use tokio::task::spawn_blocking;

use self::cancel::Cancellation;
use crate::edit::{Accounts, Editor};
use crate::finish::finish;
use crate::job::{Engine, Job};
use crate::{EngineError, Event, Stage};

/// Builds on Linux with nothing but user namespaces.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmbeddedEngine;

impl Engine for EmbeddedEngine {
    async fn build(&self, job: Job) -> Result<RootTree, EngineError> {
        smolvm_sandbox::check_host()?;
        let packages = job.events.stage_async(Stage::Fetch, packages::fetch_all(&job)).await?;
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
}

impl Assembly {
    fn new(job: Job, cancellation: Cancellation) -> Self {
        let editor = Editor::new(job.epoch(), &job.local_files());
        Self { job, cancellation, editor }
    }

    /// Every layer, in the canonical order.
    fn run(mut self, packages: packages::Arriving) -> Result<RootTree, EngineError> {
        let events = self.job.events.clone();
        let (mut session, installed) = events.stage(Stage::Install, || {
            let mut session = self.session(Network::None)?;
            packages::install(packages, &mut session, &self.job)?;
            let installed = session.harvest()?;
            Ok::<_, EngineError>((session, installed))
        })?;

        let mut tree = installed.clone();
        self.edit(&mut tree, &[Layer::Users, Layer::Files])?;

        if self.job.recipe.steps.iter().any(|step| matches!(step, Step::Run(_))) {
            (session, tree) = events.stage(Stage::Run, || {
                session.place(&materialise::changes(&installed, &tree, self.job.scratch())?)?;
                let mut session = self.run_steps(session)?;
                let tree = session.harvest()?;
                Ok::<_, EngineError>((session, tree))
            })?;
        }
        session.close();

        finish(tree, &mut self.editor, &self.job)
    }

    fn edit(&mut self, tree: &mut RootTree, layers: &[Layer]) -> Result<(), EngineError> {
        for step in self.job.recipe.steps.iter().filter(|step| layers.contains(&step.layer())) {
            self.editor.apply(tree, step)?;
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
        let mut network = Network::None;
        for (index, step) in steps.iter().enumerate() {
            self.job.events.send(Event::StageProgress {
                stage: Stage::Run,
                done: index as u64,
                total: steps.len() as u64,
                item: step.command.clone(),
            });
            let wanted = if step.network { Network::Host } else { Network::None };
            if wanted != network {
                session.close();
                session = self.session(wanted)?;
                network = wanted;
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

    fn session(&self, network: Network) -> Result<Session, EngineError> {
        let session = smolvm_sandbox::start(&SandboxOptions {
            scratch: self.job.scratch().to_owned(),
            network,
            hostname: self.job.locked.manifest.hostname.clone(),
        })?;
        self.cancellation.watch(session.canceller());
        Ok(session)
    }
}

/// The account files as they are in the sandbox.
fn accounts(session: &mut Session) -> Result<Accounts, EngineError> {
    Ok(Accounts::read_by(|path| session.read(path).map(Option::unwrap_or_default))?)
}
