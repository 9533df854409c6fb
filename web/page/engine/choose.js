/** Whether to compute on the GPU, by a short measurement. */

/** Side of the matrices that are multiplied, and rows that are multiplied on the CPU. */
const [SIDE, ROWS] = [256, 32];
/** How many times as fast as this loop the engine's own products are on the CPU, which are written for SIMD. */
const SIMD = 5;

const KERNEL = `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3u) {
    var sum = 0.0;
    for (var k = 0u; k < ${SIDE}u; k += 1u) {
        sum += a[at.y * ${SIDE}u + k] * a[k * ${SIDE}u + at.x];
    }
    b[at.y * ${SIDE}u + at.x] = sum;
}`;

/** Whether there is WebGPU, and it multiplies matrices sooner than the CPU: a software rasteriser does not. */
export async function prefersGpu() {
    try {
        const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
        const device = await adapter.requestDevice();
        const gpu = await onGpu(device);
        device.destroy();
        return gpu < (onCpu() * SIDE) / ROWS / SIMD;
    } catch {
        // No WebGPU, or one that does not compute.
        return false;
    }
}

/** Milliseconds of a product on the GPU, without the way there and back. */
async function onGpu(device) {
    const bytes = 4 * SIDE * SIDE;
    const buffer = (usage) => device.createBuffer({ size: bytes, usage });
    const [a, b] = [buffer(GPUBufferUsage.STORAGE), buffer(GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC)];
    const read = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const module = device.createShaderModule({ code: KERNEL });
    const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
    const entries = [a, b].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    const multiply = async (sides) => {
        const start = performance.now();
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(sides, sides);
        pass.end();
        encoder.copyBufferToBuffer(b, 0, read, 0, 4);
        device.queue.submit([encoder.finish()]);
        await read.mapAsync(GPUMapMode.READ);
        read.unmap();
        return performance.now() - start;
    };
    // The first use of a pipeline may still compile it.
    await multiply(1);
    const way = await multiply(1);
    return (await multiply(SIDE / 8)) - way;
}

/** Milliseconds of some rows of the same product here. */
function onCpu() {
    const a = new Float32Array(SIDE * SIDE).fill(0.5);
    const row = new Float32Array(SIDE);
    const start = performance.now();
    for (let y = 0; y < ROWS; y += 1) {
        row.fill(0);
        for (let k = 0; k < SIDE; k += 1) {
            const factor = a[y * SIDE + k];
            for (let x = 0; x < SIDE; x += 1) {
                row[x] += factor * a[k * SIDE + x];
            }
        }
    }
    return performance.now() - start;
}
