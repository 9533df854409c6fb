//! Training over the ranks of an MPI job, by the launcher `mpirun` or what `SINGER_MPIRUN` names.

use std::path::Path;
use std::process::Command;

#[cfg(not(feature = "mpi"))]
use crate::support::singer;
use crate::support::{by, distill, fail_with, metrics, succeed, teacher};

/// A training by a method whose parts weigh: clipped, with labels, and with a batch that no number
/// of ranks divides.
fn shared(command: Command, method: &str) -> Command {
    let mut command = by(command, method);
    command.args(["--set", "train.log_every=1", "--set", "train.clip=0.5"]);
    if method != "none" {
        command.args(["--set", "label_weight=0.5"]);
    }
    command.args(["--set", "train.batch=7"]);
    command
}

#[test]
fn several_devices_of_one_process_have_the_bits_of_as_many_threads() {
    let (folder, teacher) = teacher();
    for method in ["singer", "vitkd", "relational"] {
        let outs =
            ["threads", "devices"].map(|kind| folder.path().join(format!("{method}-{kind}")));
        let command = |out: &Path| shared(distill(&teacher, out, 12), method);
        succeed(command(&outs[0]).args(["--set", "train.threads=3"]));
        let mut several = command(&outs[1]);
        several.args(["--set", "train.threads=1", "--set", "device=cpu,cpu,cpu"]);
        let outcome = succeed(&mut several);
        assert!(outcome.stdout.contains("3 ranks, each with 2 or 3 images of a batch of 7"));
        assert_eq!(metrics(&outs[0]), metrics(&outs[1]), "{method}");
        let students = outs.map(|out| std::fs::read(out.join("student.safetensors")).unwrap());
        assert!(students[0] == students[1], "{method}");
    }
    let out = folder.path().join("bad");
    let mut several = distill(&teacher, &out, 2);
    fail_with(several.args(["--set", "device=cpu,gpu:99"]), &["gpu:99", "no such GPU"]);
}

#[cfg(not(feature = "mpi"))]
#[test]
#[ignore = "needs an MPI library and `--features mpi`"]
fn ranks_train_together() {}

#[cfg(not(feature = "mpi"))]
#[test]
fn without_mpi_a_launcher_is_refused_and_one_process_is_not() {
    for flags in [&["distill", "--out", "nowhere"][..], &["fit", "nowhere", "--data", "scenes:4"]] {
        let parts = ["3 processes", "built without MPI", "--features mpi"];
        fail_with(singer().args(flags).env("PMI_SIZE", "3"), &parts);
    }
    let mut command = singer();
    command.args(["distill", "--out", "nowhere"]);
    fail_with(command.env("PMI_SIZE", "1"), &["teacher"]);
}

#[cfg(feature = "mpi")]
mod mpi {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use burn::tensor::TensorData;
    use singer::weights::NamedTensors;

    use super::shared;
    use crate::support::{METHODS, Outcome, distill, metrics, run, singer, succeed, teacher, tiny};

    /// How long a job may take to end.
    const SOON: Duration = Duration::from_secs(10);

    fn threads(mut command: Command, count: usize) -> Command {
        command.args(["--set", &format!("train.threads={count}")]);
        command
    }

    /// The command on several ranks of a thread each; more of them than cores, too.
    fn mpirun(command: &Command, ranks: usize) -> Command {
        jobs(&[(ranks, None, command)])
    }

    /// Several commands as one job: ranks and working folder of each.
    fn jobs(parts: &[(usize, Option<&Path>, &Command)]) -> Command {
        let launcher = std::env::var("SINGER_MPIRUN").unwrap_or_else(|_| "mpirun".into());
        let mut job = Command::new(launcher);
        for (place, (ranks, folder, command)) in parts.iter().enumerate() {
            if place > 0 {
                job.arg(":");
            }
            job.arg("-n").arg(ranks.to_string());
            if let Some(folder) = folder {
                job.arg("-wdir").arg(folder);
            }
            job.arg(command.get_program()).args(command.get_args());
            if command.get_args().next() != Some("fit".as_ref()) {
                job.args(["--set", "train.threads=1"]);
            }
        }
        // What Open MPI 4 and 5 ask for as root and with more ranks than cores.
        job.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        job.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        job.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
        job
    }

    /// What singer itself said on stderr.
    fn said(outcome: &Outcome) -> Vec<&str> {
        outcome.stderr.lines().filter(|line| line.starts_with("singer:")).collect()
    }

