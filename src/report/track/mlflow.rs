//! MLflow by its REST API, <https://mlflow.org/docs/latest/rest-api.html>.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use ureq::Agent;

use super::{Ended, measurements, numbers, settings};
use crate::error::{Error, Result};
use crate::report::training::TrainingRun;
use crate::run::folder::now;
use crate::weights::write_atomically;

/// Seconds after which a server that does not answer is given up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What a server takes at once.
const METRICS: usize = 1000;
const PARAMS: usize = 100;
/// The longest value of a setting that every version takes, in characters.
const LONGEST: usize = 500;
/// Where a run's folder keeps which run of the server it is.
const FILE: &str = "mlflow.json";
/// Where runs go unless `MLFLOW_EXPERIMENT_NAME` says otherwise.
const EXPERIMENT: &str = "singer";
/// The variable that names the server.
const URI: &str = "MLFLOW_TRACKING_URI";

/// A tracking server, by the variables that MLflow's own clients read.
#[derive(Debug)]
pub(super) struct Server {
    agent: Agent,
    /// Without a slash at its end.
    address: String,
    authorization: Option<String>,
}

impl Server {
    pub(super) fn from_environment() -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let address = variable(URI).unwrap_or_default();
        if !address.starts_with("http://") && !address.starts_with("https://") {
            let expected = "it must be the address of an MLflow server: http://HOST:PORT";
            let value = if address.is_empty() { "not set" } else { &address };
            return Err(Error::setting(URI, value, expected));
        }
        let basic = |user: String| {
            let password = variable("MLFLOW_TRACKING_PASSWORD").unwrap_or_default();
            let both = format!("{user}:{password}");
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both))
        };
        let token = variable("MLFLOW_TRACKING_TOKEN").map(|token| format!("Bearer {token}"));
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .user_agent(concat!("singer-vit/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            address: address.trim_end_matches('/').to_owned(),
            authorization: token.or_else(|| variable("MLFLOW_TRACKING_USERNAME").map(basic)),
        })
    }

    fn failure(&self, reason: impl std::fmt::Display) -> Error {
        Error::Tracker {
            tracker: format!("MLflow at {}", self.address),
            reason: reason.to_string(),
        }
    }

    /// Posts to a path below `api/2.0/mlflow`.
    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}/api/2.0/mlflow/{path}", self.address));
        let request = self.authorised(request).content_type("application/json");
        self.answer(request.send(body.to_string()))?.map_err(|code| self.failure(code))
    }

    /// Asks; none where there is no such thing.
    fn get(&self, path: &str, query: (&str, &str)) -> Result<Option<Value>> {
        let request = self.agent.get(format!("{}/api/2.0/mlflow/{path}", self.address));
        let request = self.authorised(request).query(query.0, query.1);
        match self.answer(request.call())? {
            Ok(value) => Ok(Some(value)),
            Err(reason) if reason.contains("RESOURCE_DOES_NOT_EXIST") => Ok(None),
            Err(reason) => Err(self.failure(reason)),
        }
    }

    fn put(&self, path: &str, body: &str) -> Result<()> {
        let request = self.agent.put(format!("{}/api/2.0/{path}", self.address));
        let request = self.authorised(request).content_type("text/html");
        self.answer(request.send(body))?.map(drop).map_err(|reason| self.failure(reason))
    }

    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("Authorization", authorization),
            None => request,
        }
    }

    /// What the server says, or why it refuses.
    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Result<Value, String>> {
        let mut answer = answer.map_err(|error| self.failure(error))?;
        let status = answer.status();
        let text = answer.body_mut().read_to_string().map_err(|error| self.failure(error))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(Ok(value));
        }
        let said = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let reason = format!("status {status} {} {}", said("error_code"), said("message"));
        Ok(Err(reason.trim_end().to_owned()))
    }
}

/// A run on a server.
#[derive(Debug)]
pub(super) struct Mlflow {
    server: Server,
    folder: PathBuf,
    /// None until the server knows the run.
    run: Option<RunOnServer>,
}

#[derive(Debug)]
struct RunOnServer {
    id: String,
    experiment: String,
    artifacts: String,
    /// The last step that the server has, and of the pace.
    step: usize,
    paced: usize,
    /// Whether it had its end before.
    ended: bool,
}

