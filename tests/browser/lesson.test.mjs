// A student that learns in the page: shown while it does, stopped, saved, and opened again.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { drop, launch, number, ON_CPU, ON_GPU, open, PATIENCE, redrawn, settled, text } from "./browser.mjs";
import { checkpoint, closedForm, trainedAdapters } from "./files.mjs";

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

/** Fills the form in and lets a student learn to the end; gives the error that is shown. */
async function teach(page, { steps, width = 64, refined = true }) {
    if (!(await page.isVisible("#learn"))) {
        await page.click("text=Teach a student here");
    }
    await page.setChecked("#learn-refined", refined);
    await page.fill("#learn-steps", String(steps));
    await page.fill("#learn-width", String(width));
    // A lesson of one step may be over before anyone looks.
    await page.evaluate(() => (document.getElementById("learnt").textContent = ""));
    await page.click("#learn");
    const over = () => !document.getElementById("error").hidden || document.getElementById("learnt").textContent !== "";
    await page.waitForFunction(over, null, { timeout: PATIENCE });
    return settled(page);
}

test("a student learns in the page, is saved, and opens again as it was", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const before = await text(page, "#ratio-student");
    assert.equal(await page.isDisabled("#save-student"), true);
    assert.equal(await teach(page, { steps: 10 }), null);
    assert.equal(await text(page, "#learnt"), "Done: 10 of 10 steps.");
    const [first, last] = await page.$eval("#learn-loss", ({ dataset }) => [dataset.first, dataset.last].map(Number));
    assert.ok(last < 0.9 * first, `${first} to ${last}`);
    assert.match(await text(page, "#model-name"), /the student that is shown learnt here/);
    const learnt = await text(page, "#ratio-student");
    assert.notEqual(learnt, before);
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-student")]);
    assert.equal(saved.suggestedFilename(), "student.safetensors");
    const bytes = readFileSync(await saved.path());
    await redrawn(page, () => page.click("#shipped"));
    assert.equal(await text(page, "#ratio-student"), before);
    assert.equal(await page.isDisabled("#save-student"), true, "it went with its teacher");
    assert.equal(await redrawn(page, () => drop(page, [{ name: "student.safetensors", bytes }])), null);
    assert.equal(await text(page, "#ratio-student"), learnt);
    check();
});

test("on WebGPU the loss falls too, and Stop ends the lesson", { timeout: 3 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_GPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors", { side: 8 })]));
    assert.equal(await teach(page, { steps: 3, width: 32 }), null);
    const [first, last] = await page.$eval("#learn-loss", ({ dataset }) => [dataset.first, dataset.last].map(Number));
    assert.ok(last < first, `${first} to ${last}`);
    await page.fill("#learn-steps", "10000");
    await page.click("#learn");
    await page.waitForFunction(() => /: 1 of/.test(document.getElementById("status").textContent), null, { timeout: PATIENCE });
    await page.click("#learn-stop");
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#learnt"), /^Stopped after \d+ of 10000 steps/);
    check();
});

test("what a student learns from is the refined features where that is asked", { timeout: 2 * PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    // Every token is refined, and by much.
    await redrawn(page, () => drop(page, [closedForm("singer.safetensors", -1e9)]));
    const losses = [];
    for (const refined of [true, false]) {
        assert.equal(await teach(page, { steps: 1, width: 32, refined }), null);
        losses.push(await page.$eval("#learn-loss", ({ dataset }) => Number(dataset.first)));
    }
    assert.ok(Math.abs(losses[0] - losses[1]) > 0.01 * losses[1], `${losses}`);
    assert.equal(await number(page, "#ratio-refined") > 0, true);
    check();
});

test("what cannot be learnt is said: trained adapters, a width between heads", { timeout: 2 * PATIENCE }, async (t) => {
    const { page } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [checkpoint("tiny.safetensors")]));
    await redrawn(page, () => drop(page, [trainedAdapters("singer.safetensors")]));
    assert.match(await teach(page, { steps: 1, width: 32 }), /not from trained adapters: find artifacts first/);
    assert.equal(await teach(page, { steps: 1, width: 32, refined: false }), null);
    assert.match(await teach(page, { steps: 1, width: 40, refined: false }), /Width: /);
});
