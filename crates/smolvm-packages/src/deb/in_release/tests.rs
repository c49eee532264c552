use pgp::crypto::hash::HashAlgorithm;

use super::*;
use crate::deb::openpgp::KeyProblem;
use crate::test_key::{TestKey, TestKeyOptions, TestSubkey};

const MADE: i64 = 1_700_000_000;
const DAY: i64 = 86_400;

fn text(more: &str) -> String {
    let digest = "ab".repeat(32);
    format!(
        "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: {}\n{more}Acquire-By-Hash: yes\nArchitectures: all amd64 arm64\n\
         Components: updates/main contrib\nNo-Support-for-Architecture-all: Packages\nMD5Sum:\n 00 1 main/binary-amd64/Packages\n\
         SHA256:\n {digest} 20 main/binary-amd64/Packages\n {digest}         10 main/binary-amd64/Packages.xz\n \
         {digest} 12 main/binary-amd64/Packages.gz\n {digest} 20 main/binary-all/Packages\n {digest} 9 contrib/binary-arm64/Packages\n",
        format_date(MADE)
    )
}

fn verify(bytes: &str, key: &TestKey, now: i64) -> Result<SignedRelease, InReleaseError> {
    let keyring = Keyring::parse(&key.certificate()).unwrap();
    verify_in_release(bytes.as_bytes(), &keyring, "debian", "bookworm", now)
}

fn refusals(bytes: &str, key: &TestKey, now: i64) -> Vec<Refusal> {
    match verify(bytes, key, now) {
        Err(InReleaseError::Signature { source: SignatureError::NoGoodSignature(refusals), .. }) => refusals,
        other => panic!("{other:?}"),
    }
}

fn key_problem(options: TestKeyOptions) -> KeyProblem {
    let key = TestKey::with(options);
    match refusals(&key.clearsign(&text(""), MADE), &key, MADE + DAY).as_slice() {
        [Refusal::Key(_, problem)] => problem.clone(),
        other => panic!("{other:?}"),
    }
}

fn options() -> TestKeyOptions {
    TestKeyOptions { created: MADE - 100 * DAY, ..TestKeyOptions::default() }
}

#[test]
fn a_good_signature_is_taken() {
    for subkey in [None, Some(TestSubkey::Bound)] {
        let key = TestKey::with(TestKeyOptions { subkey, expires: Some(MADE + 10 * DAY), ..options() });
        let release = verify(&key.clearsign(&text(""), MADE), &key, MADE + DAY).unwrap();
        assert_eq!((release.date, release.valid_until), (MADE, None));
        assert_eq!(release.locked().suite, "bookworm");
    }
}

#[test]
fn a_keyring_of_several_blocks_is_read_whole() {
    let (first, second) = (TestKey::generate(MADE), TestKey::generate(MADE));
    let both = [first.certificate(), b"a comment\n".to_vec(), second.certificate()].concat();
    let keyring = Keyring::parse(&both).unwrap();
    assert_eq!(keyring.fingerprints().len(), 2);
    let signed = second.clearsign(&text(""), MADE);
    assert!(verify_in_release(signed.as_bytes(), &keyring, "debian", "bookworm", MADE).is_ok());
    assert!(Keyring::parse(b"not a key").is_err());
    assert!(Keyring::parse(&[0x99, 0x00]).is_err());
}

#[test]
fn a_changed_text_is_refused() {
    let key = TestKey::generate(MADE);
    let signed = key.clearsign(&text(""), MADE);
    assert!(verify(&signed, &key, MADE).is_ok());
    assert!(matches!(
        refusals(&signed.replace("Suite: oldstable", "Suite: stable"), &key, MADE)[..],
        [Refusal::Mismatch(_)]
    ));
}

#[test]
fn nothing_outside_the_signed_text_is_taken() {
    let key = TestKey::generate(MADE);
    let signed = key.clearsign(&text(""), MADE);
    for wrapped in [
        format!("Suite: evil\n{signed}"),
        format!("\n{signed}"),
        format!("{signed}Suite: evil\n"),
        signed.replace("Hash: SHA512\n", "Hash: SHA512\nSuite: evil\n"),
        signed.replace("-----BEGIN PGP SIGNED MESSAGE-----\n", "-----BEGIN PGP SIGNED MESSAGE-----\nComment: x\n"),
        format!("{signed}{signed}"),
        signed.split("-----BEGIN PGP SIGNATURE").next().unwrap().to_owned(),
        String::new(),
        text(""),
    ] {
        let error = verify(&wrapped, &key, MADE).unwrap_err();
        assert!(
            matches!(error, InReleaseError::Signature { source: SignatureError::Malformed(_), .. }),
            "{error:?} for\n{wrapped}"
        );
    }
}

