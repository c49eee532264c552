//! What a module says about itself, in the ELF section `.modinfo`.

use object::{Object, ObjectSection};

/// The parts that loading and finding it depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ModuleInfo {
    /// Modules that must be loaded before it.
    pub(super) depends: Vec<String>,
    /// As written: `pre: crypto-crc32c post: x`.
    pub(super) softdeps: Vec<String>,
    /// Names under which the kernel asks for it.
    pub(super) aliases: Vec<String>,
}

impl ModuleInfo {
    /// Reads the uncompressed bytes of a `.ko`.
    pub(super) fn parse(module: &[u8]) -> Result<Self, String> {
        let elf = object::File::parse(module).map_err(|error| format!("it is no ELF file: {error}"))?;
        let section = elf.section_by_name(".modinfo").ok_or("it has no section `.modinfo`")?;
        let data = section.data().map_err(|error| error.to_string())?;
        let mut info = Self::default();
        for (key, value) in pairs(data) {
            match key.as_str() {
                "depends" => info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned)),
                "softdep" => info.softdeps.push(value),
                "alias" => info.aliases.push(value),
                _ => {}
            }
        }
        Ok(info)
    }

    /// Names, of modules or aliases, that had better be loaded before it.
    pub(super) fn soft_pre(&self) -> impl Iterator<Item = &str> {
        self.softdeps.iter().flat_map(|softdep| {
            softdep.split_whitespace().skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:")
        })
    }
}

/// Module and alias, of each alias in a `modules.builtin.modinfo`.
pub(super) fn builtin_aliases(modinfo: &[u8]) -> impl Iterator<Item = (String, String)> + '_ {
    pairs(modinfo).filter_map(|(key, value)| Some((key.strip_suffix(".alias")?.to_owned(), value)))
}

/// `key=value`, each ended by NUL.
fn pairs(data: &[u8]) -> impl Iterator<Item = (String, String)> + '_ {
    data.split(|byte| *byte == 0).filter_map(|pair| {
        let pair = String::from_utf8_lossy(pair);
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_dependencies_before_and_after() {
        let check = |softdeps: &[&str], expected: &[&str]| {
            let info = ModuleInfo {
                softdeps: softdeps.iter().map(|text| (*text).to_owned()).collect(),
                ..ModuleInfo::default()
            };
            assert_eq!(info.soft_pre().collect::<Vec<_>>(), expected, "{softdeps:?}");
        };
        check(&["pre: crc32c post: x y"], &["crc32c"]);
        check(&["post: x pre: a b"], &["a", "b"]);
        check(&["post: x", "pre: a", "pre: b"], &["a", "b"]);
        check(&[], &[]);
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(ModuleInfo::parse(b"").is_err());
        assert!(ModuleInfo::parse(b"\x7fELF and then nothing").is_err());
    }
}
