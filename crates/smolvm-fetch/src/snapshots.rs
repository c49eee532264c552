//! Archives that keep what mirrors drop: where a locked package is sought when no mirror has it any more.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use smolvm_manifest::Lock;
use time::OffsetDateTime;

use crate::address::{Address, AddressError, hide_credentials};
use crate::mirrors::{Mirror, MirrorOrigin};

/// What stands for the point in time.
const PLACEHOLDER: &str = "{timestamp}";

const DAY: i64 = 24 * 60 * 60;

/// Where an archive is as it was at a point in time: an address with `{timestamp}` in it, which becomes
/// `20260711T101637Z`. Without it, the address of one that never drops anything.
#[derive(Clone, PartialEq, Eq)]
pub struct SnapshotAddress {
    template: String,
}

/// What a person says about the snapshots of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotChoice {
    /// They are here.
    At(SnapshotAddress),
    /// `off`: they are not to be asked.
    Off,
}

impl SnapshotAddress {
    /// As it was at this time, seconds since 1970.
    fn at(&self, seconds: i64) -> Option<Mirror> {
        let url = self.template.replace(PLACEHOLDER, &timestamp(seconds));
        // It could be read when the template was made, and digits change nothing about that.
        Mirror::new(&url, MirrorOrigin::Snapshot).ok()
    }

    /// The places where a package may be that an index of this date names, the likeliest first.
    ///
    /// A snapshot answers with the state at or before the time that is asked for, and an index is dated when it is made, a
    /// while before the snapshot with what it brought: that one is found a day later, when what it replaced is still there.
    fn places(&self, date: i64) -> Vec<Mirror> {
        let times: &[i64] =
            if self.template.contains(PLACEHOLDER) { &[date, date.saturating_add(DAY)] } else { &[date] };
        times.iter().filter_map(|time| self.at(*time)).collect()
    }
}

impl FromStr for SnapshotAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let template = text.trim().to_owned();
        let sample: Address = template.replace(PLACEHOLDER, &timestamp(0)).parse()?;
        if !sample.is_folder() {
            return Err(AddressError::NotAFolder { shown: sample.to_string() });
        }
        Ok(Self { template })
    }
}

impl FromStr for SnapshotChoice {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "off" { Ok(Self::Off) } else { text.parse().map(Self::At) }
    }
}

impl fmt::Debug for SnapshotAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotAddress({})", hide_credentials(&self.template))
    }
}

/// The environment variable that names the snapshots of an archive: `SMOLVM_SNAPSHOT_DEBIAN_SECURITY`. An address, or `off`.
pub fn snapshot_variable(archive: &str) -> String {
    let name = archive.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("SMOLVM_SNAPSHOT_{name}")
}

/// For each archive, where its packages are when its mirrors dropped them, as of the date of the index that the lock was
/// made from.
pub(crate) fn places(snapshots: &BTreeMap<String, SnapshotAddress>, lock: &Lock) -> Vec<(String, Mirror)> {
    let mut places = Vec::new();
    for (archive, snapshot) in snapshots {
        let dates = lock.indexes.iter().filter(|index| &index.archive == archive).map(|index| index.date);
        let date = dates.max().unwrap_or(lock.epoch);
        places.extend(snapshot.places(date).into_iter().map(|mirror| (archive.clone(), mirror)));
    }
    places
}

/// `20260711T101637Z`. A time that no calendar has becomes the first one.
fn timestamp(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_dates_of_the_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_825_600, "20000229T120000Z"),
            (1_783_764_997, "20260711T101637Z"),
            (1_830_297_599, "20271231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }

    #[test]
    fn a_snapshot_is_asked_at_the_locks_time_and_a_day_after() {
        let address: SnapshotAddress = " https://s.example.org/archive/debian/{timestamp}/ ".parse().unwrap();
        let shown: Vec<_> = address.places(1_783_764_997).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "https://s.example.org/archive/debian/20260711T101637Z",
                "https://s.example.org/archive/debian/20260712T101637Z"
            ]
        );
        let everything: SnapshotAddress = "https://s.example.org/keeps-all".parse().unwrap();
        assert_eq!(everything.places(0).len(), 1);
        // Whatever a lock says.
        assert_eq!(address.places(i64::MAX).len(), 2);
    }

    #[test]
    fn an_address_that_cannot_be_one_is_refused_without_its_password() {
        for text in ["ftp://me:canary@s/{timestamp}", "http://me:canary@s/x?at={timestamp}", "me:canary"] {
            let error = text.parse::<SnapshotChoice>().unwrap_err();
            assert!(text == "me:canary" || !format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
        assert_eq!("off".parse(), Ok(SnapshotChoice::Off));
        let address: SnapshotAddress = "http://me:canary@s/{timestamp}".parse().unwrap();
        assert!(!format!("{address:?}{:?}", address.places(0)).contains("canary"));
    }
}
