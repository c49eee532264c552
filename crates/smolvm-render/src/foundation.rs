//! What a recipe stands on: the base's tools, and how a Dockerfile names the base.

use std::collections::BTreeMap;

use smolvm_manifest::{Base, Distro, Family, ImageTools, LockedImage, LockedManifest};

use crate::error::RenderError;

/// The folders in which a shell looks for programs where nobody says otherwise.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The base, as far as rendering needs to know it.
#[derive(Debug, Clone)]
pub(crate) struct Foundation<'a> {
    /// The release, where the base is one.
    pub(crate) distro: Option<Distro>,
    /// What installs packages and makes users.
    pub(crate) tools: ImageTools,
    /// For the Dockerfile's FROM.
    pub(crate) from: String,
    /// The image of somebody else's that the base is.
    pub(crate) image: Option<&'a LockedImage>,
}

impl<'a> Foundation<'a> {
    pub(crate) fn of(locked: &'a LockedManifest) -> Result<Self, RenderError> {
        let seen = locked.lock.base_image.as_ref();
        if let Some(image) = seen {
            check_reference(image)?;
        }
        match (&locked.manifest.base, seen) {
            (Base::Distro(distro), _) => Ok(Self {
                distro: Some(*distro),
                tools: if distro.family() == Family::Alpine { ImageTools::Apk } else { ImageTools::Apt },
                from: seen.map_or_else(|| distro.name().to_owned(), LockedImage::pinned),
                image: None,
            }),
            (Base::Image(_), Some(image)) => {
                Ok(Self { distro: None, tools: image.tools, from: image.pinned(), image: Some(image) })
            }
            (Base::Image(reference), None) => Err(RenderError::ImageBase { reference: reference.clone() }),
        }
    }

    /// The environment of the guest: that of the image which the base is, under that of the Smolfile.
    pub(crate) fn env(&self, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let of_image = self.image.iter().flat_map(|image| &image.env).filter(|(name, _)| is_name(name));
        let mut env: BTreeMap<String, String> = of_image.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(path) = self.path() {
            env.insert("PATH".to_owned(), path);
        }
        env.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
        env
    }

    /// The PATH of the image, and after it the usual folders, without which nobody could work in the guest.
    pub(crate) fn path(&self) -> Option<String> {
        let path = self.image?.env.get("PATH")?;
        let usable = |folder: &&str| !folder.is_empty() && !folder.chars().any(char::is_control);
        let mut folders: Vec<&str> = path.split(':').filter(usable).collect();
        for folder in USUAL_PATH.split(':') {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Some(folders.join(":"))
    }
}

/// Whether a shell takes it for the name of a variable.
fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// A reference stands in the Dockerfile as it is, and a lock may come with a pull request.
fn check_reference(image: &LockedImage) -> Result<(), RenderError> {
    let sound = |character: char| character.is_ascii_alphanumeric() || "._-/:@".contains(character);
    let pinned = image.pinned();
    if !pinned.is_empty() && pinned.chars().all(sound) {
        return Ok(());
    }
    Err(RenderError::Inexpressible {
        field: "base_image of the lock".to_owned(),
        character: "a character that no image's name has",
        place: "`FROM` in a Dockerfile",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: Option<&str>) -> LockedImage {
        let env = path.map(|path| ("PATH".to_owned(), path.to_owned()));
        LockedImage {
            reference: "registry.example.org:5000/team/app:1.2".to_owned(),
            digest: format!("sha256:{}", "a".repeat(64)),
            in_registry: true,
            tools: ImageTools::Apt,
            env: env.into_iter().collect(),
            user: String::new(),
            workdir: String::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
        }
    }

    #[test]
    fn an_image_is_pinned_by_its_digest_and_its_path_is_kept_first() {
        let image = image(Some("/opt/app/bin:/usr/bin"));
        assert_eq!(image.pinned(), format!("registry.example.org:5000/team/app@sha256:{}", "a".repeat(64)));
        let foundation = Foundation { distro: None, tools: ImageTools::Apt, from: String::new(), image: Some(&image) };
        let path = "/opt/app/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin";
        assert_eq!(foundation.path().as_deref(), Some(path));
    }

    #[test]
    fn a_reference_that_would_break_out_of_its_line_is_refused() {
        let mut image = image(None);
        "node\nRUN rm -rf /".clone_into(&mut image.reference);
        image.in_registry = false;
        assert!(matches!(check_reference(&image), Err(RenderError::Inexpressible { .. })));
    }
}
