import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, number, open, PATIENCE, redrawn, set, drop, settled, text } from "./browser.mjs";
import { checkpoint } from "./files.mjs";

let browser;
before(async () => {
    browser = await launch({ webgpu: false });
});
after(() => browser.close());

test("a browser without WebGPU is told so, and the maps appear all the same", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser);
    assert.equal(await settled(page), null);
    assert.ok(await page.isVisible("#notice"));
    assert.match(await text(page, "#notice"), /Chrome and Edge.*Safari.*Firefox/);
    assert.match(await text(page, "#device"), /^CPU/);
    assert.ok((await number(page, "#ratio-teacher")) > 3);
    assert.equal(await redrawn(page, () => set(page, "overlay", 0.4)), null);
    check();
});

test("adapters are fitted on the CPU too", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    await set(page, "layer", 0);
    await page.click("summary");
    await page.fill("#train-steps", "5");
    await page.fill("#train-lr", "0.02");
    await page.fill("#train-rank", "4");
    assert.equal(await redrawn(page, () => page.click("#train")), null);
    const [first, last] = await page.$eval("#train-loss", ({ dataset }) => [dataset.first, dataset.last].map(Number));
    assert.ok(last < first, `from ${first} to ${last}`);
    check();
});
