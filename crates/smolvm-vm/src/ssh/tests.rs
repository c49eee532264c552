use std::process::{Command as StdCommand, Stdio as StdStdio};

use std::os::unix::ffi::OsStrExt as _;

use super::*;

#[test]
fn the_guests_shell_gets_exactly_the_words() {
    let words =
        ["printf", "%s|", "a b", "it's", "\"$HOME\" `id` $(id)", "", "-n", "line\nbreak", "\\", "ü*?[a]", ";&|<>"];
    for shell in ["sh", "bash", "busybox"] {
        let mut command = StdCommand::new(shell);
        if shell == "busybox" {
            command.arg("sh");
        }
        let Ok(output) = command.arg("-c").arg(remote_line(&words)).output() else {
            eprintln!("skipped for {shell}: it is not installed");
            continue;
        };
        let expected: String = words[2..].iter().flat_map(|word| [word, "|"]).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{shell}");
    }
}

#[test]
fn exit_codes_and_signals_come_through_the_shell() {
    for (script, code) in [("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137)] {
        let line = remote_line(&["sh", "-c", script]);
        let status = StdCommand::new("sh").arg("-c").arg(line).stderr(StdStdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{script}");
    }
}

#[test]
fn words_need_not_be_text() {
    let line = remote_line(&[OsStr::from_bytes(b"printf"), OsStr::from_bytes(b"\xff\xfe")]);
    assert_eq!(StdCommand::new("sh").arg("-c").arg(line).output().unwrap().stdout, b"\xff\xfe");
}

#[test]
fn the_key_is_for_its_owner_alone_and_its_public_half_fits_a_boot_argument() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let argument = make_key(folder.path()).unwrap();
    assert!(!argument.contains([' ', '"']), "{argument}");
    let key = folder.path().join(KEY);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let public = String::from_utf8(STANDARD.decode(&argument).unwrap()).unwrap();
    assert!(public.starts_with("ssh-ed25519 AAAA"), "{public}");
    let private = PrivateKey::from_openssh(fs_err::read(&key).unwrap()).unwrap();
    assert_eq!(private.public_key().to_openssh().unwrap(), public);
    let another = tempfile::tempdir().unwrap();
    assert_ne!(make_key(another.path()).unwrap(), argument, "each boot has a key of its own");
}

#[tokio::test]
async fn only_a_greeting_counts_as_an_answer() {
    async fn serve(answer: &'static [u8]) -> SocketAddrV4 {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
            // QEMU holds a connection to a guest that does not answer.
            tokio::time::sleep(Duration::from_mins(1)).await;
        });
        SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)
    }
    let patience = Duration::from_millis(200);
    assert!(greets(serve(b"SSH-2.0-OpenSSH_9.2\r\n").await, Duration::from_secs(10)).await);
    assert!(!greets(serve(b"").await, patience).await, "silence");
    assert!(!greets(serve(b"HTTP/1.1 400\r\n").await, patience).await, "another service");
}

#[tokio::test]
async fn a_server_that_hangs_up_is_not_there_yet() {
    if StdCommand::new("ssh").arg("-V").output().is_err() {
        eprintln!("skipped: ssh is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_key(folder.path()).unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let error =
        Connection::open(folder.path(), SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Absent(words) if !words.is_empty()), "{error:?}");
}
