//! The daemon's own build: the context sent, its progress told, its failures explained.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::moby::buildkit::v1::StatusResponse;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion};
use futures_util::StreamExt as _;
use smolvm_render::{PlannedFile, Step};

use super::daemon::{Builder, Daemon};
use super::error::{chain, is_no_space};
use super::leftovers::Made;
use super::{DockerError, context, session};
use crate::job::Job;
use crate::output::Output;
use crate::{Event, Stage};

/// How long a build may say nothing. Compilers are quiet for minutes, not for longer.
const IDLE: Duration = Duration::from_mins(20);

impl Daemon {
    /// Builds the context, and returns the image's id.
    pub(super) async fn build(
        &self,
        job: &Job,
        files: Vec<PlannedFile>,
        log: &Path,
        made: &mut Made,
    ) -> Result<String, DockerError> {
        let session_id = session::new_id();
        let secrets: BTreeMap<_, _> = job.surroundings.secrets.clone();
        // Held as long as the build goes on.
        let _session = match self.builder {
            Builder::BuildKit => Some(session::open(self, &session_id, &secrets).await?),
            Builder::Classic => None,
        };
        let proxies: HashMap<String, String> = job.surroundings.proxies.iter().cloned().collect();
        let mut options = BuildImageOptionsBuilder::default()
            .dockerfile("Dockerfile")
            .labels(&made.labels())
            .buildargs(&proxies)
            // As in the embedded engine, whatever has a network has the host's: mirrors and proxies may listen on loopback.
            .networkmode("host")
            .platform(&format!("linux/{}", job.locked.manifest.arch))
            .rm(true)
            .forcerm(true);
        options = match self.builder {
            Builder::BuildKit => options.version(BuilderVersion::BuilderBuildKit).session(&session_id),
            Builder::Classic => options.version(BuilderVersion::BuilderV1),
        };
        let context = bollard::body_try_stream(context::stream(files, job.epoch()));
        made.begin_image();
        let mut said = self.docker.build_image(options.build(), None, Some(context));
        let secrets = secrets.values().map(|secret| secret.expose().to_vec()).chain(hashes(job)).collect();
        let mut progress = Progress::new(job, log, secrets)?;
        loop {
            let Ok(next) = tokio::time::timeout(IDLE, said.next()).await else {
                let minutes = IDLE.as_secs() / 60;
                return Err(DockerError::Idle { minutes, step: progress.step(), log: progress.log });
            };
            match next {
                None => break,
                Some(Ok(info)) => progress.take(info),
                Some(Err(error)) => {
                    made.end_image(None);
                    return Err(progress.failed(&error));
                }
            }
        }
        let image = progress.image.take();
        made.end_image(image.as_deref());
        image.ok_or_else(|| {
            let message = "the daemon ended the build without an image".to_owned();
            DockerError::Daemon { doing: "building the image".to_owned(), message }
        })
    }
}

/// What a build has said so far.
struct Progress<'a> {
    job: &'a Job,
    log: PathBuf,
    file: fs_err::File,
    secrets: Vec<Vec<u8>>,
    /// Steps by BuildKit's digest of them: name, and its output.
    steps: HashMap<String, (String, Output<'a>)>,
    /// The step that began last.
    current: Option<String>,
    /// The first step that failed of itself, and not because another one did.
    broken: Option<String>,
    /// The classic builder's one stream.
    classic: Output<'a>,
    classic_step: String,
    image: Option<String>,
}

impl<'a> Progress<'a> {
    fn new(job: &'a Job, log: &Path, secrets: Vec<Vec<u8>>) -> Result<Self, DockerError> {
        let file = log
            .parent()
            .map_or(Ok(()), fs_err::create_dir_all)
            .and_then(|()| fs_err::File::create(log))
            .map_err(|error| DockerError::Io { doing: "writing the build's log".to_owned(), error })?;
        let classic = Output::new("docker", secrets.clone(), &job.events).logged(file.try_clone().ok());
        Ok(Self {
            job,
            log: log.to_owned(),
            file,
            secrets,
            steps: HashMap::new(),
            current: None,
            broken: None,
            classic,
            classic_step: "sending the build context".to_owned(),
            image: None,
        })
    }

