//! Modules with all that they need, in the order in which they can be loaded.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;

use super::modinfo::ModuleInfo;
use super::{Kernel, KernelError, Place, normal_name, wanted};

/// A set of modules that is closed under what they need.
#[derive(Debug)]
pub(super) struct Closure {
    infos: BTreeMap<String, ModuleInfo>,
    order: Vec<String>,
}

impl Closure {
    /// `wanted` are names of modules that the kernel has.
    pub(super) fn new(kernel: &Kernel, wanted: &[String]) -> Result<Self, KernelError> {
        let mut infos = BTreeMap::new();
        let mut frontier: Vec<String> = wanted.iter().map(|name| normal_name(name)).collect();
        while !frontier.is_empty() {
            frontier.sort();
            frontier.dedup();
            // Reading means decompressing for most kernels, so that each round is shared by all cores.
            let read: Vec<(String, ModuleInfo)> = frontier
                .par_drain(..)
                .map(|name| kernel.module_info(&name).map(|info| (name, info)))
                .collect::<Result<_, _>>()?;
            let mut next = Vec::new();
            for (name, info) in &read {
                next.extend(kernel.needs(name, info)?);
            }
            infos.extend(read);
            frontier = next.into_iter().filter(|name| !infos.contains_key(name)).collect();
        }
        let mut closure = Self { infos, order: Vec::new() };
        let mut visited = HashSet::new();
        for name in wanted {
            closure.visit(kernel, &normal_name(name), &mut visited)?;
        }
        Ok(closure)
    }

    /// Every module after those that it needs.
    pub(super) fn order(&self) -> &[String] {
        &self.order
    }

    pub(super) fn info(&self, name: &str) -> &ModuleInfo {
        &self.infos[name]
    }

    /// What must be loaded before a module, in loading order. Soft dependencies are not among them.
    pub(super) fn hard_dependencies(&self, kernel: &Kernel, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_hard(kernel, name, &mut found);
        found
    }

    fn collect_hard(&self, kernel: &Kernel, name: &str, found: &mut Vec<String>) {
        for dependency in &self.infos[name].depends {
            let dependency = normal_name(dependency);
            if kernel.has(&dependency) == Some(Place::Module) && !found.contains(&dependency) {
                self.collect_hard(kernel, &dependency, found);
                found.push(dependency);
            }
        }
    }

    fn visit(&mut self, kernel: &Kernel, name: &str, visited: &mut HashSet<String>) -> Result<(), KernelError> {
        // Soft dependencies may go round in a circle: whoever comes first is loaded last.
        if !visited.insert(name.to_owned()) {
            return Ok(());
        }
        for needed in kernel.needs(name, &self.infos[name])? {
            self.visit(kernel, &needed, visited)?;
        }
        self.order.push(name.to_owned());
        Ok(())
    }
}

impl Kernel {
    /// The modules that one needs, built-in ones left out. A soft dependency that does not exist is none.
    fn needs(&self, name: &str, info: &ModuleInfo) -> Result<Vec<String>, KernelError> {
        let mut needed: Vec<String> = info.soft_pre().flat_map(|soft| self.providers(soft)).collect();
        for dependency in &info.depends {
            match self.has(dependency) {
                Some(Place::Module) => needed.push(normal_name(dependency)),
                Some(Place::Builtin) => {}
                None => {
                    return Err(KernelError::DependencyMissing {
                        release: self.release.clone(),
                        module: name.to_owned(),
                        needs: dependency.clone(),
                    });
                }
            }
        }
        Ok(needed)
    }

    /// The modules that stand for a name which may be an alias.
    fn providers(&self, name: &str) -> Vec<String> {
        let name = normal_name(name);
        match self.has(&name) {
            Some(Place::Module) => vec![name],
            Some(Place::Builtin) => Vec::new(),
            None if self.builtin.aliases.contains_key(&name) => Vec::new(),
            None => wanted::ALIASES
                .iter()
                .filter(|(alias, module)| *alias == name && self.has(module) == Some(Place::Module))
                .map(|(_, module)| normal_name(module))
                .collect(),
        }
    }
}
