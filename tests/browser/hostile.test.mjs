import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, ON_CPU, ON_GPU, open, PATIENCE, redrawn, set, drop, settled, text } from "./browser.mjs";
import { brokenCheckpoints, checkpoint, cutJpeg, empty, hugeJpeg, jpeg, noImage, svg } from "./files.mjs";

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

/** Does something that cannot work and gives the message. */
async function refusal(page, action) {
    await page.evaluate(() => {
        document.getElementById("error").hidden = true;
    });
    await action();
    await page.waitForFunction(() => !document.getElementById("error").hidden, null, { timeout: PATIENCE });
    return settled(page);
}

test("images that cannot be shown get a message each, and the page goes on", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    for (const [file, said] of [
        [hugeJpeg, /huge\.jpg: 20000x20000 pixels are more than the limit/],
        [empty, /empty\.png: the file is empty/],
        [svg, /drawing\.svg: an SVG has no pixels/],
        [noImage, /words\.jpg: the file is no image/],
        [cutJpeg, /cut\.jpg: /],
        [{ name: "song.zip", bytes: [1, 2, 3] }, /song\.zip: neither an image/],
    ]) {
        assert.match(await refusal(page, () => drop(page, [file])), said);
    }
    assert.equal(await redrawn(page, () => drop(page, [jpeg])), null);
    check();
});

test("of more than fifty images the first fifty are kept, and the page says so", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    const many = Array.from({ length: 52 }, (_, at) => ({ ...jpeg, name: `image-${at}.jpg` }));
    assert.match(await refusal(page, () => drop(page, many)), /image-50\.jpg: 50 images are open already.*and 1 more/);
    assert.equal(await page.$$eval("#strip li", (all) => all.length), 50);
    check();
});

test("checkpoints that cannot be loaded leave the model that was there", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    for (const [file, said] of brokenCheckpoints()) {
        assert.match(await refusal(page, () => drop(page, [file])), said);
    }
    await page.selectOption("#role", "adapters");
    assert.match(await refusal(page, () => drop(page, [checkpoint("adapters.safetensors")])), /holds a model's weights and no adapters/);
    const three = ["a", "b", "c"].map((name) => checkpoint(`${name}.safetensors`));
    assert.match(await refusal(page, () => drop(page, three)), /two to compare/);
    assert.match(await text(page, "#model-info"), /2 blocks of width 8/);
    assert.equal(await redrawn(page, () => set(page, "layer", 1)), null);
    check();
});

test("switching models and controls while computing ends with what was asked last", { timeout: 3 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    await settled(page);
    await drop(page, [checkpoint("one.safetensors", { seed: 1 })]);
    await set(page, "layer", 1);
    await page.click("#scene");
    await drop(page, [checkpoint("two.safetensors", { seed: 2, dim: 16 })]);
    for (let factor = 1.6; factor < 3; factor += 0.1) {
        await set(page, "factor", factor);
    }
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#model-info"), /width 16/);
    assert.equal(await redrawn(page, () => set(page, "factor", 4)), null);
    check();
});

test("after a lost GPU device the page starts again with what was opened", { timeout: 3 * PATIENCE }, async (t) => {
    const patches = {
        "engine/worker.js": `
            const request = GPUAdapter.prototype.requestDevice;
            GPUAdapter.prototype.requestDevice = async function (...args) {
                const device = await request.apply(this, args);
                addEventListener("message", ({ data }) => data === "lose" && device.destroy());
                return device;
            };
            `,
        "engine/client.js": `globalThis.workers = []; const RealWorker = Worker;
            globalThis.Worker = class extends RealWorker { constructor(...args) { super(...args); workers.push(this); } };
            `,
    };
    const { page } = await open(t, browser, { ...ON_GPU, patches });
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    await redrawn(page, () => drop(page, [jpeg]));
    await page.evaluate(() => globalThis.workers.at(-1).postMessage("lose"));
    await page.waitForFunction(() => document.documentElement.dataset.state === "lost", null, { timeout: PATIENCE });
    assert.match(await text(page, "#lost"), /the GPU device was lost/);
    assert.equal(await redrawn(page, () => page.click("#lost button")), null);
    assert.equal(await page.isVisible("#lost"), false);
    assert.match(await text(page, "#model-info"), /2 blocks of width 8/);
    assert.equal(await page.$$eval("#strip li", (all) => all.length), 1);
});

/** Tells the engine that its device binds 0.2 MB at most. */
const SMALL_DEVICE = `
const limits = Object.getOwnPropertyDescriptor(GPUDevice.prototype, "limits").get;
Object.defineProperty(GPUDevice.prototype, "limits", {
    get() {
        const get = (of, name) => (name === "maxStorageBufferBindingSize" ? 200_000 : Reflect.get(of, name));
        return new Proxy(limits.call(this), { get });
    },
});
`;

test("a model beyond the device's limits gets a message with the numbers", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, { ...ON_GPU, patches: { "engine/worker.js": SMALL_DEVICE }, viewport: { width: 390, height: 800 } });
    assert.match(await settled(page), /is 0\.3 MB, and this device binds 0\.2 MB at most: keep it in half/);
    assert.equal(await redrawn(page, () => page.check("#half")), null, "half of it can be bound");
    // Not uncheck(), which wants the box to stay empty: the page may set it back before that is looked at.
    await page.click("#half");
    assert.match(await settled(page), /keep it in half/);
    assert.equal(await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")])), null);
    check();
});
