//! Weights from the model hub, through its client's cache folder.
//!
//! Environment variables are the hub client's own: `HF_HOME` (cache), `HF_ENDPOINT`
//! (another server), `HF_TOKEN` (for gated models; else the token that its login
//! command stored) and `HF_HUB_OFFLINE=1` (use the cache alone).

use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::weights::shard_names;

/// The prefix of a model of the hub, in place of a path.
pub const PREFIX: &str = "hf-hub:";
/// Names of the weights' file or of the index of its shards, in order of preference.
const WEIGHTS: [&str; 3] = ["model.safetensors", INDEX, "pytorch_model.bin"];
/// The index of weights in several files.
const INDEX: &str = "model.safetensors.index.json";
/// The index of torch files in several parts, which are not read.
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";
/// Config files beside the weights, which a model may lack.
const COMPANIONS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// Retries of a download; each continues where the last one stopped.
const RETRIES: usize = 4;

/// A model of the hub at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `OWNER/NAME`.
    pub model: String,
    /// A branch, tag or commit; `main` where none is given.
    pub revision: String,
}

impl Reference {
    /// Parses `hf-hub:OWNER/NAME` or `hf-hub:OWNER/NAME@REVISION`; none for a text with
    /// another prefix.
    ///
    /// # Errors
    /// [`Error::Hub`] where the rest is not a model's name.
    pub fn parse(text: &str) -> Option<Result<Self>> {
        let rest = text.strip_prefix(PREFIX)?;
        let (model, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let plain = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.chars().all(fits) && !part.contains("..")
        };
        let named = model.split('/').count() == 2 && model.split('/').all(plain);
        if !named || !revision.split('/').all(plain) {
            return Some(Err(Error::Hub {
                model: text.into(),
                reason: format!(
                    "this names no model of the hub; write {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION"
                ),
            }));
        }
        Some(Ok(Self { model: model.into(), revision: revision.into() }))
    }

    /// The weights of a timm name with its tag, such as
    /// `vit_small_patch16_224.augreg_in21k`.
    pub fn timm(name: &str) -> Self {
        Self { model: format!("timm/{name}"), revision: "main".into() }
    }

    /// Downloads what the cache lacks. Returns the path of the weights in the cache, or of
    /// the index of their shards; `config.json` and `preprocessor_config.json` lie beside
    /// them where the model has them.
    ///
    /// # Errors
    /// [`Error::Hub`].
    pub fn fetch(&self, progress: bool) -> Result<PathBuf> {
        let repo =
            || Repo::with_revision(self.model.clone(), RepoType::Model, self.revision.clone());
        let cache = Cache::from_env();
        if offline() {
            let cached = cache.repo(repo());
            let found = WEIGHTS.iter().find_map(|file| cached.get(file));
            let lacking = || {
                self.failed(
                "it is not in the cache, and HF_HUB_OFFLINE is set; unset it, or set HF_HOME to where it is",
            )
            };
            let path = found.ok_or_else(lacking)?;
            let whole = Self::shards(&path)?.iter().all(|shard| cached.get(shard).is_some());
            return if whole { Ok(path) } else { Err(lacking()) };
        }
        let mut builder = ApiBuilder::from_env().with_progress(progress).with_retries(RETRIES);
        if let Ok(token) = std::env::var("HF_TOKEN") {
            builder = builder.with_token(Some(token));
        }
        let api = builder.build().map_err(|error| self.explain(&error))?;
        let remote = api.repo(repo());
        let mut weights = None;
        for file in WEIGHTS {
            match self.download(&api, &remote, file) {
                Ok(path) => {
                    weights = Some(path);
                    break;
                }
                Err(Failure::Missing) => {}
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        let Some(path) = weights else {
            return Err(match self.download(&api, &remote, TORCH_INDEX) {
                Ok(_) => self.failed(
                    "its weights are torch files in several parts, which are not read; ask its owner for safetensors, or convert it with transformers' save_pretrained",
                ),
                Err(_) => self.failed(&format!(
                    "there is no such model or revision, or it has neither {}; look at its page",
                    WEIGHTS.join(" nor ")
                )),
            });
        };
        for shard in Self::shards(&path)? {
            self.download(&api, &remote, &shard).map_err(|failure| match failure {
                Failure::Missing => {
                    self.failed(&format!("its index names {shard}, which it does not have"))
                }
                Failure::Other(error) => error,
            })?;
        }
        for file in COMPANIONS {
            // Without them the tensors are recognised, or the user is asked.
            let _ = self.download(&api, &remote, file);
        }
        Ok(path)
    }

    /// The files that an index names; none for weights in one file.
    fn shards(path: &Path) -> Result<Vec<String>> {
        if path.ends_with(INDEX) { shard_names(path) } else { Ok(Vec::new()) }
    }

    fn download(
        &self,
        api: &hf_hub::api::sync::Api,
        remote: &ApiRepo,
        file: &str,
    ) -> std::result::Result<PathBuf, Failure> {
        let cached = Cache::from_env().repo(Repo::with_revision(
            self.model.clone(),
            RepoType::Model,
            self.revision.clone(),
        ));
        if let Some(path) = cached.get(file) {
            return Ok(path);
        }
        let explain = |error: ApiError| match status(&error) {
            Some(404) => Failure::Missing,
            _ => Failure::Other(self.explain(&error)),
        };
        let wanted = api.metadata(&remote.url(file)).map_err(explain)?;
        let path = remote.download(file).map_err(explain)?;
        self.check(&path, wanted.etag(), wanted.size() as u64).map_err(Failure::Other)?;
        Ok(path)
    }

    /// Compares a new file with the size, and for large files the SHA-256, that the hub
    /// states, and removes it where they differ.
    fn check(&self, path: &Path, etag: &str, size: u64) -> Result<()> {
        let io = |error| Error::io(path, error);
        let found = std::fs::metadata(path).map_err(io)?.len();
        let states_sum = etag.len() == 64 && etag.chars().all(|c| c.is_ascii_hexdigit());
        let damaged = found != size || (states_sum && sha256(path).map_err(io)? != etag);
        if damaged {
            if let Ok(blob) = path.canonicalize() {
                let _ = std::fs::remove_file(blob);
            }
            let _ = std::fs::remove_file(path);
            return Err(self.failed("the download is damaged and was removed; try again"));
        }
        Ok(())
    }

    fn explain(&self, error: &ApiError) -> Error {
        match status(error) {
            Some(401 | 403) => self.failed(
                "it is gated or private: accept its terms on its page, then set HF_TOKEN to a token of your account",
            ),
            Some(code) => self.failed(&format!("the hub answered with status {code}; try again later")),
            None => {
                let reason = error.to_string();
                self.failed(&format!(
                    "{reason}; check the network and HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use the cache alone"
                ))
            }
        }
    }

    fn failed(&self, reason: &str) -> Error {
        let Self { model, revision } = self;
        Error::Hub { model: format!("{model}@{revision}"), reason: reason.into() }
    }
}

enum Failure {
    Missing,
    Other(Error),
}

fn offline() -> bool {
    let set = std::env::var("HF_HUB_OFFLINE").unwrap_or_default().to_ascii_lowercase();
    matches!(set.as_str(), "1" | "true" | "yes" | "on")
}

/// The HTTP status of the hub's refusal.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        sum.update(&buffer[..count]);
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
