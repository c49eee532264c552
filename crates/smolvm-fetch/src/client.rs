//! One HTTP client for all, set up when the first byte is wanted.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::address::{Address, hide_credentials};
use crate::error::FetchError;
use crate::fetcher::FetchOptions;
use crate::retry::{Failure, FailureKind};

/// Enough for a mirror network that sends to the nearest mirror, which sends to a content store.
const MOST_REDIRECTS: usize = 5;

/// The client, or why there is none.
#[derive(Debug, Default)]
pub(crate) struct LazyClient(OnceLock<Result<Client, String>>);

impl LazyClient {
    pub(crate) fn get(&self, options: &FetchOptions) -> Result<&Client, FetchError> {
        self.0.get_or_init(|| build(options)).as_ref().map_err(|reason| FetchError::Client { reason: reason.clone() })
    }
}

/// Asks for one address and waits for the head of the answer. An answer that is no success is a failure.
pub(crate) async fn request(
    client: &Client,
    address: &Address,
    mut headers: HeaderMap,
    past_caches: bool,
    options: &FetchOptions,
) -> Result<Response, Failure> {
    // Digests are those of the bytes as they lie on the mirror.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if past_caches {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    let mut request = client.get(address.url().clone()).headers(headers);
    if let Some(credentials) = address.credentials() {
        request = request.basic_auth(&credentials.user, credentials.password.as_ref());
    }
    match tokio::time::timeout(options.timeouts.answer, request.send()).await {
        Ok(Ok(response)) => judge(response),
        Ok(Err(error)) => Err(Failure::from_http(&error)),
        Err(_) => Err(Failure::transient(format!("no answer within {:?}", options.timeouts.answer))),
    }
}

fn judge(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => Ok(response),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(Failure { kind: FailureKind::Missing, reason: format!("it answered {status}") })
        }
        // What lies here of the file is longer than the file.
        StatusCode::RANGE_NOT_SATISFIABLE => {
            Err(Failure { kind: FailureKind::WrongContent, reason: format!("it answered {status}") })
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(come_back_later(&response)),
        _ if status.is_server_error() => Err(come_back_later(&response)),
        _ => Err(Failure { kind: FailureKind::Broken, reason: format!("it answered {status}") }),
    }
}

fn come_back_later(response: &Response) -> Failure {
    let kind = FailureKind::Transient { wait: retry_after(response.headers()), unreachable: false };
    Failure { kind, reason: format!("it answered {}", response.status()) }
}

/// `Retry-After`: seconds, or a date, which is compared with the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now: SystemTime = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

impl Failure {
    /// What a failed request or a broken body means, in words that hold no address.
    pub(crate) fn from_http(error: &reqwest::Error) -> Self {
        if error.is_redirect() {
            return Self {
                kind: FailureKind::Broken,
                reason: format!("it redirects in circles, or more than {MOST_REDIRECTS} times"),
            };
        }
        let mut cause: &dyn std::error::Error = error;
        let mut refused_certificate = false;
        while let Some(deeper) = cause.source() {
            cause = deeper;
            refused_certificate |= is_certificate_error(cause);
        }
        // The innermost text: the outer ones repeat the address and say "error sending request".
        let cause_text = hide_credentials(&cause.to_string());
        if refused_certificate {
            return Self { kind: FailureKind::Broken, reason: format!("TLS: {cause_text}") };
        }
        let (reason, unreachable) = if error.is_connect() && error.is_timeout() {
            ("no connection in time".to_owned(), true)
        } else if error.is_connect() {
            (format!("cannot connect: {cause_text}"), true)
        } else {
            (format!("the connection broke: {cause_text}"), false)
        };
        Self { kind: FailureKind::Transient { wait: None, unreachable }, reason }
    }
}

fn is_certificate_error(error: &(dyn std::error::Error + 'static)) -> bool {
    let tls = error
        .downcast_ref::<rustls::Error>()
        .or_else(|| error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::General(_)))
}

fn build(options: &FetchOptions) -> Result<Client, String> {
    let text = |error: &dyn std::error::Error| hide_credentials(&error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| text(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SystemCertificates { provider, verifier: OnceLock::new() }))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("smolvm/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(options.timeouts.connect)
        .redirect(reqwest::redirect::Policy::limited(MOST_REDIRECTS))
        .referer(false)
        .http2_adaptive_window(true)
        .pool_max_idle_per_host(options.parallel);
    if !options.system_proxy {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| text(&error.source().unwrap_or(&error)))
}

/// The system's certificate authorities, read at the first TLS handshake: a host without any can still use `http`
/// mirrors (packages carry their own proof), and one that uses no TLS does not pay for reading them.
#[derive(Debug)]
struct SystemCertificates {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Verifier, rustls::Error>>,
}

impl SystemCertificates {
    fn verifier(&self) -> Result<&Verifier, rustls::Error> {
        let verifier = self.verifier.get_or_init(|| Verifier::new(Arc::clone(&self.provider)));
        verifier.as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for SystemCertificates {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
