use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::job::Job;
use super::plan::Plan;
use crate::error::Error;

/// How the jobs went.
pub(super) struct Ran {
    pub(super) failures: Vec<Error>,
    pub(super) left: usize,
}

/// Does the jobs, one at a time on each device. A failed one does not keep the
/// others from being done; after Ctrl-C no new one is begun.
pub(super) fn run(plan: &Plan, jobs: &[Job], stop: &AtomicBool) -> Ran {
    let count = jobs.len();
    let open: VecDeque<(usize, &Job)> =
        jobs.iter().enumerate().filter(|(_, job)| !job.is_done(&plan.probes)).collect();
    say!("{} of {count} jobs are done already", count - open.len());
    let queue = Mutex::new(open);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for device in &plan.devices {
            let (queue, failures) = (&queue, &failures);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let next = locked(queue).pop_front();
                    let Some((index, job)) = next else { break };
                    let title = job.title();
                    say!("[{}/{count}] {title}: begins on {device}", index + 1);
                    let start = Instant::now();
                    match job.work(&plan.probes, device) {
                        Ok(()) => {
                            let minutes = start.elapsed().as_secs_f64() / 60.0;
                            say!("[{}/{count}] {title}: done in {minutes:.1} min", index + 1);
                        }
                        Err(_) if stop.load(Ordering::Relaxed) => {
                            locked(queue).push_front((index, job));
                        }
                        Err(error) => {
                            note!("[{}/{count}] failed: {error}", index + 1);
                            locked(failures).push(error);
                        }
                    }
                }
            });
        }
    });
    let left = locked(&queue).len();
    let failures = failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ran { failures, left }
}

/// A panicking thread leaves the list as it was, so it can still be used.
fn locked<T>(list: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    list.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