    /// A text of the daemon's, which may repeat a step with all that is in it.
    fn blotted(&self, text: &str) -> String {
        crate::output::blotted(text, &self.secrets)
    }

    fn take(&mut self, info: BuildInfo) {
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => self.buildkit(status),
            Some(BuildInfoAux::Default(id)) => self.image = id.id.or(self.image.take()),
            None => {}
        }
        if let Some(text) = info.stream {
            self.classic_text(&text);
        }
    }

    fn buildkit(&mut self, status: StatusResponse) {
        for vertex in status.vertexes {
            if self.broken.is_none() && !vertex.error.is_empty() && !vertex.error.contains("context canceled") {
                self.broken = Some(vertex.digest.clone());
            }
            if vertex.started.is_none() || self.steps.contains_key(&vertex.digest) {
                continue;
            }
            let name = self.blotted(&vertex.name);
            self.note(&name);
            let output = self.output();
            self.steps.insert(vertex.digest.clone(), (name, output));
            self.current = Some(vertex.digest);
        }
        for log in status.logs {
            if let Some((_, output)) = self.steps.get_mut(&log.vertex) {
                output.feed(&log.msg);
            }
        }
    }

    fn classic_text(&mut self, text: &str) {
        if let Some((numbers, step)) = text.strip_prefix("Step ").and_then(|step| step.split_once(" : ")) {
            self.classic_step = self.blotted(&format!("[{numbers}] {}", step.trim()));
            self.classic = self.output();
            self.note(&self.classic_step.clone());
        } else if !is_talk(text) {
            // Its colours of what went to standard error.
            let text = text.replace("\u{1b}[91m", "").replace("\u{1b}[0m", "");
            self.classic.feed(text.as_bytes());
        }
    }

    /// What a step prints: told, logged, and its end kept.
    fn output(&self) -> Output<'a> {
        Output::new("docker", self.secrets.clone(), &self.job.events).logged(self.file.try_clone().ok())
    }

    /// A step begins: `[2/9] RUN …`, `[internal] load build context`.
    fn note(&mut self, name: &str) {
        let _ = writeln!(self.file, "== {name}");
        let numbers = name.strip_prefix('[').and_then(|rest| rest.split_once(']')).and_then(|(numbers, _)| {
            let (done, total) = numbers.rsplit(' ').next()?.split_once('/')?;
            Some((done.parse::<u64>().ok()?, total.parse::<u64>().ok()?))
        });
        if let Some((number, total)) = numbers {
            let done = number.saturating_sub(1);
            self.job.events.send(Event::StageProgress { stage: Stage::Docker, done, total, item: name.to_owned() });
        }
    }

    /// The step that is, or was, being done.
    fn step(&self) -> String {
        match self.broken.as_ref().or(self.current.as_ref()).and_then(|digest| self.steps.get(digest)) {
            Some((name, _)) => name.clone(),
            None => self.classic_step.clone(),
        }
    }

    fn failed(mut self, error: &bollard::errors::Error) -> DockerError {
        let message = self.blotted(&chain(error));
        let step = self.step();
        let digest = self.broken.take().or(self.current.take());
        let output = match digest.and_then(|digest| self.steps.remove(&digest)) {
            Some((_, output)) => output.finish(),
            None => self.classic.finish(),
        };
        let no_space = is_no_space(&message) || is_no_space(&output);
        let log = self.log;
        let error = DockerError::StepFailed { step, message, output, log: log.clone() };
        if no_space {
            let message = error.to_string();
            return DockerError::NoSpace { message, root: None, free: None, usage: None, log: Some(log) };
        }
        error
    }
}

/// The hashes of passwords, which stand in the steps that set them: nobody needs to see them on a screen.
fn hashes(job: &Job) -> impl Iterator<Item = Vec<u8>> + '_ {
    let hash = |step: &Step| match step {
        Step::SetPassword { hash, .. } => hash.clone(),
        Step::CreateUser(user) => user.password_hash.clone(),
        _ => None,
    };
    job.recipe.steps.iter().filter_map(hash).map(|hash| hash.as_bytes().to_vec())
}

/// What the classic builder says of itself between the lines of a step: ` ---> Running in 33b4edd02bfe`.
fn is_talk(text: &str) -> bool {
    text == "\n" || text.starts_with(" ---> ") || text.starts_with("Removing intermediate container ")
}
