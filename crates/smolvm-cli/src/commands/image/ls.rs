//! `smolvm image ls`.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use smolvm_store::{ListedImage, Store};

use crate::answer::Answer;
use crate::commands::{self, Output, bytes};
use crate::failure::Failure;

/// List the images in the store
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: commands::Store,

    #[command(flatten)]
    pub(super) output: Output,
}

impl Arguments {
    pub(super) fn execute(&self) -> Result<Answer, Failure> {
        let images = Store::open_existing(self.store.folder())?.list()?;
        let data = json!({"images": images.iter().map(for_machines).collect::<Vec<_>>()});
        if images.is_empty() {
            return Ok(Answer::done("there are no images; `smolvm build` makes one\n", &data));
        }
        let mut rows = vec![["NAME", "KEY", "BASE", "ARCH", "SIZE", "ON DISK", "BUILT"].map(str::to_owned)];
        rows.extend(images.iter().map(for_people));
        Ok(Answer::done(table(&rows), &data))
    }
}

fn for_people(image: &ListedImage) -> [String; 7] {
    let nothing = || "-".to_owned();
    let name = image.name.clone().unwrap_or_else(nothing);
    let key = image.key.as_str()[..12].to_owned();
    let built = image.created.map_or_else(nothing, ago);
    match &image.state {
        Ok(record) => {
            let (size, disk) = (bytes(record.rootfs.size), bytes(record.disk_bytes));
            [name, key, record.base.clone(), record.arch.to_string(), size, disk, built]
        }
        Err(damage) => [name, key, format!("damaged: {damage}"), nothing(), nothing(), nothing(), built],
    }
}

fn for_machines(image: &ListedImage) -> Value {
    let created = image.created.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
    let mut value = json!({"name": image.name, "key": image.key.as_str(), "created_epoch_s": created});
    match &image.state {
        Ok(record) => {
            value["base"] = json!(record.base);
            value["arch"] = json!(record.arch);
            value["size_bytes"] = json!(record.rootfs.size);
            value["disk_bytes"] = json!(record.disk_bytes);
        }
        Err(damage) => value["damage"] = json!(damage),
    }
    value
}

/// How long ago, in the largest unit that says something.
fn ago(time: SystemTime) -> String {
    let seconds = SystemTime::now().duration_since(time).unwrap_or_default().as_secs();
    let (count, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// Columns as wide as their widest cell.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let line = |row: &[String; COLUMNS]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
