// What a first-time visitor meets: words before jargon, no claim that the image contradicts,
// nothing stale, nothing lost, and messages that help.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { drop, launch, number, ON_CPU, open, PATIENCE, redrawn, set, settled, text } from "./browser.mjs";
import { checkpoint, closedForm, jpeg, otherJpeg, trainedAdapters } from "./files.mjs";

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const PANELS = ["teacher", "refined", "student"];

let browser;
before(async () => {
    browser = await launch();
});
after(() => browser.close());

const scale = (page, panel) => page.$$eval(`figure[data-panel="${panel}"] .scale span`, (spans) => spans.map((span) => span.textContent));
const tiny = (page, name = "tiny.safetensors", options = {}) => redrawn(page, () => drop(page, [checkpoint(name, options)]));
const over = (panel) => `figure[data-panel="${panel}"] .over`;

/** Whether an element is on the screen whole. */
const inSight = (page, selector) =>
    page.$eval(selector, (found) => {
        const { top, bottom, height } = found.getBoundingClientRect();
        return height > 0 && top >= 0 && bottom <= innerHeight;
    });

test("the page says in two sentences what it shows, and in one line what it comes to", { timeout: PATIENCE }, async (t) => {
    for (const options of [{}, PHONE]) {
        const { page, check } = await open(t, browser, { ...ON_CPU, ...options });
        await settled(page);
        const intro = await text(page, "#intro");
        assert.match(intro, /patch norm.*artifacts.*Refined.*student/s);
        assert.equal(intro.match(/\.(\s|$)/g).length, 2);
        assert.ok(await inSight(page, "#verdict"));
        const [raw, refined] = [await number(page, "#ratio-teacher"), await number(page, "#ratio-refined")];
        assert.match(await text(page, "#verdict"), new RegExp(`^${raw.toFixed(1)}× → ${refined.toFixed(1)}× .*artifacts are taken out`));
        assert.doesNotMatch(await text(page, "body"), /names of|prepare|Until done/);
        check();
    }
});

test("where there are no artifacts the page says so, and nothing is changed", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => set(page, "layer", 2));
    assert.match(await text(page, "#verdict"), /^No artifacts found here: .* 1\.\d× the median norm, and refinement changes nothing/);
    assert.match(await text(page, "#outliers-teacher"), /^0 of 64$/);
    assert.equal(await text(page, "#ratio-refined"), await text(page, "#ratio-teacher"));
    check();
});

test("adapters that change a clean image are not praised", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await tiny(page);
    await redrawn(page, () => set(page, "layer", 0));
    assert.match(await text(page, "#verdict"), /^No artifacts found here: .* norm\.$/);
    await redrawn(page, () => drop(page, [trainedAdapters("singer.safetensors")]));
    await redrawn(page, () => set(page, "layer", 0));
    assert.match(await text(page, "#verdict"), /^No artifacts found here: .*changes \d+ of 4 patches, to \d/);
    check();
});

test("outliers are counted above a multiple of each map's own median", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const counts = () => Promise.all(PANELS.map((panel) => number(page, `#outliers-${panel}`)));
    const [teacher, refined, student] = await counts();
    assert.ok(teacher > 2 && refined === 0 && student === 0, "a clean student has none");
    await redrawn(page, () => set(page, "factor", 6));
    assert.ok((await counts())[0] < teacher);
    assert.match(await text(page, "#measures"), /more than 6 times the median/);
    assert.match(await page.evaluate(() => location.hash), /k=6/);
    check();
});

test("each map has its scale: equal multiples of the median, or its own", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const scales = await Promise.all(PANELS.map((panel) => scale(page, panel)));
    assert.match(scales[0].join(" "), /^0\.\d× 10\.2× median norm$/);
    assert.deepEqual(scales[1], scales[0]);
    assert.deepEqual(scales[2], scales[0]);
    const bar = await page.$eval('figure[data-panel="teacher"] .scale canvas', (canvas) => [...canvas.getContext("2d").getImageData(255, 0, 1, 1).data]);
    assert.deepEqual(bar, [252, 255, 164, 255], "inferno's last colour");
    await redrawn(page, () => set(page, "range", "own"));
    assert.equal((await scale(page, "teacher"))[1], "10.2×");
    assert.match((await scale(page, "student"))[1], /^1\.\d×$/);
    check();
});

