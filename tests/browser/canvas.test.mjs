// Maps drawn by the GPU straight to the screen, as on hardware: a rasteriser's pictures
// are read back otherwise, which these tests do not allow.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, ON_CPU, ON_GPU, open, PATIENCE, redrawn, set, settled } from "./browser.mjs";

/** Tells the engine that the adapter is no rasteriser, and counts what it reads back. */
const AS_HARDWARE = `
Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
Object.defineProperty(GPUAdapter.prototype, "isFallbackAdapter", { get: () => false });
const map = GPUBuffer.prototype.mapAsync;
globalThis.readBack = 0;
GPUBuffer.prototype.mapAsync = function (...args) {
    globalThis.readBack += this.size;
    return map.apply(this, args);
};
`;

let browser;
before(async () => {
    browser = await launch({ shown: true });
});
after(() => browser.close());

/** The pixels of a panel's frame as they are on the screen, without its border. */
async function onScreen(page, panel) {
    const png = [...(await page.locator(`figure[data-panel="${panel}"] .frame`).screenshot())];
    return page.evaluate(async (bytes) => {
        const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: "image/png" }));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        return [...context.getImageData(8, 8, bitmap.width - 16, bitmap.height - 16).data];
    }, png);
}

test("maps appear on the screen straight from the GPU, in the colours of the CPU's", { timeout: 2 * PATIENCE }, async (t) => {
    const direct = await open(t, browser, { ...ON_GPU, patches: { "engine/worker.js": AS_HARDWARE } });
    const byHost = await open(t, browser, ON_CPU);
    for (const { page } of [direct, byHost]) {
        assert.equal(await settled(page), null);
    }
    const looks = [["palette", "viridis"], ["overlay", 0.5], ["upsampling", "bilinear"], ["layer", 5]];
    for (const [id, value] of [null, ...looks].map((look) => look ?? [])) {
        for (const { page } of [direct, byHost].filter(() => id)) {
            assert.equal(await redrawn(page, () => set(page, id, value)), null, id);
        }
        for (const panel of ["teacher", "refined", "student"]) {
            const [found, wanted] = [await onScreen(direct.page, panel), await onScreen(byHost.page, panel)];
            assert.equal(found.length, wanted.length);
            assert.ok(new Set(wanted).size > 8, `${panel} shows a map`);
            const most = found.reduce((most, value, at) => Math.max(most, Math.abs(value - wanted[at])), 0);
            assert.ok(most <= 4, `${panel} after ${id}: off by ${most} levels`);
        }
    }
    const [worker] = direct.page.workers();
    const before = await worker.evaluate(() => globalThis.readBack);
    await redrawn(direct.page, () => set(direct.page, "factor", 4));
    const bytes = (await worker.evaluate(() => globalThis.readBack)) - before;
    // Norms, thresholds and timestamps; one panel alone has over 300,000 bytes of pixels.
    assert.ok(bytes > 0 && bytes < 20_000, `${bytes} bytes were read back to draw`);
    direct.check();
    byHost.check();
});

test("a picture is saved of what the GPU has drawn", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, { ...ON_GPU, patches: { "engine/worker.js": AS_HARDWARE } });
    await settled(page);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-png")]);
    const bytes = [...readFileSync(await saved.path())];
    const colours = await page.evaluate(async (bytes) => {
        const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        const quarter = Math.floor(bitmap.width / 4);
        return [1, 2, 3].map((panel) => new Set(new Uint32Array(context.getImageData(panel * quarter, 0, quarter, bitmap.height).data.buffer)).size);
    }, bytes);
    assert.ok(colours.every((count) => count > 20), `${colours} colours`);
    check();
});