impl Mlflow {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let server = Server::from_environment()?;
        Ok(Self { server, folder: folder.to_owned(), run: None })
    }

    pub(super) fn follow(&mut self, run: &TrainingRun) -> Result<()> {
        let Self { server, folder, run: known, .. } = self;
        let on_server = match known {
            Some(known) => known,
            none => none.insert(begin(server, folder, run)?),
        };
        let metric = |(name, value): (String, f64), step: usize| {
            let time = (run.time(step) * 1e3) as i64;
            json!({ "key": name, "value": value, "timestamp": time, "step": step })
        };
        let mut metrics: Vec<(usize, Value)> = Vec::new();
        for record in run.records.iter().filter(|record| record.step > on_server.step) {
            let values = numbers(record).into_iter().filter(|(_, value)| value.is_finite());
            metrics.extend(values.map(|value| (record.step, metric(value, record.step))));
        }
        let last = run.records.last().map_or(0, |record| record.step);
        // A step's numbers go together.
        let mut start = 0;
        while start < metrics.len() {
            let most = metrics.len().min(start + METRICS);
            let whole = match metrics.get(most) {
                Some((next, _)) => {
                    start + metrics[start..most].partition_point(|(step, _)| step < next)
                }
                None => most,
            };
            let end = if whole > start { whole } else { most };
            let values: Vec<&Value> = metrics[start..end].iter().map(|(_, value)| value).collect();
            server.post("runs/log-batch", &json!({ "run_id": on_server.id, "metrics": values }))?;
            on_server.step = metrics[end - 1].0;
            start = end;
        }
        on_server.step = on_server.step.max(last);
        let pace = run.pace.iter().filter(|pace| pace.step > on_server.paced);
        let pace: Vec<Value> = pace
            .flat_map(|pace| {
                let speed = metric(("images per second".into(), pace.images_per_second), pace.step);
                [speed, metric(("waiting for data".into(), pace.waiting), pace.step)]
            })
            .collect();
        for part in pace.chunks(METRICS) {
            server.post("runs/log-batch", &json!({ "run_id": on_server.id, "metrics": part }))?;
        }
        on_server.paced = run.pace.last().map_or(on_server.paced, |pace| pace.step);
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        run: &TrainingRun,
        ended: Ended,
        page: Option<&str>,
    ) -> Result<()> {
        let Self { server, run: Some(on_server), .. } = self else { return Ok(()) };
        if on_server.ended {
            return Ok(());
        }
        let id = &on_server.id;
        let time = now() * 1000;
        let metric = |(key, value): (String, f64)| json!({ "key": key, "value": value, "timestamp": time, "step": on_server.step });
        let values = measurements(&run.description["result"]);
        let values: Vec<Value> = values.into_iter().map(metric).collect();
        if !values.is_empty() {
            server.post("runs/log-batch", &json!({ "run_id": id, "metrics": values }))?;
        }
        // Elsewhere artifacts go to a store that the client writes to itself.
        let served = on_server.artifacts.strip_prefix("mlflow-artifacts:/");
        if let (Some(place), Some(page)) = (served, page) {
            let place = place.trim_start_matches('/');
            server.put(&format!("mlflow-artifacts/artifacts/{place}/report.html"), page)?;
        }
        let status = match ended {
            Ended::Finished => "FINISHED",
            Ended::Stopped => "KILLED",
            Ended::Failed => "FAILED",
        };
        server.post("runs/update", &json!({ "run_id": id, "status": status, "end_time": time }))?;
        on_server.ended = true;
        Ok(())
    }

    /// The run's page, or the server's before it knows the run.
    pub(super) fn page(&self) -> String {
        let address = &self.server.address;
        match &self.run {
            Some(RunOnServer { id, experiment, .. }) => {
                format!("{address}/#/experiments/{experiment}/runs/{id}")
            }
            None => address.clone(),
        }
    }
}

/// The run of the folder on the server, where it was tracked before, or a new one with its settings.
fn begin(server: &Server, folder: &Path, run: &TrainingRun) -> Result<RunOnServer> {
    let file = folder.join(FILE);
    let known = std::fs::read(&file).ok();
    let known: Value =
        known.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    if known["server"] == server.address.as_str()
        && let Some(id) = known["run_id"].as_str()
        && let Some(found) = server.get("runs/get", ("run_id", id))?
    {
        let found = on_server(&found["run"]);
        if !found.ended {
            server.post("runs/update", &json!({ "run_id": id, "status": "RUNNING" }))?;
        }
        return Ok(found);
    }
    let name = std::env::var("MLFLOW_EXPERIMENT_NAME").ok().filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| EXPERIMENT.into());
    let found = server.get("experiments/get-by-name", ("experiment_name", &name))?;
    let experiment = match found {
        Some(found) => found["experiment"]["experiment_id"].clone(),
        None => {
            server.post("experiments/create", &json!({ "name": name }))?["experiment_id"].clone()
        }
    };
    let command = run.description["command"].as_str().unwrap_or_default();
    let started = run.description["started"].as_f64().unwrap_or_default() * 1e3;
    let tags = [
        ("mlflow.source.type", "LOCAL".to_owned()),
        ("mlflow.source.name", format!("singer {command}")),
        ("singer.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("singer.device", run.description["device"].as_str().unwrap_or_default().to_owned()),
    ];
    let tags: Vec<Value> = tags.map(|(key, value)| json!({ "key": key, "value": value })).to_vec();
    let made = server.post(
        "runs/create",
        &json!({ "experiment_id": experiment, "run_name": run.name, "start_time": started as i64, "tags": tags }),
    )?;
    let made = on_server(&made["run"]);
    let kept = json!({ "server": server.address, "run_id": made.id });
    write_atomically(&file, kept.to_string().as_bytes())?;
    let params: Vec<Value> = settings(run)
        .into_iter()
        .map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({ "key": key, "value": value.chars().take(LONGEST).collect::<String>() })
        })
        .collect();
    for part in params.chunks(PARAMS) {
        server.post("runs/log-batch", &json!({ "run_id": made.id, "params": part }))?;
    }
    Ok(made)
}

fn on_server(run: &Value) -> RunOnServer {
    let of = |key: &str| run["info"][key].as_str().unwrap_or_default().to_owned();
    let last = |name: &str| {
        let mut metrics = run["data"]["metrics"].as_array().into_iter().flatten();
        let metric = metrics.find(|metric| metric["key"] == name);
        // Numbers of 64 bits may come as strings.
        let step = metric.map(|metric| &metric["step"]);
        let step = step.and_then(|step| step.as_u64().or_else(|| step.as_str()?.parse().ok()));
        step.unwrap_or_default() as usize
    };
    RunOnServer {
        id: of("run_id"),
        experiment: of("experiment_id"),
        artifacts: of("artifact_uri"),
        step: last("loss"),
        paced: last("images per second"),
        ended: of("status") == "FINISHED",
    }
}