#[test]
fn keys_that_must_not_sign_are_refused() {
    let subkey = |subkey| key_problem(TestKeyOptions { subkey: Some(subkey), ..options() });
    assert_eq!(key_problem(TestKeyOptions { expires: Some(MADE), ..options() }), KeyProblem::Expired(MADE));
    assert_eq!(key_problem(TestKeyOptions { revoked: Some(MADE), ..options() }), KeyProblem::Revoked);
    assert_eq!(subkey(TestSubkey::WithoutBackSignature), KeyProblem::NoBackSignature);
    assert_eq!(subkey(TestSubkey::Revoked), KeyProblem::Revoked);
    assert_eq!(subkey(TestSubkey::Expired), KeyProblem::Expired(MADE - 100 * DAY + 1));
    assert_eq!(subkey(TestSubkey::NotForSigning), KeyProblem::NotForSigning);
    // A good subkey does not help a primary key that is revoked or expired.
    let bound = TestKeyOptions { subkey: Some(TestSubkey::Bound), ..options() };
    assert_eq!(key_problem(TestKeyOptions { revoked: Some(MADE), ..bound.clone() }), KeyProblem::Revoked);
    assert_eq!(key_problem(TestKeyOptions { expires: Some(MADE), ..bound }), KeyProblem::Expired(MADE));
}

#[test]
fn an_unknown_key_is_named() {
    let (author, other) = (TestKey::generate(MADE), TestKey::generate(MADE));
    let signed = author.clearsign(&text(""), MADE);
    let fingerprint = Keyring::parse(&author.certificate()).unwrap().fingerprints().remove(0);
    assert_eq!(refusals(&signed, &other, MADE), [Refusal::UnknownKey(fingerprint)]);
}

#[test]
fn weak_hashes_and_keys_are_refused() {
    let rsa = TestKeyOptions { rsa: Some(2_048), ..options() };
    assert_eq!(key_problem(TestKeyOptions { weak_self_signature: true, ..rsa.clone() }), KeyProblem::Unbound);
    assert_eq!(key_problem(TestKeyOptions { rsa: Some(1_024), ..options() }), KeyProblem::Weak);
    let key = TestKey::with(rsa);
    assert!(verify(&key.clearsign(&text(""), MADE), &key, MADE).is_ok());
    for hash in [HashAlgorithm::Sha1, HashAlgorithm::Md5, HashAlgorithm::Sha224] {
        let signed = key.clearsign_with(&text(""), MADE, hash);
        assert!(matches!(refusals(&signed, &key, MADE)[..], [Refusal::WeakHash(_)]), "{hash:?}");
    }
}

#[test]
fn the_future_is_refused_and_a_small_skew_is_not() {
    let key = TestKey::generate(MADE - DAY);
    let signed = key.clearsign(&text(""), MADE);
    assert!(verify(&signed, &key, MADE - 60).is_ok());
    assert!(matches!(refusals(&signed, &key, MADE - 3_600)[..], [Refusal::Future(MADE)]));
    // The text's own date, under an older signature.
    let signed = key.clearsign(&text(""), MADE - DAY / 2);
    let error = verify(&signed, &key, MADE - 3 * 3_600).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the index of debian bookworm was made on Tue, 14 Nov 2023 22:13:20 UTC, which is 3 hours ahead of this machine's clock"
    );
}

#[test]
fn an_index_past_its_end_is_refused() {
    let key = TestKey::generate(MADE);
    let signed = key.clearsign(&text(&format!("Valid-Until: {}\n", format_date(MADE + 7 * DAY))), MADE);
    assert_eq!(verify(&signed, &key, MADE + 6 * DAY).unwrap().valid_until, Some(MADE + 7 * DAY));
    let error = verify(&signed, &key, MADE + 10 * DAY).unwrap_err();
    assert_eq!(error.to_string(), "the index of debian bookworm expired on Tue, 21 Nov 2023 22:13:20 UTC, 3 days ago");
    let unreadable = key.clearsign(&text("Valid-Until: soon\n"), MADE);
    assert!(matches!(verify(&unreadable, &key, MADE), Err(InReleaseError::Field { field: "Valid-Until", .. })));
}

