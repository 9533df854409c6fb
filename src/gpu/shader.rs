//! A shader's text, variant, constants and parameters, declared in one place.

use std::marker::PhantomData;

use super::compose::Source;

/// One compute pipeline: an entry point of a file of `shaders/` in one of its variants,
/// and the type of its parameters.
pub(super) struct Shader<P> {
    pub(super) source: Source,
    params: PhantomData<fn(&P)>,
}

impl<P: Params> Shader<P> {
    /// `source` without its parameters, which are those of P.
    pub(super) const fn new(source: Source) -> Self {
        Self { source: Source { params: P::FIELDS, ..source }, params: PhantomData }
    }
}

/// `shader!("file", "entry_point", [flags], [constants])`: the flags choose a variant by
/// `#ifdef`; the constants, Rust's of the same names, are what `#host` asks for.
macro_rules! shader {
    ($file:literal, $entry:literal, [$($flag:ident),*], [$($constant:ident),*]) => {
        $crate::gpu::shader::Shader::new($crate::gpu::compose::Source {
            label: concat!($file, ".", $entry $(, "+", stringify!($flag))*),
            file: concat!("shaders/", $file, ".wgsl"),
            text: include_str!(concat!("../../shaders/", $file, ".wgsl")),
            entry: $entry,
            flags: &[$(stringify!($flag)),*],
            constants: &[$((stringify!($constant), $constant as u32)),*],
            params: &[],
        })
    };
}
pub(super) use shader;

/// A struct of parameters, laid out like `Params` in its shader.
pub(super) trait Params: bytemuck::NoUninit {
    /// Its members.
    const FIELDS: &'static [Field];
}

/// A member of a struct of parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) offset: usize,
    pub(super) kind: Kind,
}

/// What a member holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    U32,
    F32,
    Struct(&'static [Field]),
}

/// A type that a member can have.
pub(super) trait Member {
    const KIND: Kind;
}

impl Member for u32 {
    const KIND: Kind = Kind::U32;
}

impl Member for f32 {
    const KIND: Kind = Kind::F32;
}

/// Defines a struct of parameters and lists its members, so that a test can compare them
/// with the shader's (`tests/shaders/portable.rs`).
macro_rules! params {
    ($(#[$about:meta])* $visibility:vis struct $name:ident {
        $($(#[$of_field:meta])* $field_visibility:vis $field:ident: $type:ty,)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, bytemuck::NoUninit)]
        #[repr(C)]
        $visibility struct $name {
            $($(#[$of_field])* $field_visibility $field: $type,)*
        }

        impl $crate::gpu::shader::Params for $name {
            const FIELDS: &'static [$crate::gpu::shader::Field] = &[$(
                $crate::gpu::shader::Field {
                    name: stringify!($field),
                    offset: std::mem::offset_of!($name, $field),
                    kind: <$type as $crate::gpu::shader::Member>::KIND,
                },
            )*];
        }

        impl $crate::gpu::shader::Member for $name {
            const KIND: $crate::gpu::shader::Kind = $crate::gpu::shader::Kind::Struct(
                <Self as $crate::gpu::shader::Params>::FIELDS,
            );
        }
    };
}
pub(super) use params;