    fn refused(job: &mut Command, parts: &[&str]) {
        let since = Instant::now();
        let outcome = run(job);
        assert!(since.elapsed() < Duration::from_secs(30), "{}", outcome.stderr);
        assert_ne!(outcome.code, Some(0));
        let said = said(&outcome);
        assert_eq!(said.len(), 1, "{}", outcome.stderr);
        for part in parts {
            assert!(said[0].contains(part), "{:?} lacks {part:?}", said[0]);
        }
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    }

    fn tensors(out: &Path, file: &str) -> BTreeMap<String, TensorData> {
        NamedTensors::read(&out.join(file)).unwrap().tensors
    }

    fn same_run(one: &Path, other: &Path, what: &str) {
        let lines = |out: &Path| fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        assert_eq!(lines(one), lines(other), "{what}");
        for file in ["student.safetensors", "checkpoint.safetensors", "singer.safetensors"] {
            let there = one.join(file).exists();
            assert_eq!(there, other.join(file).exists(), "{what}: {file}");
            if there {
                assert!(tensors(one, file) == tensors(other, file), "{what}: {file}");
            }
        }
    }

    #[test]
    fn ranks_compute_the_bits_of_as_many_threads_by_every_method() {
        let (folder, teacher) = teacher();
        for method in METHODS {
            for count in [2, 3, 4] {
                let out = |kind: &str| folder.path().join(format!("{method}-{kind}-{count}"));
                let (alone, together) = (out("threads"), out("ranks"));
                succeed(&mut threads(shared(distill(&teacher, &alone, 20), method), count));
                let command = shared(distill(&teacher, &together, 20), method);
                succeed(&mut mpirun(&command, count));
                assert_eq!(metrics(&together).len(), 20, "{method}");
                same_run(&alone, &together, &format!("{method} on {count} ranks"));
            }
        }
    }

    #[test]
    fn micro_batches_recomputation_and_several_threads_of_a_rank_change_nothing_but_rounding() {
        let (folder, teacher) = teacher();
        let ways: [&[&str]; 3] = [
            &["--set", "train.accumulate=2"],
            &["--set", "train.recompute=true"],
            &["--set", "train.threads=2"],
        ];
        for (place, way) in ways.into_iter().enumerate() {
            let out = |kind: &str| folder.path().join(format!("{kind}-{place}"));
            let (alone, together) = (out("threads"), out("ranks"));
            let command = |out: &Path| {
                let mut command = shared(distill(&teacher, out, 3), "singer/published");
                command.args(way);
                command
            };
            succeed(&mut threads(command(&alone), 2));
            let mut job = mpirun(&command(&together), 2);
            succeed(job.args(way));
            match place {
                // Each rank adds up its threads first.
                2 => {
                    let losses =
                        [&alone, &together].map(|out| metrics(out)[0]["loss"].as_f64().unwrap());
                    assert!((losses[0] - losses[1]).abs() <= 1e-5 * losses[0], "{losses:?}");
                }
                _ => same_run(&alone, &together, &format!("{way:?}")),
            }
        }
    }

    #[test]
    fn loss_and_gradients_are_those_of_one_part() {
        let (folder, teacher) = teacher();
        for method in ["singer/published", "vitkd"] {
            let out = |kind: &str| folder.path().join(format!("{method}-{kind}"));
            let command = |kind: &str, lr: &str| {
                let command = shared(distill(&teacher, &out(kind), 1), method);
                let mut command = threads(command, 1);
                // With SGD and a rate of 1 the step is the gradient.
                command.args(["--set", "optimizer={name=\"sgd\",lr=1.0}", "--lr", lr]);
                command.args(["--set", "schedule={name=\"constant\"}", "--set", "train.clip=1e9"]);
                command
            };
            succeed(&mut command("start", "0"));
            succeed(&mut command("one", "1"));
            succeed(&mut mpirun(&command("ranks", "1"), 3));
            let loss = |kind: &str| metrics(&out(kind))[0]["loss"].as_f64().unwrap();
            assert!((loss("one") - loss("ranks")).abs() <= 1e-5 * loss("one"), "{method}");
            let state = |kind: &str| tensors(&out(kind), "checkpoint.safetensors");
            let (start, one, ranks) = (state("start"), state("one"), state("ranks"));
            let distance = |a: &TensorData, b: &TensorData| {
                let pairs = a.iter::<f64>().zip(b.iter::<f64>());
                pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
            };
            let parameters = one.keys().filter(|name| name.starts_with("model."));
            let (mut size, mut off) = (0.0, 0.0);
            for name in parameters {
                size += distance(&one[name], &start[name]);
                off += distance(&one[name], &ranks[name]);
            }
            assert!(size > 0.0 && off <= 1e-4 * size, "{method}: {off:e} of {size:e}");
        }
    }

