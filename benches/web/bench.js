// One model, one image, one browser: every forward pass of onnxruntime-web and of
// SiNGER in turns, so that what else the machine does meets both alike.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.webgpu.min.mjs";
import init, { Singer } from "./pkg/singer_web.js";

const asked = new URLSearchParams(location.search);
const [backend, rounds] = [asked.get("backend") ?? "webgpu", Number(asked.get("rounds") ?? 20)];
/** Passes before those that count: they compile kernels. */
const WARM = 3;

const load = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

async function run() {
    ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", location.href).href;
    // As many threads as SiNGER has in a page.
    ort.env.wasm.numThreads = 1;
    const provider = backend === "cpu" ? "wasm" : "webgpu";
    const session = await ort.InferenceSession.create("model.onnx", { executionProviders: [provider] });
    await init();
    const singer = await Singer.open(backend);
    const { size } = await singer.loadTeacher("model", await load("model.safetensors"), {});
    const image = singer.scene(0, size[0]);
    const planes = new Float32Array(3 * size[0] * size[1]);
    const input = new ort.Tensor("float32", planes, [1, 3, ...size]);
    const times = { onnxruntime: [], singer: [] };
    for (let round = 0; round < WARM + rounds; round += 1) {
        const start = performance.now();
        const { features } = await session.run({ image: input }, ["features"]);
        await features.getData();
        const between = performance.now();
        // All blocks' tokens, as the maps need them; until the last number is there.
        const { times: stages } = await singer.look(image, 0);
        if (round >= WARM) {
            times.onnxruntime.push(between - start);
            times.singer.push(stages.find(({ stage }) => stage === "teacher").ms);
        }
    }
    const [other, own] = [median(times.onnxruntime), median(times.singer)];
    return { backend, rounds, device: singer.device().name, onnxruntime: other, singer: own, ratio: own / other, times };
}

try {
    globalThis.measured = await run();
} catch (error) {
    globalThis.measured = { error: String(error) };
}
document.getElementById("state").textContent = "Done: median milliseconds of a forward pass; ratio is SiNGER over onnxruntime-web.";
document.getElementById("result").textContent = JSON.stringify(globalThis.measured, null, 4);
