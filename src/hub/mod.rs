//! Weights from the model hub, through its client's cache folder.
//!
//! Environment variables are the hub client's own: `HF_HOME` (cache), `HF_ENDPOINT`
//! (another server), `HF_TOKEN` (for gated models; else the token that its login
//! command stored), `HF_HUB_OFFLINE=1` (use the cache alone) and
//! `HF_HUB_DOWNLOAD_TIMEOUT` (seconds without a byte after which a connection is made anew).

mod client;

use std::path::{Path, PathBuf};

use client::Client;

use crate::error::{Error, Result};
use crate::weights::{Unclear, choose_file, file_in, shard_names};

/// The prefix of a model of the hub, in place of a path.
pub const PREFIX: &str = "hf-hub:";
/// Names of the weights' file or of the index of its shards, in order of preference, that are
/// asked for before the model's files are listed.
const WEIGHTS: [&str; 3] = ["model.safetensors", INDEX, "pytorch_model.bin"];
/// The index of weights in several files.
const INDEX: &str = "model.safetensors.index.json";
/// Config files beside the weights, which a model may lack.
const COMPANIONS: [&str; 2] = ["config.json", "preprocessor_config.json"];
/// That of weights under open_clip's names.
const OPEN_CLIP: &str = "open_clip_config.json";

/// Hears of a download: the file, the bytes that are there, and those of the whole.
pub type Report<'r> = &'r mut dyn FnMut(&str, u64, u64);

/// A model of the hub at a revision, or one of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `OWNER/NAME`.
    pub model: String,
    /// A branch, tag or commit; `main` where none is given.
    pub revision: String,
    /// The file of the weights; none for the model's only one.
    pub file: Option<String>,
}

impl Reference {
    /// Parses `hf-hub:OWNER/NAME[/FILE][@REVISION]`; none for a text with another prefix.
    ///
    /// # Errors
    /// [`Error::Hub`] where the rest is not a model's name.
    pub fn parse(text: &str) -> Option<Result<Self>> {
        let rest = text.strip_prefix(PREFIX)?;
        let (path, revision) = rest.split_once('@').unwrap_or((rest, "main"));
        let plain = |part: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            !part.is_empty() && part.chars().all(fits) && !part.contains("..")
        };
        let file_at = path.match_indices('/').nth(1).map(|(slash, _)| slash);
        let (model, file) = match file_at {
            Some(slash) => (&path[..slash], Some(&path[slash + 1..])),
            None => (path, None),
        };
        let is_file = |file: &str| {
            let name = file.rsplit('/').next().unwrap_or(file);
            file.split('/').all(plain) && name.contains('.')
        };
        let named = model.split('/').count() == 2 && model.split('/').all(plain);
        if !named || !file.is_none_or(is_file) || !revision.split('/').all(plain) {
            return Some(Err(Error::Hub {
                model: text.into(),
                reason: format!(
                    "this names no model of the hub; write {PREFIX}OWNER/NAME, {PREFIX}OWNER/NAME/FILE or either with @REVISION"
                ),
            }));
        }
        let file = file.map(str::to_owned);
        Some(Ok(Self { model: model.into(), revision: revision.into(), file }))
    }

    /// The weights of a timm name with its tag, such as
    /// `vit_small_patch16_224.augreg_in21k`.
    pub fn timm(name: &str) -> Self {
        Self { model: format!("timm/{name}"), revision: "main".into(), file: None }
    }

    /// Downloads what the cache lacks. Returns the path of the weights in the cache, or of
    /// the index of their shards; `config.json` and `preprocessor_config.json` lie beside
    /// them where the model has them. A connection that stalls is made anew, and a download
    /// goes on where it stopped, in another call too.
    ///
    /// # Errors
    /// [`Error::Hub`].
    pub fn fetch(&self, report: Report<'_>) -> Result<PathBuf> {
        let client = Client::new(self);
        if offline() {
            return self.cached(&client);
        }
        let path = match &self.file {
            Some(file) => client.download(file, report).map_err(|failure| match failure {
                Failure::Missing => self.lacks(file, &client),
                Failure::Other(error) => error,
            })?,
            None => self.weights(&client, report)?,
        };
        for shard in Self::shards(&path)? {
            client.download(&shard, report).map_err(|failure| match failure {
                Failure::Missing => {
                    self.failed(&format!("its index names {shard}, which it does not have"))
                }
                Failure::Other(error) => error,
            })?;
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let open_clip = name.starts_with("open_clip").then_some(OPEN_CLIP);
        let folder = self.file.as_deref().and_then(|file| file.rsplit_once('/'));
        for companion in COMPANIONS.into_iter().chain(open_clip) {
            let companion = match folder {
                Some((folder, _)) => format!("{folder}/{companion}"),
                None => companion.to_owned(),
            };
            // Without them the tensors are recognised, or the user is asked.
            let _ = client.download(&companion, report);
        }
        Ok(path)
    }

    /// The weights in the cache.
    fn cached(&self, client: &Client<'_>) -> Result<PathBuf> {
        let lacking = || {
            self.failed(
                "it is not in the cache, and HF_HUB_OFFLINE is set; unset it, or set HF_HOME to where it is",
            )
        };
        let found = match &self.file {
            Some(file) => client.cached(file),
            None => {
                let snapshot = client.snapshot().filter(|folder| folder.is_dir());
                snapshot.map(|folder| file_in(&folder)).transpose().map_err(|_| lacking())?
            }
        };
        let path = found.ok_or_else(lacking)?;
        let whole = Self::shards(&path)?.iter().all(|shard| client.cached(shard).is_some());
        if whole { Ok(path) } else { Err(lacking()) }
    }

    /// The file of the weights, by its usual name or as the only one that may hold them.
    fn weights(&self, client: &Client<'_>, report: Report<'_>) -> Result<PathBuf> {
        let other = |failure| match failure {
            Failure::Missing => self.failed(
                "there is no such model or revision, or none without a token; look at its page",
            ),
            Failure::Other(error) => error,
        };
        for file in WEIGHTS {
            match client.download(file, report) {
                Err(Failure::Missing) => {}
                found => return found.map_err(other),
            }
        }
        let files = client.files().map_err(other)?;
        let names: Vec<&str> = files.iter().map(String::as_str).collect();
        let file = choose_file(&names).map_err(|unclear| match unclear {
            Unclear::Foreign(reason) => self.failed(reason),
            Unclear::Several(found) => self.failed(&format!(
                "each of its files {} may be the weights: name one, {PREFIX}{}/FILE",
                found.join(", "),
                self.model
            )),
            Unclear::Nothing => self.failed("it has no file of weights; look at its page"),
        })?;
        client.download(file, report).map_err(other)
    }

    /// Says which files of weights a model has in place of one that it has not.
    fn lacks(&self, file: &str, client: &Client<'_>) -> Error {
        let files = client.files().unwrap_or_default();
        let names: Vec<&str> = files.iter().map(String::as_str).collect();
        let there = match choose_file(&names) {
            Ok(name) => format!("; there is {name}"),
            Err(Unclear::Several(found)) => format!("; there are {}", found.join(", ")),
            Err(_) => String::new(),
        };
        self.failed(&format!("there is no such model or revision, or it has no {file}{there}"))
    }

    /// The files that an index names; none for weights in one file.
    fn shards(path: &Path) -> Result<Vec<String>> {
        if path.ends_with(INDEX) { shard_names(path) } else { Ok(Vec::new()) }
    }

    fn failed(&self, reason: &str) -> Error {
        let Self { model, revision, .. } = self;
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
