//! Dependency fields: `a (>= 1) | b:any, c`.

use std::fmt;

use super::version::Condition;

/// One package that a field names, with what it says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Dependency<'a> {
    /// The package, real or virtual.
    pub name: &'a str,
    /// What stands after the colon: `any`, `native`, an architecture.
    pub qualifier: Option<&'a str>,
    /// Which versions.
    pub condition: Option<Condition<'a>>,
}

impl<'a> Dependency<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (name, condition) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(Condition::parse(rest.split(')').next()?)?)),
            // Restrictions in brackets belong to source packages; a binary package's field has none.
            None => (text.split(['[', '<']).next()?, None),
        };
        let name = name.trim();
        let (name, qualifier) = match name.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (name, None),
        };
        (!name.is_empty()).then_some(Self { name, qualifier, condition })
    }
}

impl fmt::Display for Dependency<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match self.condition {
            Some(condition) => write!(f, " ({condition})"),
            None => Ok(()),
        }
    }
}

/// The groups of a field in order, each a list of alternatives. What cannot be read is left out of its group.
pub fn groups(field: &str) -> impl Iterator<Item = Vec<Dependency<'_>>> {
    field
        .split(',')
        .filter(|group| !group.trim().is_empty())
        .map(|group| group.split('|').filter_map(Dependency::parse).collect())
}

/// The entries of a field without alternatives: `Conflicts`, `Breaks`, `Provides`.
pub fn entries(field: &str) -> impl Iterator<Item = Dependency<'_>> {
    field.split(',').filter_map(Dependency::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let read: Vec<String> =
            groups("libc6 (>= 2.36), python3:any (<< 3.12) |pypy3, , debconf (>=0.5) | debconf-2.0")
                .map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))
                .collect();
        assert_eq!(read, ["libc6 (>= 2.36)", "python3:any (<< 3.12) or pypy3", "debconf (>= 0.5) or debconf-2.0"]);
        let [provided] = entries("mail-transport-agent (= 1.0)").collect::<Vec<_>>()[..] else { panic!("one entry") };
        assert_eq!((provided.name, provided.condition.unwrap().version), ("mail-transport-agent", "1.0"));
    }
}