    #[test]
    fn rank_0_alone_writes_and_prints() {
        let (folder, teacher) = teacher();
        let here: Vec<PathBuf> = (0..3).map(|rank| folder.path().join(rank.to_string())).collect();
        here.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let command = shared(distill(&teacher, Path::new("run"), 4), "singer");
        let parts: Vec<_> =
            here.iter().map(|folder| (1, Some(folder.as_path()), &command)).collect();
        let outcome = succeed(&mut jobs(&parts));
        let lines =
            |start: &str| outcome.stdout.lines().filter(|line| line.starts_with(start)).count();
        // The student and the report.
        assert_eq!([lines("step "), lines("wrote "), lines("distilling ")], [4, 2, 1]);
        assert!(outcome.stdout.contains("3 ranks, each with 2 or 3 images of a batch of 7"));
        assert_eq!(metrics(&here[0].join("run")).len(), 4);
        assert!(!here[1].join("run").exists() && !here[2].join("run").exists());
    }

    #[test]
    fn other_settings_of_a_rank_are_refused_before_anything_is_written() {
        let (folder, teacher) = teacher();
        let out = folder.path().join("run");
        let command = |flags: [&str; 2]| {
            let mut command = shared(distill(&teacher, &out, 4), "fitnet");
            command.args(flags);
            command
        };
        let usual = command(["--seed", "0"]);
        for (other, name) in
            [(["--seed", "1"], "(seed: 1 and not 0)"), (["--lr", "0.5"], "(optimizer.lr: 0.5")]
        {
            let other = command(other);
            refused(
                &mut jobs(&[(1, None, &usual), (1, None, &other)]),
                &["rank 1 has other settings", name],
            );
            assert!(!out.exists());
        }
        let fewer = command(["--set", "train.batch=2"]);
        refused(&mut mpirun(&fewer, 3), &["batch is 2", "3 ranks", "--batch"]);
    }

    #[test]
    fn an_error_on_one_rank_ends_all_with_one_message_that_names_it() {
        let (folder, teacher) = teacher();
        let here: Vec<PathBuf> = (0..2).map(|rank| folder.path().join(rank.to_string())).collect();
        here.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let out = folder.path().join("run");
        let of_rank = Path::new("teacher.safetensors");
        let job = |out: &Path| {
            let command = shared(distill(of_rank, out, 30), "fitnet");
            jobs(&[(1, Some(&here[0]), &command), (1, Some(&here[1]), &command)])
        };
        // Its teacher is missing.
        fs::copy(&teacher, here[0].join(of_rank)).unwrap();
        refused(&mut job(&out), &["rank 1: ", "teacher.safetensors"]);
        // Its teacher overflows.
        let mut tensors = NamedTensors::read(&teacher).unwrap();
        let weight = tensors.tensors.get_mut("blocks.1.mlp.fc2.weight").unwrap();
        let huge: Vec<f32> = weight.iter::<f32>().map(|value| 3e38 * value.signum()).collect();
        *weight = TensorData::new(huge, weight.shape().to_vec());
        tensors.write(&here[1].join(of_rank)).unwrap();
        let out = folder.path().join("overflow");
        refused(&mut job(&out), &["rank 1: step 1: the features loss is"]);
        assert!(out.join("not-finite-step-1.safetensors").exists());
    }

    #[test]
    fn unreadable_images_count_over_all_ranks() {
        let (folder, teacher) = teacher();
        let data = folder.path().join("images");
        fs::create_dir(&data).unwrap();
        for number in 0..40_u8 {
            let image = image::RgbImage::from_pixel(20, 20, image::Rgb([6 * number; 3]));
            image.save(data.join(format!("{number:02}.png"))).unwrap();
        }
        fs::write(data.join("11.png"), b"damaged").unwrap();
        let command = |name: &str, share: &str| {
            let usual = shared(distill(&teacher, &folder.path().join(name), 12), "fitnet");
            let mut command = Command::new(usual.get_program());
            let place = |arg| if arg == "scenes:64" { data.as_os_str() } else { arg };
            command.args(usual.get_args().map(place));
            command.args(["--set", "label_weight=0", "--set"]);
            command.arg(format!("data.max_unreadable={share}"));
            command
        };
        // One of forty is passed over, wherever it is.
        succeed(&mut threads(command("threads", "0.03"), 3));
        let outcome = succeed(&mut mpirun(&command("ranks", "0.03"), 3));
        assert!(outcome.stdout.contains("1 of 40 images was unreadable"), "{}", outcome.stdout);
        same_run(&folder.path().join("threads"), &folder.path().join("ranks"), "one unreadable");
        refused(&mut mpirun(&command("none", "0"), 3), &["rank ", "11.png"]);
        // Two are too many together, also where no rank has more than one.
        fs::write(data.join("23.png"), b"damaged").unwrap();
        refused(&mut mpirun(&command("two", "0.03"), 3), &["2 of 40 images are unreadable"]);
    }

