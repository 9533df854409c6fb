//! The hub's answers and downloads, into the cache folder of its own client.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};
use serde_json::Value;
use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::{Agent, Body};

use super::{Failure, Reference, Report};
use crate::error::{Error, Result};

/// Attempts in a row that bring no byte before a download is given up.
const RETRIES: u32 = 4;
/// The most redirects to another name of a model.
const MAX_MOVES: usize = 5;
/// Seconds without a byte after which a connection is given up, where nothing says otherwise.
const TIMEOUT: u64 = 10;

/// A model on a server.
pub(super) struct Client<'r> {
    reference: &'r Reference,
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    cache: Cache,
    timeout: Duration,
}

/// What the server says of a file.
struct Remote {
    /// Where it is, after moves of the model.
    url: String,
    commit: String,
    etag: String,
    size: Option<u64>,
}

impl<'r> Client<'r> {
    pub(super) fn new(reference: &'r Reference) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let seconds = variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|text| text.parse().ok());
        let timeout = Duration::from_secs(seconds.unwrap_or(TIMEOUT).max(1));
        let agent = Agent::config_builder()
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .user_agent(concat!("singer-vit/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let cache = Cache::from_env();
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self {
            reference,
            agent,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: variable("HF_TOKEN").or_else(|| cache.token()),
            cache,
            timeout,
        }
    }

    fn repo(&self) -> Repo {
        let Reference { model, revision, .. } = self.reference;
        Repo::with_revision(model.clone(), RepoType::Model, revision.clone())
    }

    /// A file that the cache holds.
    pub(super) fn cached(&self, file: &str) -> Option<PathBuf> {
        self.cache.repo(self.repo()).get(file)
    }

    /// The folder of the revision in the cache.
    pub(super) fn snapshot(&self) -> Option<PathBuf> {
        let repo = self.repo();
        let refs = self.cache.path().join(repo.folder_name()).join("refs").join(repo.revision());
        let commit = fs::read_to_string(refs).ok()?;
        Some(self.cache.repo(repo).pointer_path(commit.trim()))
    }

    /// The names of the model's files.
    pub(super) fn files(&self) -> Result<Vec<String>, Failure> {
        let url = format!("{}/api/{}", self.endpoint, self.repo().api_url());
        let mut answer = self.get(&url, None).map_err(|error| self.failure(&error))?;
        let text = answer.body_mut().read_to_string().map_err(|error| self.failure(&error))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let files = answer["siblings"].as_array().into_iter().flatten();
        Ok(files.filter_map(|file| Some(file["rfilename"].as_str()?.to_owned())).collect())
    }

    /// A file, from the cache or the server.
    pub(super) fn download(&self, file: &str, report: Report<'_>) -> Result<PathBuf, Failure> {
        if let Some(path) = self.cached(file) {
            return Ok(path);
        }
        let remote = self.remote(file)?;
        let repo = self.cache.repo(self.repo());
        let blob = repo.blob_path(&remote.etag);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| Failure::Other(Error::io(&path, error))
        };
        let parent = |path: &Path| path.parent().map_or(Ok(()), fs::create_dir_all);
        parent(&blob).map_err(io(&blob))?;
        if !blob.exists() {
            self.fetch(file, &remote, &blob, report)?;
        }
        let path = repo.pointer_path(&remote.commit).join(file);
        parent(&path).map_err(io(&path))?;
        point(&path, &blob, file).map_err(io(&path))?;
        repo.create_ref(&remote.commit).map_err(io(&path))?;
        Ok(path)
    }

    /// Asks for one byte of a file, which tells its size, commit and checksum.
    fn remote(&self, file: &str) -> Result<Remote, Failure> {
        let repo = self.repo();
        let mut url =
            format!("{}/{}/resolve/{}/{file}", self.endpoint, repo.url(), repo.url_revision());
        for _ in 0..=MAX_MOVES {
            let answer = self.get(&url, Some("bytes=0-0")).map_err(|error| self.failure(&error))?;
            let header = |name: &str| answer.headers().get(name)?.to_str().ok();
            // A model that has another name now; large files are elsewhere altogether.
            if answer.status().is_redirection()
                && let Some(moved) = header("location").filter(|to| to.starts_with('/'))
            {
                url = format!("{}{moved}", self.endpoint);
                continue;
            }
            let lacks = |name: &str| {
                let reason = format!("its answer for {file} lacks {name}; check HF_ENDPOINT");
                Failure::Other(self.reference.failed(&reason))
            };
            let etag = header("x-linked-etag").or_else(|| header("etag"));
            let etag = etag.ok_or_else(|| lacks("an ETag"))?.trim_start_matches("W/");
            let etag = etag.trim_matches('"');
            let commit = header("x-repo-commit").ok_or_else(|| lacks("X-Repo-Commit"))?;
            let plain = |text: &str| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            };
            if !plain(etag) || !plain(commit) {
                return Err(lacks("a plain ETag and X-Repo-Commit"));
            }
            let whole = || header("content-range")?.rsplit_once('/').map(|(_, size)| size);
            let size = header("x-linked-size").or_else(whole);
            return Ok(Remote {
                commit: commit.to_owned(),
                etag: etag.to_owned(),
                size: size.and_then(|size| size.parse().ok()),
                url,
            });
        }
        Err(Failure::Other(self.reference.failed("the hub sends it from one name to another")))
    }