test("similarities have a diverging scale around zero, or each map its own", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => page.click(over("teacher"), { position: { x: 40, y: 40 } }));
    assert.deepEqual(await scale(page, "teacher"), ["−1.00", "1.00", "similarity"]);
    const middle = await page.$eval('figure[data-panel="teacher"] .scale canvas', (canvas) => [...canvas.getContext("2d").getImageData(128, 0, 1, 1).data]);
    assert.ok(middle.every((channel) => channel > 230), `pale at zero: ${middle}`);
    await redrawn(page, () => set(page, "range", "own"));
    const scales = await Promise.all(PANELS.map((panel) => scale(page, panel)));
    for (const [low, high] of scales) {
        assert.ok(Number(low.replace("−", "-")) < Number(high), `${low} to ${high}`);
    }
    assert.notDeepEqual(scales[0], scales[2], "the teacher's with artifacts, and the student's");
    check();
});

test("a click keeps a patch marked, a second one or Escape lets it go", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const position = { x: 40, y: 40 };
    await redrawn(page, () => page.hover(over("teacher"), { position }));
    assert.match(await text(page, "#similar"), /Click to keep it/);
    assert.doesNotMatch(await page.evaluate(() => location.hash), /patch=/);
    await redrawn(page, () => page.click(over("teacher"), { position }));
    await page.hover("#scene");
    await settled(page);
    assert.ok(await page.isVisible("#similar"), "the pointer has left");
    assert.match(await page.evaluate(() => location.hash), /patch=9/);
    await page.reload();
    await settled(page);
    assert.ok(await page.isVisible("#similar"), "a link holds it");
    await redrawn(page, () => page.click(over("refined"), { position }));
    await redrawn(page, () => page.hover("#scene"));
    assert.equal(await page.isVisible("#similar"), false);
    await redrawn(page, () => page.click(over("student"), { position }));
    await page.focus(over("student"));
    await page.keyboard.press("Escape");
    await page.hover("#scene");
    await page.waitForSelector("#similar", { state: "hidden" });
    check();
});

test("on a phone a tap keeps a patch marked, and another lets it go", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, { ...ON_CPU, ...PHONE });
    await settled(page);
    await redrawn(page, () => page.tap(over("teacher"), { position: { x: 30, y: 30 } }));
    assert.match(await text(page, "#similar"), /It is kept/);
    await redrawn(page, () => page.tap(over("teacher"), { position: { x: 30, y: 30 } }));
    assert.equal(await page.isVisible("#similar"), false);
    check();
});

test("on a phone maps, status and errors stay in sight at every control", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, { ...ON_CPU, ...PHONE });
    await settled(page);
    for (const id of ["overlay", "save-png", "models", "model-file"]) {
        await page.$eval(`#${id}`, (control) => control.scrollIntoView({ block: "center" }));
        for (const panel of ["image", ...PANELS]) {
            assert.ok(await inSight(page, `figure[data-panel="${panel}"] .frame`), `${panel} at ${id}`);
        }
        assert.ok(await inSight(page, "#status"), `status at ${id}`);
    }
    await drop(page, [{ name: "weights.pth", bytes: [1, 2, 3] }]);
    await page.waitForSelector("#error:not([hidden])");
    assert.ok(await inSight(page, "#error"));
    await page.click("#dismiss");
    assert.equal(await page.isVisible("#error"), false);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390, "nothing is wider than the screen");
    check();
});

