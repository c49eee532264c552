use smolvm_manifest::Distro;
use smolvm_render::{PlannedContent, render};

use crate::fixture::locked;

#[test]
#[ignore = "x"]
fn write() {
    let mut l = locked(Distro::DebianBookworm);
    l.manifest.env.insert("GREETING".into(), "it's \"a\" $HOME `b` \\ \\\" # ü".into());
    l.manifest.ssh.as_mut().unwrap().authorized_keys.push(crate::fixture::KEY.into());
    let recipe = render(&l).unwrap();
    for f in recipe.write_plan() {
        let PlannedContent::Bytes(b) = f.content else { continue };
        let p = std::path::Path::new("/tmp/vmexp/plan").join(&f.path);
        std::fs::create_dir_all(p.parent().unwrap()).unwrap();
        std::fs::write(p, b).unwrap();
    }
}