    /// Downloads into `blob`. What is there of an attempt before is gone on with.
    fn fetch(
        &self,
        file: &str,
        remote: &Remote,
        blob: &Path,
        report: Report<'_>,
    ) -> Result<(), Failure> {
        let part = blob.with_file_name(format!("{}.incomplete", remote.etag));
        let io = |error| Failure::Other(Error::io(&part, error));
        let options = OpenOptions::new().read(true).append(true).create(true).clone();
        let mut into = options.open(&part).map_err(io)?;
        // Another process may be at it, and then have it.
        into.lock().map_err(io)?;
        if blob.exists() {
            return Ok(());
        }
        let mut idle = 0;
        loop {
            let before = into.metadata().map_err(io)?.len();
            if remote.size.is_some_and(|size| before > size) {
                into.set_len(0).map_err(io)?;
            } else if remote.size == Some(before) {
                break;
            }
            let reason = match self.attempt(file, remote, &mut into, report) {
                Ok(()) if remote.size.is_none() => break,
                Ok(()) => "the connection broke off".to_owned(),
                Err(Attempt::Local(error)) => return Err(io(error)),
                Err(Attempt::Remote(error @ ureq::Error::StatusCode(_))) => {
                    return Err(self.failure(&error));
                }
                Err(Attempt::Remote(error)) => error.to_string(),
            };
            let now = into.metadata().map_err(io)?.len();
            if remote.size == Some(now) {
                break;
            }
            idle = if now > before { 0 } else { idle + 1 };
            if idle > RETRIES {
                let seconds = self.timeout.as_secs();
                return Err(Failure::Other(self.reference.failed(&format!(
                    "{file}: {reason}, and {RETRIES} further attempts brought nothing (each waits {seconds} s; HF_HUB_DOWNLOAD_TIMEOUT sets that); {now} bytes are kept, and the next download goes on with them"
                ))));
            }
            std::thread::sleep(Duration::from_millis(300 << idle.min(4)));
        }
        self.check(&mut into, remote, &part)?;
        fs::rename(&part, blob).map_err(io)
    }

    /// Appends what one connection gives.
    fn attempt(
        &self,
        file: &str,
        remote: &Remote,
        into: &mut File,
        report: Report<'_>,
    ) -> Result<(), Attempt> {
        let mut done = into.metadata().map_err(Attempt::Local)?.len();
        let range = format!("bytes={done}-");
        let request = self.authorised(self.agent.get(&remote.url)).header("Range", range);
        let answer = request.call().map_err(Attempt::Remote)?;
        if answer.status().as_u16() != 206 {
            into.set_len(0).map_err(Attempt::Local)?;
            done = 0;
        }
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Attempt::Remote(ureq::Error::from(error))),
            };
            into.write_all(&buffer[..count]).map_err(Attempt::Local)?;
            done += count as u64;
            report(file, done, remote.size.unwrap_or(done));
        }
    }

    /// Compares a download with the size, and for large files the SHA-256, that the hub states,
    /// and removes it where they differ.
    fn check(&self, file: &mut File, remote: &Remote, path: &Path) -> Result<(), Failure> {
        let states_sum =
            remote.etag.len() == 64 && remote.etag.chars().all(|c| c.is_ascii_hexdigit());
        let io = |error| Failure::Other(Error::io(path, error));
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        if states_sum && sha256(file).map_err(io)? != remote.etag {
            fs::remove_file(path).map_err(io)?;
            let reason = "the download is damaged and was removed; try again";
            return Err(Failure::Other(self.reference.failed(reason)));
        }
        Ok(())
    }

    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// An answer without following redirects.
    fn get(&self, url: &str, range: Option<&str>) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.authorised(self.agent.get(url));
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        request.config().max_redirects(0).max_redirects_will_error(false).build().call()
    }

    fn failure(&self, error: &ureq::Error) -> Failure {
        let reason = match error {
            ureq::Error::StatusCode(404) => return Failure::Missing,
            ureq::Error::StatusCode(401 | 403) => {
                "it is gated or private: accept its terms on its page, then set HF_TOKEN to a token of your account".into()
            }
            ureq::Error::StatusCode(code) => {
                format!("the hub answered with status {code}; try again later")
            }
            ureq::Error::Timeout(_) => format!(
                "the hub did not answer for {} s (HF_HUB_DOWNLOAD_TIMEOUT sets that); try again later",
                self.timeout.as_secs()
            ),
            other => format!(
                "{other}; check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use the cache alone"
            ),
        };
        Failure::Other(self.reference.failed(&reason))
    }
}

/// Why an attempt to download ended.
enum Attempt {
    Local(std::io::Error),
    Remote(ureq::Error),
}

/// Makes `path`, the file of a snapshot, stand for a blob.
fn point(path: &Path, blob: &Path, file: &str) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    // A link whose blob was removed.
    let _ = fs::remove_file(path);
    #[cfg(unix)]
    {
        let up = "../".repeat(2 + file.matches('/').count());
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), path)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(|_| ()))
    }
}

fn sha256(file: &mut File) -> std::io::Result<String> {
    let mut sum = Sha256::new();
    std::io::copy(file, &mut sum)?;
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
