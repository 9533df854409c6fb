//! Autotune without the wait: the first kernel that works.
//!
//! Autotune compiles and times the kernels that could compute a shape until one comes close to what the
//! device can do. Drivers take 0.4 to 4 seconds to compile each, so a step's shapes take minutes on an H100,
//! and the first kernel was within 1.3 times of the best for most of them. Told that the device can do
//! next to nothing, autotune takes the first kernel that works.

use std::time::Duration;

use burn::tensor::Device;
use cubecl::ir::{ElemType, FloatKind, IntKind, UIntKind};
use cubecl::throughput::{
    CmmaDims, ComputeCmmaConfig, MemoryAccess, MemorySpec, ThroughputKey, ThroughputMode,
    ThroughputValue, working_set_sweep,
};

use crate::error::Result;
use crate::interop;

/// The largest working set, in bytes, whose bandwidth is stated.
const LARGEST: u64 = 1 << 40;

/// Has autotune take the first kernel that works on `device`, from the next operation on.
pub(super) fn take(device: &Device) -> Result<()> {
    let client = interop::client(device)?;
    let elements = [
        ElemType::Float(FloatKind::BF16),
        ElemType::Float(FloatKind::F16),
        ElemType::Float(FloatKind::F32),
        ElemType::Float(FloatKind::F64),
        ElemType::Int(IntKind::I32),
        ElemType::Int(IntKind::I64),
        ElemType::UInt(UIntKind::U32),
        ElemType::UInt(UIntKind::U64),
    ];
    let compute = elements.into_iter().map(|dtype| ThroughputMode::ComputeDirect { dtype });
    let matrices = client.properties().features.matmul.cmma.iter().map(|shape| {
        let (m, n, k) = (shape.m as usize, shape.n as usize, shape.k as usize);
        let config =
            ComputeCmmaConfig { accumulator_type: shape.cd_type, cmma_dims: CmmaDims { m, n, k } };
        ThroughputMode::ComputeCmma { dtype: shape.a_type, config }
    });
    let memory = working_set_sweep(LARGEST)
        .into_iter()
        .map(|bytes| ThroughputMode::Memory(MemorySpec::new(MemoryAccess::Copy, bytes)));
    // One operation a second: every kernel is faster.
    let slow = ThroughputValue { ops_count: 1, duration: Duration::from_secs(1) };
    for mode in compute.chain(matrices).chain(memory).chain([ThroughputMode::Launch]) {
        // The value enters the device's table unless something measured it before.
        let _ = client.measure_throughput(ThroughputKey { mode }, || Ok(slow));
    }
    Ok(())
}