test("while a model loads, and where it fails, no map of another stands beside its name", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => set(page, "side", 64));
    // What the page shows when the file is read, before it is anybody's model.
    const seen = page.evaluate(
        () =>
            new Promise((resolve) => {
                const look = () => {
                    if (/^Loading tiny/.test(document.getElementById("status").textContent)) {
                        const covers = [...document.querySelectorAll(".cover")].map(({ hidden, textContent }) => [hidden, textContent]);
                        resolve({ covers, ratio: document.getElementById("ratio-teacher").value, verdict: document.getElementById("verdict").textContent.trim() });
                    } else {
                        setTimeout(look, 0);
                    }
                };
                look();
            }),
    );
    await tiny(page);
    const { covers, ratio, verdict } = await seen;
    assert.deepEqual(covers, PANELS.map(() => [false, "Loading tiny.safetensors"]));
    assert.deepEqual([ratio, verdict], ["–", ""]);
    assert.equal(await page.inputValue("#side"), "8", "the new model's own input size");

    const before = await text(page, "#verdict");
    await drop(page, [{ name: "cut.safetensors", bytes: checkpoint("whole").bytes.subarray(0, 900) }]);
    await page.waitForSelector("#error:not([hidden])");
    await settled(page);
    assert.equal(await text(page, "#model-name"), "Teacher: tiny.safetensors");
    assert.equal(await text(page, "#verdict"), before, "the maps are those of the named model");
    check();
});

test("the loaded file's name is shown, with a way back to the shipped model", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    assert.match(await text(page, "#model-name"), /^Teacher: Small teacher with planted artifacts/);
    assert.equal(await page.isVisible("#shipped"), false);
    for (const back of [() => page.click("#shipped"), () => page.selectOption("#models", "0")]) {
        await tiny(page);
        assert.equal(await text(page, "#model-name"), "Teacher: tiny.safetensors");
        assert.equal(await page.$eval("#models", ({ selectedOptions }) => selectedOptions[0].textContent), "tiny.safetensors");
        assert.equal(await redrawn(page, back), null);
        assert.match(await text(page, "#model-name"), /planted artifacts/);
        assert.equal(await page.inputValue("#models"), "0");
        assert.equal(await page.inputValue("#side"), "32");
    }
    assert.doesNotMatch(await page.evaluate(() => location.hash), /model=/);
    check();
});

test("a link names the model that it is a view of, and says where that is missing", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await tiny(page);
    const hash = await page.evaluate(() => location.hash);
    assert.match(hash, /model=tiny\.safetensors/);
    // Another browser, which does not keep the file.
    const other = await open(t, browser, { ...ON_CPU, hash });
    assert.match(await settled(other.page), /a view of tiny\.safetensors, which is not in this browser/);
    assert.match(await text(other.page, "#model-name"), /planted artifacts/);
    assert.ok((await number(other.page, "#ratio-teacher")) > 1);
    other.check();
    check();
});

test("a reload says that images are not kept", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [jpeg, otherJpeg]));
    await page.reload();
    await page.waitForFunction(() => /a reload forgot 2/.test(document.getElementById("status").textContent), null, { timeout: PATIENCE });
    await page.reload();
    assert.equal(await settled(page), null);
    assert.doesNotMatch(await text(page, "#status"), /forgot/);
    check();
});

test("input sizes are in pixels with their patches, and a large model starts small", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const offered = () => page.$$eval("#side option", (options) => options.map(({ textContent }) => textContent));
    assert.deepEqual(await offered(), ["32 px, 8×8 patches (the model's own)", "64 px, 16×16 patches", "128 px, 32×32 patches"]);
    await tiny(page, "large.safetensors", { side: 518, patch: 14 });
    assert.deepEqual(await offered(), ["224 px, 16×16 patches", "336 px, 24×24 patches", "518 px, 37×37 patches (the model's own)"]);
    assert.equal(await page.inputValue("#side"), "224");
    assert.match(await text(page, "#outliers-teacher"), / of 256$/);
    assert.equal(await redrawn(page, () => set(page, "side", 336)), null);
    assert.match(await text(page, "#outliers-teacher"), / of 576$/);
    assert.match(await page.evaluate(() => location.hash), /input=336/);
    await page.reload();
    await settled(page);
    assert.equal(await page.inputValue("#side"), "336");
    check();
});