    /// A job that is under way.
    struct Job {
        launcher: Child,
        /// What all its processes have in their environment.
        mark: String,
        stdout: PathBuf,
    }

    impl Job {
        fn start(job: &mut Command, out: &Path) -> Self {
            let mark = format!("SINGER_TEST_JOB={}", out.display());
            let (name, value) = mark.split_once('=').unwrap();
            let stdout = out.with_extension("stdout");
            job.env(name, value).stdout(fs::File::create(&stdout).unwrap()).stderr(Stdio::piped());
            let launcher = job.spawn().unwrap();
            let steps = || fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
            let since = Instant::now();
            while !(out.join("checkpoint.safetensors").exists() && steps().lines().count() > 4) {
                assert!(since.elapsed() < Duration::from_secs(60), "no step in a minute");
                std::thread::sleep(Duration::from_millis(20));
            }
            Self { launcher, mark, stdout }
        }

        /// The ranks' processes by rank.
        fn processes(&self) -> BTreeMap<usize, u32> {
            let mut found = BTreeMap::new();
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
                let variables: Vec<_> = environment.split(|&byte| byte == 0).collect();
                let value = |name: &str| {
                    let found = variables.iter().find_map(|one| one.strip_prefix(name.as_bytes()));
                    found.map(|value| String::from_utf8_lossy(value).into_owned())
                };
                let rank = value("OMPI_COMM_WORLD_RANK=").or_else(|| value("PMI_RANK="));
                let ours = variables.contains(&self.mark.as_bytes());
                let id = entry.file_name().to_string_lossy().parse();
                if let (true, Some(rank), Ok(id)) = (ours, rank, id) {
                    found.insert(rank.parse().unwrap(), id);
                }
            }
            found
        }

        fn signal(&self, rank: usize, signal: &str) {
            let id = self.processes()[&rank].to_string();
            assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        }

