//! Many files at once, and the same file wanted by many. The mirror is a real one: axum with tower-http's file service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures_util::future::join_all;
use smolvm_fetch::{Fetcher, Mirror};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower_http::services::ServeDir;

use crate::support::{Bench, content, mirror, wanted, wanted_at};

#[tokio::test(flavor = "multi_thread")]
async fn many_files_come_in_parallel_but_not_all_at_once() {
    let bench = Bench::new();
    let archive = Archive::start().await;
    let files: Vec<_> = (0..60).map(|number| content(1000 + 7919 * number)).collect();
    for (number, file) in files.iter().enumerate() {
        archive.put(&format!("pool/{number}.deb"), file);
    }
    let mut options = bench.options();
    options.parallel = 5;
    let fetcher = Fetcher::new(options);
    let mirrors = [archive.mirror()];
    let all: Vec<_> =
        files.iter().enumerate().map(|(number, file)| wanted_at(&format!("pool/{number}.deb"), file)).collect();
    let got = join_all(all.iter().map(|wanted| fetcher.fetch(wanted, &mirrors))).await;
    for (file, got) in files.iter().zip(got) {
        assert_eq!(got.unwrap().content().unwrap(), *file);
    }
    assert_eq!(archive.load.requests.load(Ordering::SeqCst), 60);
    let most = archive.load.most.load(Ordering::SeqCst);
    assert!((2..=5).contains(&most), "{most} at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_wanted_by_many_is_downloaded_once() {
    let bench = Bench::new();
    let archive = Archive::start().await;
    let content = content(3_000_000);
    archive.put("pool/main/h/hello/hello_1.0_amd64.deb", &content);
    let (wanted, mirrors) = (wanted(&content), [archive.mirror()]);
    // Fetchers that share nothing but the folder, as two processes do.
    let fetchers = [bench.fetcher(), bench.fetcher(), bench.fetcher()];
    let got = join_all(fetchers.iter().flat_map(|fetcher| {
        let (wanted, mirrors) = (&wanted, &mirrors);
        (0..3).map(move |_| fetcher.fetch(wanted, mirrors))
    }))
    .await;
    for got in got {
        assert_eq!(got.unwrap().content().unwrap(), content);
    }
    assert_eq!(archive.load.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_file_server_resumes() {
    let bench = Bench::new();
    let archive = Archive::start().await;
    let content = content(3_000_000);
    archive.put("pool/main/h/hello/hello_1.0_amd64.deb", &content);
    let wanted = wanted(&content);
    fs_err::create_dir_all(bench.partial(&wanted).parent().unwrap()).unwrap();
    fs_err::write(bench.partial(&wanted), &content[..2_000_000]).unwrap();
    let got = bench.fetcher().fetch(&wanted, &[archive.mirror()]).await.unwrap();
    assert_eq!(got.content().unwrap(), content);
    let resumed = |event: &smolvm_fetch::FetchEvent| {
        matches!(event, smolvm_fetch::FetchEvent::Started { resumed_from: 2_000_000, .. })
    };
    assert!(bench.events().iter().any(resumed), "{:?}", bench.events());
}

/// A folder served over HTTP.
struct Archive {
    folder: TempDir,
    address: String,
    load: Arc<Load>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Load {
    requests: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Archive {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let load = Arc::new(Load::default());
        let app = Router::new()
            .nest_service("/debian", ServeDir::new(folder.path()))
            .layer(from_fn_with_state(Arc::clone(&load), count));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { folder, address, load, task }
    }

    fn put(&self, path: &str, content: &[u8]) {
        let path = self.folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    fn mirror(&self) -> Mirror {
        mirror(&self.address)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn count(State(load): State<Arc<Load>>, request: Request, next: Next) -> Response {
    load.requests.fetch_add(1, Ordering::SeqCst);
    let now = load.now.fetch_add(1, Ordering::SeqCst) + 1;
    load.most.fetch_max(now, Ordering::SeqCst);
    let response = next.run(request).await;
    // Long enough for others to come in meanwhile.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    load.now.fetch_sub(1, Ordering::SeqCst);
    response
}