test("another scene leaves opened photographs where they are", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await redrawn(page, () => drop(page, [jpeg, otherJpeg]));
    const labels = () => page.$$eval("#strip button", (all) => all.map((button) => button.ariaLabel));
    await redrawn(page, () => page.click("#scene"));
    assert.deepEqual(await labels(), ["Show tall.jpg", "Show small.jpg", "Show scene 20003"]);
    await redrawn(page, () => page.click("#strip li:first-child button"));
    assert.doesNotMatch(await page.evaluate(() => location.hash), /scene=/);
    await redrawn(page, () => page.click("#strip li:last-child button"));
    assert.match(await page.evaluate(() => location.hash), /scene=20003/);
    check();
});

test("files of other kinds and in other roles are recognised, or get a message that helps", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    for (const [name, said] of [
        ["weights.pth", /`singer export weights\.pth --to timm --out DIR`/],
        ["Weights.PTH", /`singer export Weights\.PTH --to timm/],
        ["student.onnx", /an ONNX graph.*singer export/],
    ]) {
        await drop(page, [{ name, bytes: [1, 2, 3] }]);
        await page.waitForFunction((name) => document.getElementById("error").textContent.startsWith(name), name);
        assert.match(await text(page, "#error"), said);
        assert.ok(await page.isVisible("#error"));
        await page.click("#dismiss");
    }
    await tiny(page, "TINY.SAFETENSORS");
    assert.equal(await text(page, "#model-name"), "Teacher: TINY.SAFETENSORS");
    // Whatever the menu says.
    await page.selectOption("#role", "teacher");
    await redrawn(page, () => drop(page, [closedForm("singer.safetensors", 1e6)]));
    assert.match(await text(page, "#model-name"), /^Teacher: TINY\.SAFETENSORS, adapters singer\.safetensors$/);
    await page.selectOption("#role", "");
    await redrawn(page, () => drop(page, [checkpoint("my-student.safetensors", { seed: 2, dim: 4, heads: 1 })]));
    assert.match(await text(page, "#model-name"), /student my-student\.safetensors/);
    await page.selectOption("#role", "adapters");
    await drop(page, [checkpoint("model.safetensors")]);
    await page.waitForSelector("#error:not([hidden])");
    assert.match(await settled(page), /model\.safetensors holds a model's weights and no adapters/);
    check();
});

test("there is nothing to save and nothing to go back to until there is", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    assert.ok(await page.isEnabled("#save-adapters"));
    await tiny(page);
    assert.ok(await page.isDisabled("#save-adapters"));
    assert.ok(await page.isDisabled("#reset-adapters"));
    await redrawn(page, () => page.click("#find"));
    assert.match(await text(page, "#found"), /^No artifacts/);
    assert.ok(await page.isDisabled("#save-adapters"), "a closed form of no block");
    check();
});

test("Stop answers at once, keeps the focus, and a bad fit is called so", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    await page.click("summary");
    await page.fill("#train-lr", "1");
    await page.focus("#train");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#train-stop:not([hidden])");
    assert.equal(await page.evaluate(() => document.activeElement.id), "train-stop");
    await page.waitForFunction(() => /step/.test(document.getElementById("status").textContent), null, { timeout: PATIENCE });
    const answered = await page.evaluate(() => {
        document.activeElement.click();
        return ["status", "train-stop"].map((id) => document.getElementById(id).textContent);
    });
    assert.deepEqual(answered, ["Stopping after this step", "Stopping…"]);
    assert.equal(await settled(page), null);
    assert.equal(await page.evaluate(() => document.activeElement.id), "train");
    const said = await text(page, "#trained");
    assert.match(said, /^Stopped after \d+ of 100 steps\. On this image.*largest over median \d+\.\d+ → \d+\.\d+\.$/);
    const [before, after] = said.match(/\d+\.\d+/g).map(Number);
    assert.equal(/worse than none/.test(said), after > 1.001 * before, said);
    check();
});

test("the saved picture holds scales, the mark, the model and the quantity", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    // What is written into pictures.
    await page.addInitScript(() => {
        globalThis.written = [];
        const fill = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
            globalThis.written.push(text);
            return fill.call(this, text, ...at);
        };
    });
    await page.reload();
    await settled(page);
    const save = async () => {
        const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-png")]);
        await settled(page);
        const bytes = readFileSync(await saved.path());
        return [saved.suggestedFilename(), bytes, await page.evaluate(() => globalThis.written.splice(0))];
    };
    const [name, plain, words] = await save();
    assert.equal(name, "patch-norms.png");
    assert.match(words[0], /planted artifacts.*, block 3: L2 norm/);
    assert.match(words[1], /^10\.2× → 1\.4×/);
    assert.equal(words.filter((text) => text === "10.2× median norm").length, 3);
    await redrawn(page, () => page.click(over("teacher"), { position: { x: 40, y: 40 } }));
    const [other, marked, said] = await save();
    assert.equal(other, "patch-similarity.png");
    assert.match(said[0], /cosine similarity to the marked patch/);
    assert.equal(said.filter((text) => text === "1.00 similarity").length, 3);
    const white = (bytes) =>
        page.evaluate(async (bytes) => {
            const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: "image/png" }));
            const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
            context.drawImage(bitmap, 0, 0);
            // The marked patch's centre in the first panel, the image.
            return [...context.getImageData(16 + 96, 98 + 96, 1, 1).data];
        }, [...bytes]);
    assert.deepEqual(await white(marked), [255, 255, 255, 255], "the cross");
    assert.notDeepEqual(await white(plain), [255, 255, 255, 255]);
    check();
});

test("a WebGPU that is slower than the CPU is not chosen, and the page says so", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser);
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#device"), /^CPU, measured faster than WebGPU here \(.+\)/);
    assert.equal(await page.isVisible("#notice"), false);
    assert.equal(await page.getAttribute("#device a", "href"), "?device=webgpu");
    check();
});

test("a WebGPU that is faster than the CPU is chosen", { timeout: PATIENCE }, async (t) => {
    // A clock by which the CPU takes a minute for each step.
    const patches = {
        "engine/choose.js": `const performance = { now: (() => { let calls = 0; return () => (calls += 1) > 6 ? 60_000 * calls : calls; })() };
            `,
    };
    const { page, check } = await open(t, browser, { patches });
    assert.equal(await settled(page), null);
    assert.match(await text(page, "#device"), /^WebGPU/);
    check();
});

test("two checkpoints are compared: the smaller one, or the one called so, is the student", { timeout: PATIENCE }, async (t) => {
    const { page, check } = await open(t, browser, ON_CPU);
    await settled(page);
    const [wide, slim] = [checkpoint("wide.safetensors", { dim: 16 }), checkpoint("slim.safetensors")];
    assert.equal(await redrawn(page, () => drop(page, [slim, wide])), null);
    assert.match(await text(page, "#model-name"), /^Teacher: wide\.safetensors, student slim\.safetensors/);
    assert.match(await text(page, "#model-info"), /Student: .* width 8/);
    const named = { ...wide, name: "student-of-it.safetensors" };
    assert.equal(await redrawn(page, () => drop(page, [named, slim])), null);
    assert.match(await text(page, "#model-name"), /^Teacher: slim\.safetensors, student student-of-it\.safetensors/);
    await drop(page, [slim, wide, named]);
    assert.match(await settled(page), /open one \.safetensors file, with its config\.json, or two to compare/);
    check();
});

test("a tour shows the page in four steps, by mouse or keyboard, on a phone too", { timeout: PATIENCE }, async (t) => {
    for (const options of [{}, PHONE]) {
        const { page, check } = await open(t, browser, { ...ON_CPU, ...options });
        await settled(page);
        assert.equal(await page.isVisible("#tour"), false, "it does not force itself on anyone");
        await page.click("#tour-start");
        const outlined = [];
        for (let step = 1; step <= 4; step += 1) {
            assert.match(await text(page, "#tour-words"), new RegExp(`^${step} of 4 `));
            assert.ok(await inSight(page, "#tour"));
            outlined.push(await page.$eval(".toured", ({ dataset, id }) => dataset.panel ?? id));
            await page.keyboard.press("Enter");
        }
        assert.deepEqual(outlined, ["teacher", "refined", "student", "source"]);
        assert.equal(await page.isVisible("#tour"), false);
        await page.click("#tour-start");
        await page.keyboard.press("Escape");
        assert.equal(await page.$(".toured"), null);
        check();
    }
});
