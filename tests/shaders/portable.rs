use std::path::Path;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

/// WebGPU's default limits.
const INVOCATIONS: u32 = 256;
const WORKGROUP_BYTES: u32 = 16_384;
const STORAGE_BUFFERS: usize = 8;
/// What naga counts as optional and WebGPU has everywhere: `unpack2x16float`.
const BASELINE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

fn shaders() -> Vec<(String, String)> {
    let folder = Path::new("shaders");
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("shaders/ exists")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|end| end == "wgsl"))
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a readable shader"))
        })
        .collect();
    found.sort();
    found
}

fn parse(name: &str, source: &str) -> Module {
    naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)))
}

#[test]
fn there_is_a_shader_for_each_operation() {
    let names: Vec<String> = shaders().into_iter().map(|(name, _)| name).collect();
    let expected = [
        "attention",
        "colormap",
        "cosine_map",
        "gram",
        "layer_norm",
        "linear",
        "low_rank_refine",
        "norm_quantile",
        "patch_norm",
        "rotary",
        "swiglu",
        "unfold",
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_shader_is_valid_without_an_optional_feature_of_webgpu() {
    for (name, source) in shaders() {
        let module = parse(&name, &source);
        let mut validator = Validator::new(ValidationFlags::all(), BASELINE);
        if let Err(error) = validator.validate(&module) {
            panic!("{name}: {}", error.emit_to_string(&source));
        }
    }
}

#[test]
fn every_shader_keeps_within_webgpus_default_limits() {
    for (name, source) in shaders() {
        let module = parse(&name, &source);
        let mut validator = Validator::new(ValidationFlags::all(), BASELINE);
        let info = validator.validate(&module).expect("checked by another test");
        for (index, entry) in module.entry_points.iter().enumerate() {
            let which = format!("{name}.{}", entry.name);
            let invocations: u32 = entry.workgroup_size.iter().product();
            assert!(invocations <= INVOCATIONS, "{which}: {invocations} invocations");
            let uses = info.get_entry_point(index);
            let used =
                module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty());
            let (mut bytes, mut buffers) = (0, 0);
            for (_, variable) in used {
                match variable.space {
                    AddressSpace::WorkGroup => {
                        bytes += module.types[variable.ty].inner.size(module.to_ctx());
                    }
                    AddressSpace::Storage { .. } => buffers += 1,
                    _ => {}
                }
            }
            assert!(bytes <= WORKGROUP_BYTES, "{which}: {bytes} bytes of workgroup memory");
            assert!(buffers <= STORAGE_BUFFERS, "{which}: {buffers} storage buffers");
        }
    }
}

#[test]
fn every_shader_says_what_goes_in_and_comes_out() {
    for (name, source) in shaders() {
        let header: Vec<&str> = source.lines().take_while(|line| line.starts_with("//")).collect();
        let header = header.join("\n");
        assert!(header.starts_with(&format!("// {name}:")), "{name}: no title");
        for part in ["Input:", "Output:", " = "] {
            assert!(header.contains(part), "{name}: the header lacks {part}");
        }
        // Tokens by image or by row, or pixels.
        let shaped = ["[B, ", "[R, ", "[H, "].iter().any(|shape| header.contains(shape));
        assert!(shaped, "{name}: the header states no shape");
    }
}
