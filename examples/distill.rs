//! Distils a small student from a teacher's refined features, in the library's own words.
//!
//! `cargo run --release --example distill [TEACHER] [IMAGES] [STEPS]`, for instance with
//! `hf-hub:facebook/dinov2-small photos/ 10000`.

use singer::run::Event;
use singer::{Device, Distill, FitSettings, Format, ImageSet, Model};

fn main() -> singer::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo-teacher.safetensors");
    let teacher = arguments.next().unwrap_or_else(|| bundled.into());
    let images = arguments.next().unwrap_or_else(|| "scenes:256".into());
    let steps = arguments.next().and_then(|steps| steps.parse().ok()).unwrap_or(40);

    let device = Device::open("auto")?;
    let teacher = Model::open(&teacher, &device)?;
    let images = ImageSet::open(&images)?; // no labels needed

    let settings = FitSettings::default().with(|s| {
        s.steps = steps;
        s.singer.rank = 16;
    });
    let adapters = singer::fit(&teacher, &images, &settings)?;
    println!("fitted adapters for blocks {:?} on {}", adapters.layers(), device.name());

    let out = std::env::temp_dir().join(format!("singer-example-{}", std::process::id()));
    let run = Distill::singer(&teacher, "vit_tiny_patch16_224")
        .adapters(adapters)
        .images(images)
        .batch(32)
        .steps(steps)
        .out(&out)
        .run(|event| {
            if let Event::Step(progress) = event {
                println!("step {}: loss {:.4}", progress.record.step, progress.record.loss);
            }
        })?;
    if let Some(norms) = run.measurements().student_norms {
        println!("the student's largest over median patch norm: {:.2}", norms.max_over_median);
    }
    let exported = run.student().export_to(Format::Onnx, out.join("student.onnx"))?;
    for (file, bytes) in exported.files {
        println!("wrote {} ({bytes} bytes)", file.display());
    }
    Ok(())
}
