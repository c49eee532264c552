//! `run`, `secrets` and `services`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Meaning, Seen, accounts, below, names};
use crate::finding::Finding;
use crate::manifest::{Restart, RunStep, Service, User};
use crate::secret::SecretSource;
use crate::suggest;
use crate::written::{self, List, OwnEnv, RunMap, Secrets, TextOr};

impl Meaning<'_> {
    pub(super) fn secrets(&mut self, written: Secrets) -> BTreeMap<String, SecretSource> {
        let mut secrets = BTreeMap::new();
        for (name, from) in written.0 {
            let source = match (from.from_env, from.from_file) {
                (Some(variable), _) => SecretSource::Environment(variable.0),
                (None, Some(path)) => match names::expand_home(&path.0, self.surroundings.home()) {
                    Ok(path) => SecretSource::File(path),
                    Err(reason) => {
                        let pointer = below(&below("/secrets", &name), "from_file");
                        self.add(
                            Finding::at("path", pointer, format!("`{}`: {reason}", path.0))
                                .help("write the whole path, or one relative to the Smolfile"),
                        );
                        SecretSource::File(PathBuf::from(path.0))
                    }
                },
                (None, None) => continue,
            };
            secrets.insert(name, source);
        }
        secrets
    }

    pub(super) fn run(
        &mut self,
        written: List<written::RunStep>,
        users: &[User],
        secrets: &BTreeMap<String, SecretSource>,
    ) -> Vec<RunStep> {
        let mut read_by_a_step = BTreeSet::new();
        let mut steps = Vec::new();
        for (index, step) in written.entries() {
            let pointer = format!("/run/{index}");
            let map = match step {
                TextOr::Text(command) => RunMap {
                    command,
                    workdir: None,
                    user: None,
                    env: OwnEnv::default(),
                    network: None,
                    secrets: List::default(),
                },
                TextOr::Map(map) => map,
            };
            let user = map.user.map_or_else(|| "root".to_owned(), |user| user.0);
            self.known_user(&below(&pointer, "user"), &user, users);
            let mut wanted: Vec<String> = Vec::new();
            for (nth, secret) in map.secrets.entries() {
                let secret = secret.0;
                self.known_secret(&format!("{pointer}/secrets/{nth}"), &secret, secrets);
                read_by_a_step.insert(secret.clone());
                if !wanted.contains(&secret) {
                    wanted.push(secret);
                }
            }
            steps.push(RunStep {
                command: map.command.0,
                workdir: map.workdir.map_or_else(|| "/".to_owned(), |folder| folder.0),
                user,
                env: self.env(&below(&pointer, "env"), map.env.0),
                network: map.network.unwrap_or(true),
                secrets: wanted,
            });
        }
        for name in secrets.keys().filter(|name| self.whole && !read_by_a_step.contains(*name)) {
            self.findings.push(
                Finding::at_key("unused", below("/secrets", name), format!("no run step reads the secret `{name}`"))
                    .label("nobody asks for it")
                    .help(format!("name it in the step that needs it: `secrets: [{name}]`, or remove it"))
                    .warning(),
            );
        }
        steps
    }

    pub(super) fn services(&mut self, written: List<written::Service>, users: &[User]) -> Vec<Service> {
        let mut seen = Seen::new();
        let mut services = Vec::new();
        for (index, service) in written.entries() {
            let pointer = format!("/services/{index}");
            let name = service.name.0;
            let at_name = below(&pointer, "name");
            if let Some(earlier) = seen.again(name.clone(), &at_name) {
                self.add(
                    Finding::at("clash", &at_name, format!("two services have the name `{name}`"))
                        .also(earlier, "the first")
                        .label("the second")
                        .help("give one of them another name"),
                );
            }
            let user = service.user.map_or_else(|| "root".to_owned(), |user| user.0);
            self.known_user(&below(&pointer, "user"), &user, users);
            services.push(Service {
                name,
                command: service.command.0.entries().map(|(_, word)| word).collect(),
                user,
                workdir: service.workdir.map_or_else(|| "/".to_owned(), |folder| folder.0),
                env: self.env(&below(&pointer, "env"), service.env.0),
                restart: match service.restart.as_ref().map(|word| word.0.as_str()) {
                    Some("never") => Restart::Never,
                    Some("always") => Restart::Always,
                    _ => Restart::OnFailure,
                },
                // The one word that the schema lets through.
                after_network: service.after.entries().next().is_some(),
            });
        }
        services
    }

    fn known_user(&mut self, pointer: &str, name: &str, users: &[User]) {
        if !self.whole || accounts::may_exist(name) || users.iter().any(|user| user.name == name) {
            return;
        }
        let label = suggest::nearest(name, users.iter().map(|user| user.name.as_str()))
            .map_or_else(|| "nobody of that name".to_owned(), |likely| format!("did you mean `{likely}`?"));
        self.add(
            Finding::at("undeclared", pointer, format!("there is no user `{name}`"))
                .label(label)
                .help(format!("declare it: `users: [{{name: {name}}}]`, or use root")),
        );
    }

    fn known_secret(&mut self, pointer: &str, name: &str, secrets: &BTreeMap<String, SecretSource>) {
        if !self.whole || secrets.contains_key(name) {
            return;
        }
        let label = suggest::nearest(name, secrets.keys().map(String::as_str))
            .map_or_else(|| "not declared".to_owned(), |likely| format!("did you mean `{likely}`?"));
        self.add(
            Finding::at("undeclared", pointer, format!("there is no secret `{name}`"))
                .label(label)
                .help(format!("declare it at the top level: `secrets: {{{name}: {{from_env: {name}}}}}`")),
        );
    }
}
