//! Every shader of the table, composed as the device gets it and read by naga.

use std::collections::BTreeSet;
use std::path::Path;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, Module, ScalarKind, ShaderStage, Type, TypeInner};
use singer::gpu::{ParamField, ShaderText, shaders};

/// What naga counts as optional and WebGPU has everywhere: `unpack2x16float`.
const BASELINE: Capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;

fn all() -> Vec<ShaderText> {
    shaders().unwrap_or_else(|error| panic!("{error}"))
}

/// Fails with the file and the line that a shader's author wrote.
fn validated(shader: &ShaderText) -> (Module, ModuleInfo) {
    let failed = |at: Option<naga::SourceLocation>, message: String| -> ! {
        let line = at.map_or(0, |at| at.line_number as usize);
        let (file, line) = shader.origin(line).unwrap_or((shader.file, 0));
        panic!("{file}:{line} (in {}): {message}", shader.label)
    };
    let wgsl = &shader.wgsl;
    let module = naga::front::wgsl::parse_str(wgsl)
        .unwrap_or_else(|error| failed(error.location(wgsl), error.emit_to_string(wgsl)));
    let info = Validator::new(ValidationFlags::all(), BASELINE)
        .validate(&module)
        .unwrap_or_else(|error| failed(error.location(wgsl), error.emit_to_string(wgsl)));
    (module, info)
}

#[test]
fn every_shader_is_valid_without_an_optional_feature_of_webgpu() {
    for shader in all() {
        let (module, _) = validated(&shader);
        let found = module.entry_points.iter().any(|entry| entry.name == shader.entry_point);
        assert!(found, "{}: there is no entry point {}", shader.label, shader.entry_point);
    }
}

#[test]
fn every_shader_keeps_within_webgpus_default_limits() {
    let limits = wgpu::Limits::default();
    for shader in all() {
        let (module, info) = validated(&shader);
        let entries = || module.entry_points.iter().enumerate();
        let (index, entry) = entries().find(|(_, entry)| entry.name == shader.entry_point).unwrap();
        let label = shader.label;
        let invocations: u32 = entry.workgroup_size.iter().product();
        let most = limits.max_compute_invocations_per_workgroup;
        assert!(invocations <= most, "{label}: {invocations} invocations");
        let uses = info.get_entry_point(index);
        let used = module.global_variables.iter().filter(|(handle, _)| !uses[*handle].is_empty());
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
        let most = limits.max_compute_workgroup_storage_size;
        assert!(bytes <= most, "{label}: {bytes} bytes of workgroup memory");
        let most = limits.max_storage_buffers_per_shader_stage;
        assert!(buffers <= most, "{label}: {buffers} storage buffers");
    }
}

/// The numbers of a struct, those of structs within it one by one.
fn members(module: &Module, ty: Handle<Type>, within: &str, base: usize) -> Vec<ParamField> {
    let TypeInner::Struct { members: found, .. } = &module.types[ty].inner else {
        panic!("{within}: not a struct");
    };
    let mut fields = Vec::new();
    for member in found {
        let name = format!("{within}{}", member.name.as_deref().unwrap_or_default());
        let offset = base + member.offset as usize;
        let kind = match &module.types[member.ty].inner {
            TypeInner::Scalar(scalar) if (scalar.kind, scalar.width) == (ScalarKind::Uint, 4) => {
                "u32"
            }
            TypeInner::Scalar(scalar) if (scalar.kind, scalar.width) == (ScalarKind::Float, 4) => {
                "f32"
            }
            TypeInner::Struct { .. } => {
                fields.extend(members(module, member.ty, &format!("{name}."), offset));
                continue;
            }
            other => panic!("{name}: {other:?}, which no struct of the host has"),
        };
        fields.push(ParamField { name, offset, kind });
    }
    fields
}

#[test]
fn parameters_lie_where_the_shader_reads_them() {
    for shader in all() {
        let (module, _) = validated(&shader);
        let mut uniforms = module
            .global_variables
            .iter()
            .filter(|(_, variable)| variable.space == AddressSpace::Uniform);
        let (_, params) = uniforms.next().unwrap_or_else(|| panic!("{}: no Params", shader.label));
        assert!(uniforms.next().is_none(), "{}: two uniforms", shader.label);
        let binding = params.binding.as_ref().map(|binding| (binding.group, binding.binding));
        assert_eq!(binding, Some((0, 0)), "{}", shader.label);
        assert_eq!(shader.params, members(&module, params.ty, "", 0), "{}", shader.label);
    }
}

#[test]
fn every_file_is_used_and_every_entry_point_of_it_is_in_the_table() {
    let all = all();
    let labels: BTreeSet<&str> = all.iter().map(|shader| shader.label).collect();
    assert_eq!(labels.len(), all.len(), "two shaders of one label");
    for folder in ["shaders", "shaders/shared"] {
        let files = std::fs::read_dir(Path::new(folder)).expect("a folder").map(|entry| {
            let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
            format!("{folder}/{name}")
        });
        for file in files.filter(|file| file.ends_with(".wgsl")) {
            let lines_of = |shader: &&ShaderText| {
                (1..=shader.wgsl.lines().count())
                    .any(|line| shader.origin(line).is_some_and(|(from, _)| from == file))
            };
            let users: Vec<&ShaderText> = all.iter().filter(lines_of).collect();
            assert!(!users.is_empty(), "{file}: no shader of the table uses it");
            let run: BTreeSet<&str> = users.iter().map(|shader| shader.entry_point).collect();
            for shader in users {
                let module = validated(shader).0;
                for entry in module.entry_points {
                    assert_eq!(entry.stage, ShaderStage::Compute);
                    let name = entry.name.as_str();
                    assert!(run.contains(name), "{file}: {name} is not in the table");
                }
            }
        }
    }
}