        /// Waits for the end, which must come soon and leave no process.
        fn ends(self) -> Outcome {
            let since = Instant::now();
            let Self { launcher, mark, stdout } = self;
            let output = launcher.wait_with_output().unwrap();
            assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
            let launcher = Command::new("true").spawn().unwrap();
            let none = Self { launcher, mark, stdout };
            // A process that the launcher has just killed may be listed for another moment.
            while !none.processes().is_empty() && since.elapsed() < SOON {
                std::thread::sleep(Duration::from_millis(20));
            }
            let left = none.processes();
            assert!(left.is_empty(), "{left:?} live on");
            Outcome {
                code: output.status.code(),
                stdout: fs::read_to_string(&none.stdout).unwrap(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        }
    }

    /// Enough steps that a job does not end by itself, and a checkpoint at each.
    fn long(teacher: &Path, out: &Path, steps: usize) -> Command {
        let mut command = shared(distill(teacher, out, steps), "singer");
        command.args(["--set", "train.checkpoint_every=1", "--set", "schedule.name=constant"]);
        command
    }

    /// Shows that a stopped or killed run goes on to the end of one that was not.
    fn goes_on(command: &Command, ranks: usize, out: &Path) {
        let mut job = mpirun(command, ranks);
        job.arg("--resume");
        let outcome = succeed(&mut job);
        let note = said(&outcome).into_iter().any(|line| line.contains("ranks was 4, now"));
        assert_eq!(note, ranks != 4, "{}", outcome.stderr);
        let steps: Vec<_> =
            metrics(out).iter().map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_dead_rank_ends_the_job_and_the_run_goes_on_to_the_same_bits() {
        let (folder, teacher) = teacher();
        let (whole, out) = (folder.path().join("whole"), folder.path().join("killed"));
        let steps = 400;
        succeed(&mut threads(long(&teacher, &whole, steps), 4));
        let command = long(&teacher, &out, steps);
        let job = Job::start(&mut mpirun(&command, 4), &out);
        job.signal(3, "-KILL");
        let outcome = job.ends();
        assert_ne!(outcome.code, Some(0));
        assert!(!out.join("student.safetensors").exists(), "killed too late");
        // What the launcher says: Open MPI names the rank; MPICH, on stdout, what became of it.
        let said = outcome.stdout + &outcome.stderr;
        assert!(said.contains("rank 3") || said.contains("EXIT CODE: 9"), "{said}");
        // On fewer ranks, each with a copy.
        for ranks in [2, 1] {
            let copy = folder.path().join(format!("on-{ranks}"));
            fs::create_dir(&copy).unwrap();
            for file in
                ["checkpoint.safetensors", "metrics.jsonl", "run.json", "closed-form.safetensors"]
            {
                if out.join(file).exists() {
                    fs::copy(out.join(file), copy.join(file)).unwrap();
                }
            }
            goes_on(&long(&teacher, &copy, steps), ranks, &copy);
        }
        goes_on(&command, 4, &out);
        same_run(&whole, &out, "killed and resumed");
    }

    #[test]
    fn a_signal_to_one_rank_stops_all_after_the_same_step() {
        let (folder, teacher) = teacher();
        for rank in [0, 2] {
            let out = folder.path().join(format!("stopped-{rank}"));
            let job = Job::start(&mut mpirun(&long(&teacher, &out, 1_000_000), 3), &out);
            job.signal(rank, "-TERM");
            let outcome = job.ends();
            assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
            let checkpoint = NamedTensors::read(&out.join("checkpoint.safetensors")).unwrap();
            let step: usize = checkpoint.metadata["singer.step"].parse().unwrap();
            assert_eq!(metrics(&out).len(), step);
        }
    }

    #[test]
    fn a_fit_has_the_bits_of_as_many_threads_and_rank_0_alone_writes_it() {
        let (folder, teacher) = teacher();
        // The last batch has fewer images than there are ranks.
        let command = |out: &Path, flags: &[&str]| {
            let mut command = singer();
            command.arg("fit").arg(&teacher).args(["--data", "scenes:34", "--device", "cpu"]);
            command.args(flags).arg("--out").arg(out);
            command
        };
        let trained = |kind: &'static str, threads: &'static str| {
            ["--kind", kind, "--rank", "4", "--layers", "1", "--steps", "7", "--threads", threads]
        };
        for kind in ["published", "trained"] {
            let out = |how: &str| folder.path().join(format!("{kind}-{how}.safetensors"));
            succeed(&mut command(&out("threads"), &trained(kind, "3")));
            let outcome = succeed(&mut mpirun(&command(&out("ranks"), &trained(kind, "1")), 3));
            let wrote = outcome.stdout.lines().filter(|line| line.starts_with("wrote ")).count();
            // The adapters and the report.
            assert_eq!(wrote, 2, "{}", outcome.stdout);
            let files = ["threads", "ranks"].map(|how| fs::read(out(how)).unwrap());
            assert!(files[0] == files[1], "{kind}");
        }
        // The closed form is estimated by one rank for all.
        let [alone, together] = ["alone", "together"].map(|name| folder.path().join(name));
        succeed(&mut command(&alone, &[]));
        let outcome = succeed(&mut mpirun(&command(&together, &[]), 2));
        assert_eq!(outcome.stdout.matches("wrote ").count(), 2, "{}", outcome.stdout);
        assert!(fs::read(&alone).unwrap() == fs::read(&together).unwrap());
        let usual = command(&together, &trained("trained", "1"));
        let other = command(&together, &trained("published", "1"));
        let job = &mut jobs(&[(1, None, &usual), (1, None, &other)]);
        refused(job, &["rank 1 has other settings", "kind"]);
    }

    #[test]
    fn supervised_training_has_the_bits_of_as_many_threads() {
        let folder = tempfile::tempdir().unwrap();
        let command = |out: &Path| {
            let mut command = singer();
            command.args(["pretrain", "--model", "vit_tiny_patch16_224", "--data", "scenes:32"]);
            command.args(["--val", "scenes:32-48", "--batch", "8", "--steps", "6", "--clip", "1"]);
            command.args(["--set", "train.log_every=1", "--device", "cpu", "--out"]).arg(out);
            command.args(tiny("model"));
            command
        };
        let (alone, together) = (folder.path().join("threads"), folder.path().join("ranks"));
        succeed(&mut threads(command(&alone), 3));
        succeed(&mut mpirun(&command(&together), 3));
        same_run(&alone, &together, "pretrain");
        let models = [&alone, &together].map(|out| tensors(out, "model.safetensors"));
        assert!(models[0] == models[1]);
    }
}