#[test]
fn another_suite_is_refused() {
    let check = |suite: &str, codename: &str, asked: &str| {
        let text = format!("Suite: {suite}\nCodename: {codename}\n");
        check_suite(&Fields::parse(&text), "debian", asked).is_ok()
    };
    assert!(check("oldstable", "bookworm", "bookworm") && check("oldstable", "bookworm", "oldstable"));
    assert!(check("oldstable-security", "bookworm-security", "bookworm-security"));
    assert!(check("noble-updates", "noble", "noble-updates"));
    assert!(!check("noble", "noble", "noble-updates"));
    assert!(!check("noble-updates", "noble", "noble"));
    assert!(!check("stable", "trixie", "bookworm"));
    assert!(check_suite(&Fields::parse("Date: x\n"), "mine", "stable").is_ok());
    let key = TestKey::generate(MADE);
    let keyring = Keyring::parse(&key.certificate()).unwrap();
    let signed = key.clearsign(&text(""), MADE);
    let error = verify_in_release(signed.as_bytes(), &keyring, "debian", "trixie", MADE).unwrap_err();
    assert_eq!(error.to_string(), "asked debian for `trixie`, got the index of `oldstable` (codename `bookworm`)");
}

#[test]
fn the_smallest_index_is_chosen_by_hash() {
    let key = TestKey::generate(MADE);
    let release = verify(&key.clearsign(&text(""), MADE), &key, MADE).unwrap();
    let [index] = &release.package_indexes("main", Arch::Amd64).unwrap()[..] else { panic!("one index") };
    let digest = "ab".repeat(32);
    assert_eq!(index.path, format!("dists/bookworm/main/binary-amd64/by-hash/SHA256/{digest}"));
    assert_eq!(index.plain_path, "dists/bookworm/main/binary-amd64/Packages.xz");
    assert_eq!((index.compression, index.size, index.sha256), (Compression::Xz, 10, [0xab; 32]));
    assert_eq!(index.text, Some(IndexText { size: 20, sha256: [0xab; 32] }));

    let error = release.package_indexes("main", Arch::Arm64).unwrap_err();
    assert_eq!(error.to_string(), "debian bookworm has no packages for arm64");
    let error = release.package_indexes("mian", Arch::Amd64).unwrap_err();
    assert_eq!(error.to_string(), "debian bookworm has no component `mian`");

    // An archive that keeps what fits every architecture in an index of its own.
    let apart =
        text("").replace("No-Support-for-Architecture-all: Packages\n", "").replace("Acquire-By-Hash: yes\n", "");
    let release = verify(&key.clearsign(&apart, MADE), &key, MADE).unwrap();
    let indexes = release.package_indexes("main", Arch::Amd64).unwrap();
    assert_eq!(indexes[1].text, None, "it is served as text");
    let paths: Vec<String> = indexes.into_iter().map(|index| index.path).collect();
    assert_eq!(paths, ["dists/bookworm/main/binary-amd64/Packages.xz", "dists/bookworm/main/binary-all/Packages"]);
}

proptest::proptest! {
    /// What is read is what was signed, whichever byte of the file a mirror changes.
    #[test]
    fn no_changed_byte_changes_what_is_read(position in 0.0..1.0_f64, byte: u8) {
        let (key, signed) = signed_once();
        let original = verify(signed, key, MADE).unwrap();
        let mut changed = signed.clone().into_bytes();
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a place in it")]
        let at = (changed.len() as f64 * position) as usize;
        changed[at] = byte;
        let keyring = Keyring::parse(&key.certificate()).unwrap();
        if let Ok(release) = verify_in_release(&changed, &keyring, "debian", "bookworm", MADE) {
            proptest::prop_assert_eq!((release.date, release.files), (original.date, original.files));
        }
    }
}

fn signed_once() -> &'static (TestKey, String) {
    static SIGNED: std::sync::OnceLock<(TestKey, String)> = std::sync::OnceLock::new();
    SIGNED.get_or_init(|| {
        let key = TestKey::generate(MADE);
        let signed = key.clearsign(&text(""), MADE);
        (key, signed)
    })
}
