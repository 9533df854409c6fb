use crate::support::{fail_with, singer, succeed, tiny};

/// Trains, distils, measures and inspects a family at a few thousand
/// parameters, from its published name.
fn whole(arch: &str, extra: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let teacher = folder.path().join("teacher/model.safetensors");
    let student = folder.path().join("run/student.safetensors");
    let settings = |role: &str| -> Vec<String> {
        let extra = extra.iter().flat_map(|set| ["--set".to_owned(), format!("{role}.{set}")]);
        tiny(role).into_iter().chain(extra).collect()
    };
    succeed(
        singer()
            .args(["pretrain", "--model", arch, "--data", "scenes:16", "--batch", "8"])
            .args(["--steps", "1", "--device", "cpu", "--out"])
            .arg(folder.path().join("teacher"))
            .args(settings("model")),
    );
    succeed(
        singer()
            .args(["distill", "--student", arch, "--data", "scenes:16", "--batch", "8"])
            .args(["--steps", "2", "--device", "cpu", "--layers", "1", "--rank", "4"])
            .args(["--refine", "published", "--out"])
            .arg(folder.path().join("run"))
            .arg("--teacher")
            .arg(&teacher)
            .args(settings("student")),
    );
    for weights in [&teacher, &student] {
        let outcome = succeed(singer().arg("evaluate").arg(weights).args([
            "--train",
            "scenes:16",
            "--test",
            "scenes:8",
            "--device",
            "cpu",
            "--json",
        ]));
        let report: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert!((0.0..=1.0).contains(&report["knn_top1"].as_f64().unwrap()));
    }
    let out = folder.path().join("look");
    succeed(
        singer()
            .args(["inspect", "scenes:3", "--inject", "--training-free", "--device", "cpu"])
            .arg("--run")
            .arg(folder.path().join("run"))
            .arg("--out")
            .arg(&out),
    );
    let findings = std::fs::read_to_string(out.join("inspect.json")).unwrap();
    let findings: serde_json::Value = serde_json::from_str(&findings).unwrap();
    let injections = findings["injections"].as_array().unwrap();
    assert!(!injections.is_empty());
    for injection in injections {
        for cosine in ["class_cosine", "patch_cosine"] {
            assert!(injection[cosine].as_f64().unwrap() > -1.001, "{cosine} in {injection}");
        }
    }
}

#[test]
fn clip_goes_through_the_whole_program() {
    whole("vit_base_patch16_clip_quickgelu_224.openai", &[]);
}

#[test]
fn siglip_goes_through_the_whole_program_without_a_class_token() {
    whole("vit_base_patch16_siglip_224", &[]);
}

#[test]
fn dinov2_giant_goes_through_the_whole_program_with_registers_and_gates() {
    whole("vit_giant_patch14_reg4_dinov2", &["mlp_ratio=4"]);
}

#[test]
fn dinov3_goes_through_the_whole_program_with_rotary_positions() {
    whole("vit_small_patch16_dinov3_qkvb", &[]);
}

#[test]
fn perception_encoder_goes_through_the_whole_program_with_both_kinds_of_positions() {
    whole("vit_pe_core_base_patch16_224", &[]);
}

#[test]
fn eva02_goes_through_the_whole_program_with_a_norm_on_the_pooled_vector() {
    whole("eva02_base_patch14_224", &["mlp_ratio=4"]);
}

#[test]
fn tipsv2_and_franca_go_through_the_whole_program() {
    whole("vit_base_patch14_reg1_tipsv2", &[]);
    whole("franca_vitb14", &["mlp_ratio=4"]);
}

#[test]
fn c_radio_goes_through_the_whole_program_without_a_last_norm() {
    whole("vit_so400m_patch16_radio_v4", &[]);
}

#[test]
fn a_teacher_without_class_token_wants_such_a_student() {
    let folder = tempfile::tempdir().unwrap();
    succeed(
        singer()
            .args(["pretrain", "--model", "vit_base_patch16_siglip_224", "--data", "scenes:8"])
            .args(["--batch", "8", "--steps", "1", "--device", "cpu", "--out"])
            .arg(folder.path())
            .args(tiny("model")),
    );
    fail_with(
        singer()
            .args(["distill", "--student", "vit_tiny_patch16_224", "--data", "scenes:8"])
            .args(["--device", "cpu", "--teacher"])
            .arg(folder.path().join("model.safetensors")),
        &["0 prefix", "class token"],
    );
}

#[test]
fn models_are_listed_and_a_filter_without_one_says_so() {
    let outcome = succeed(singer().args(["models", "siglip", "--json"]));
    let models: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let models = models.as_array().unwrap();
    assert!(models.len() > 20);
    assert!(models.iter().all(|model| model["parameters"].as_u64().unwrap() > 80_000_000));
    let outcome = succeed(singer().args(["models", "dinov2"]));
    assert!(outcome.stdout.contains("vit_giant_patch14_reg4_dinov2"), "{}", outcome.stdout);
    fail_with(singer().args(["models", "resnet"]), &["resnet"]);
}
