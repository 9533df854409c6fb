//! The program from end to end, as its user sees it: outputs, exit codes and
//! messages. Mostly on the CPU backend, with models of a few thousand parameters.

#[path = "program/checkpoints.rs"]
mod checkpoints;
#[path = "program/closed.rs"]
mod closed;
#[path = "program/data.rs"]
mod data;
#[path = "program/export.rs"]
mod export;
#[path = "program/families.rs"]
mod families;
#[path = "program/faults.rs"]
mod faults;
#[path = "program/gpu_check.rs"]
mod gpu_check;
#[path = "program/hub.rs"]
mod hub;
#[path = "program/inspect.rs"]
mod inspect;
#[path = "program/kernel_cache.rs"]
mod kernel_cache;
#[path = "program/maps.rs"]
mod maps;
#[path = "program/methods.rs"]
mod methods;
#[path = "program/namings.rs"]
mod namings;
#[path = "program/not_finite.rs"]
mod not_finite;
#[path = "program/plan.rs"]
mod plan;
#[path = "program/preprocessing.rs"]
mod preprocessing;
#[path = "program/probe.rs"]
mod probe;
#[path = "program/ranks.rs"]
mod ranks;
#[path = "program/recover.rs"]
mod recover;
#[path = "program/report.rs"]
mod report;
#[path = "program/resume.rs"]
mod resume;
#[path = "library/shards.rs"]
mod shards;
#[path = "program/shell.rs"]
mod shell;
#[path = "program/size.rs"]
mod size;
#[path = "program/software_gpu.rs"]
mod software_gpu;
#[path = "program/stream.rs"]
mod stream;
#[path = "program/study.rs"]
mod study;
#[path = "program/support.rs"]
mod support;
#[path = "program/teacher_cache.rs"]
mod teacher_cache;
#[path = "program/treatments.rs"]
mod treatments;
#[path = "program/whole.rs"]
mod whole;
